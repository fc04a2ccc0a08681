//! Encryption of authenticator secrets: Fernet tokens under a key of the operator's or one derived from the
//! server's secret, both as the reference makes them, so that its rows can be read and ours by it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use fernet::Fernet;
use ring::hkdf;

/// Purpose of the derived key, part of its derivation.
const PURPOSE: &[u8] = b"open-webui/mfa-encryption/v1";

/// The key is wrong, or the text is no token under it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored authenticator can not be read with the present key")]
pub struct CipherError;

/// Encrypts and reads authenticator secrets.
pub struct MfaCipher(Fernet);

impl MfaCipher {
    /// Under the operator's key (`MFA_ENCRYPTION_KEY`), else one derived from the server's secret.
    ///
    /// # Errors
    /// The operator's key is not 32 bytes in base64.
    pub fn new(own_key: Option<&str>, secret: &str) -> Result<Self, CipherError> {
        let key = match own_key {
            Some(key) => key.to_owned(),
            None => derived(secret)?,
        };
        Fernet::new(&key).map(Self).ok_or(CipherError)
    }

    /// The secret as a token.
    pub fn encrypt(&self, secret: &str) -> String {
        self.0.encrypt(secret.as_bytes())
    }

    /// The secret of a token.
    ///
    /// # Errors
    /// The token is not of this key.
    pub fn decrypt(&self, token: &str) -> Result<String, CipherError> {
        let bytes = self.0.decrypt(token).map_err(|_| CipherError)?;
        String::from_utf8(bytes).map_err(|_| CipherError)
    }
}

fn derived(secret: &str) -> Result<String, CipherError> {
    let mut key = [0; 32];
    // No salt means one of zeros as long as the hash.
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[0; 32])
        .extract(secret.as_bytes())
        .expand(&[PURPOSE], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .map_err(|_| CipherError)?;
    Ok(URL_SAFE.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derived_key_is_the_references() {
        // HKDF(SHA256, 32, salt=None, info=PURPOSE).derive(b"conformance-secret-of-at-least-32-bytes")
        assert_eq!(
            derived("conformance-secret-of-at-least-32-bytes").unwrap(),
            "73wJHOacaCbbSOCEtT7OJAbkgUkEZEBkLGLyBSfkvWQ="
        );
        // Fernet(that key).encrypt(b"JBSWY3DPEHPK3PXP")
        let token = "gAAAAABrBq1_STvu6SS62gLKLvZ827VgBV6yGOI0C6_U43ykv3bw_BeJE1w2kUew3t0Zu5OFnWRuTgpI_mZhAqeZzIFEZv8cXwLHCvVpGIBf7s8shQaJUTs=";
        let cipher = MfaCipher::new(None, "conformance-secret-of-at-least-32-bytes").unwrap();
        assert_eq!(cipher.decrypt(token).unwrap(), "JBSWY3DPEHPK3PXP");
        assert_eq!(cipher.decrypt(&cipher.encrypt("s")).unwrap(), "s");
        assert!(MfaCipher::new(Some("short"), "x").is_err());
    }
}
