//! One-time passwords: six digits of HMAC-SHA1 over 30-second steps (RFC 6238), what authenticator apps speak.

use data_encoding::{BASE32, BASE32_NOPAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::QrCode;
use qrcode::render::svg;
use ring::hmac;

/// Seconds that one code is shown.
const STEP: i64 = 30;
/// Name of the service in the app; part of the product's wire format.
const ISSUER: &str = "Open WebUI";
/// What stands as it is in the app's address.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a user needs to set up an app.
pub struct Setup {
    /// To be typed in.
    pub manual_key: String,
    /// To be scanned: an SVG picture as data URI.
    pub qr_code: String,
}

impl Setup {
    /// The setup of a secret for the account with this address. `None` when the address is too long for a code.
    pub fn new(secret: &str, email: &str) -> Option<Self> {
        let issuer = utf8_percent_encode(ISSUER, LABEL);
        let label = utf8_percent_encode(email, LABEL);
        let address = format!("otpauth://totp/{issuer}:{label}?secret={secret}&issuer={issuer}");
        let picture = QrCode::new(address)
            .ok()?
            .render::<svg::Color<'_>>()
            .min_dimensions(240, 240)
            .build();
        Some(Self {
            manual_key: secret.to_owned(),
            qr_code: format!(
                "data:image/svg+xml;base64,{}",
                data_encoding::BASE64.encode(picture.as_bytes())
            ),
        })
    }
}

/// A new secret of 160 bits in base 32.
pub fn new_secret() -> String {
    let mut bytes = [0; 20];
    super::fill(&mut bytes);
    BASE32.encode(&bytes)
}

/// The code of a time step; `None` when the secret is no base 32.
pub fn code(secret: &str, step: i64) -> Option<String> {
    let key = BASE32_NOPAD
        .decode(secret.trim_end_matches('=').to_uppercase().as_bytes())
        .ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &u64::try_from(step).ok()?.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last()? & 0x0f);
    let four: [u8; 4] = tag.get(offset..offset + 4)?.try_into().ok()?;
    Some(format!(
        "{:06}",
        (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
    ))
}

/// The step whose code this is: the present one or a neighbour, for clocks that are a little off, and later than
/// the last one that was used. `now` in seconds.
pub(super) fn matching_step(secret: &str, given: &str, last_step: i64, now: i64) -> Option<i64> {
    if given.len() != 6 || !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let current = now / STEP;
    [current, current - 1, current + 1]
        .into_iter()
        .find(|step| *step > last_step && code(secret, *step).as_deref() == Some(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Base 32 of the RFC's key `12345678901234567890`.
    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (now, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(KEY, now / STEP).as_deref(), Some(expected));
        }
    }

    #[test]
    fn neighbours_count_and_used_steps_do_not() {
        assert_eq!(matching_step(KEY, "287082", -1, 59), Some(1));
        assert_eq!(matching_step(KEY, "287082", -1, 59 + 30), Some(1));
        assert_eq!(matching_step(KEY, "287082", -1, 59 + 60), None);
        assert_eq!(matching_step(KEY, "287082", 1, 59), None);
        assert_eq!(matching_step(KEY, "28708", -1, 59), None);
    }

    #[test]
    fn a_setup_names_account_and_service() {
        let setup = Setup::new(&new_secret(), "ada@example.com").unwrap();
        assert_eq!(setup.manual_key.len(), 32);
        assert!(setup.qr_code.starts_with("data:image/svg+xml;base64,"));
    }
}
