//! The second factor: what is stored of it in `auth.mfa`, one-time passwords (RFC 6238), recovery codes, and the
//! challenges that stand between a password and a session. State only: reading and writing the row is the models
//! crate's, the steps of a sign-in are the router's.

mod cipher;
mod totp;

use oui_core::ids;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub use cipher::{CipherError, MfaCipher};
pub use totp::{Setup, code, new_secret};

/// Seconds in which a challenge must be met, and after a sign-in in which the factor may be changed.
pub const CHALLENGE_SECONDS: i64 = 300;
/// Seconds of a window in which tries are counted per account.
pub const LIMIT_SECONDS: i64 = 900;
/// Tries per account in such a window.
pub const MAX_TRIES: u32 = 10;
/// Codes that one challenge takes.
pub const MAX_CODES: u32 = 5;
/// Seconds that an operator's reset ticket is good for.
pub const TICKET_SECONDS: i64 = 1800;
/// Recovery codes made at a time.
const RECOVERY_CODES: usize = 10;

/// What a challenge asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To set up a first authenticator.
    Enroll,
    /// A code of the authenticator.
    Verify,
    /// To set up another authenticator.
    Replace,
    /// The operator's reset ticket.
    Recover,
}

impl Kind {
    /// What the client does next.
    pub fn next_step(self) -> &'static str {
        match self {
            Kind::Enroll | Kind::Replace => "enroll",
            Kind::Verify => "verify",
            Kind::Recover => "recover",
        }
    }
}

/// A step of a sign-in that waits for its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// Hash of the token that the client holds.
    pub token_hash: String,
    /// What is asked.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Seconds.
    pub expires_at: i64,
    /// Codes tried so far.
    #[serde(default)]
    pub attempts: u32,
    /// How the first factor was proved.
    pub auth_method: String,
    /// When it was proved, in seconds.
    pub auth_time: i64,
    /// `auth.session_stamp` at that time.
    #[serde(default)]
    pub session_stamp: Option<String>,
    /// Encrypted secret of an authenticator being set up.
    #[serde(default)]
    pub secret: Option<String>,
    /// Session at the OAuth service that the sign-in came from.
    #[serde(default)]
    pub oauth_session_id: Option<String>,
    /// That service.
    #[serde(default)]
    pub provider: Option<String>,
}

/// Tries counted in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// So far.
    #[serde(default)]
    pub count: u32,
    /// End of the window in seconds.
    pub expires_at: i64,
}

/// What an operator hands to somebody who lost their authenticator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Hash of the ticket.
    pub token_hash: String,
    /// Seconds.
    pub expires_at: i64,
}

/// Everything in `auth.mfa`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Changes with every write.
    #[serde(default = "ids::uuid")]
    pub revision: String,
    /// Encrypted secret of the authenticator.
    #[serde(default)]
    pub secret: Option<String>,
    /// Last time step whose code was used; each is good once.
    #[serde(default = "no_step")]
    pub last_step: i64,
    /// Hashes of unused recovery codes.
    #[serde(default)]
    pub recovery_hashes: Vec<String>,
    /// The sign-in under way.
    #[serde(default)]
    pub login_challenge: Option<Challenge>,
    /// The change of authenticator under way.
    #[serde(default)]
    pub manage_challenge: Option<Challenge>,
    /// Set by a reset: nothing is accepted but the ticket.
    #[serde(default)]
    pub reset_required: bool,
    /// The ticket of the reset.
    #[serde(default)]
    pub reset_ticket: Option<Ticket>,
    /// Tries by kind (`password`, `factor`).
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
}

fn no_step() -> i64 {
    -1
}

impl Default for State {
    fn default() -> Self {
        Self {
            revision: ids::uuid(),
            secret: None,
            last_step: no_step(),
            recovery_hashes: Vec::new(),
            login_challenge: None,
            manage_challenge: None,
            reset_required: false,
            reset_ticket: None,
            limits: BTreeMap::new(),
        }
    }
}

/// Why a code was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum FactorError {
    /// Wrong, or used before.
    Refused,
    /// The stored secret can not be read with the present key.
    Unreadable,
}

impl From<CipherError> for FactorError {
    fn from(_: CipherError) -> Self {
        Self::Unreadable
    }
}

impl State {
    /// The state of a row; `None` and JSON null are an account that has none yet.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn read(stored: Option<&Value>) -> Result<Self, serde_json::Error> {
        match stored.filter(|value| !value.is_null()) {
            Some(value) => Self::deserialize(value),
            None => Ok(Self::default()),
        }
    }

    /// The state as it is stored, under a new revision.
    pub fn to_stored(&self) -> Value {
        let mut next = self.clone();
        next.revision = ids::uuid();
        serde_json::to_value(next).unwrap_or_default()
    }

    /// What a sign-in with a proved first factor has to do next.
    pub fn next_kind(&self) -> Kind {
        if self.reset_required {
            Kind::Recover
        } else if self.secret.is_some() {
            Kind::Verify
        } else {
            Kind::Enroll
        }
    }

    /// Counts a try of `kind` at `now`; the error is the seconds to wait.
    ///
    /// # Errors
    /// The window holds too many tries already.
    pub fn count_try(&mut self, kind: &str, now: i64) -> Result<(), i64> {
        let fresh = Limit {
            count: 0,
            expires_at: now + LIMIT_SECONDS,
        };
        let limit = self
            .limits
            .entry(kind.to_owned())
            .or_insert_with(|| fresh.clone());
        if limit.expires_at <= now {
            *limit = fresh;
        }
        if limit.count >= MAX_TRIES {
            return Err(limit.expires_at - now);
        }
        limit.count += 1;
        Ok(())
    }

    /// Takes a code of the authenticator, or a recovery code; each is good once.
    ///
    /// # Errors
    /// See [`FactorError`].
    pub fn use_factor(
        &mut self,
        cipher: &MfaCipher,
        code: &str,
        recovery: bool,
        now: i64,
    ) -> Result<(), FactorError> {
        let code = code.trim();
        if recovery {
            let digest = token_hash(&code.to_lowercase());
            let at = self.recovery_hashes.iter().position(|known| *known == digest);
            self.recovery_hashes.remove(at.ok_or(FactorError::Refused)?);
            return Ok(());
        }
        let secret = self.secret.as_deref().ok_or(FactorError::Refused)?;
        let secret = cipher.decrypt(secret)?;
        self.last_step =
            totp::matching_step(&secret, code, self.last_step, now).ok_or(FactorError::Refused)?;
        Ok(())
    }

    /// Puts the authenticator of a challenge in place if `code` is its own, and answers new recovery codes.
    ///
    /// # Errors
    /// See [`FactorError`].
    pub fn enrol(
        &mut self,
        cipher: &MfaCipher,
        challenge: &Challenge,
        code: &str,
        now: i64,
    ) -> Result<Vec<String>, FactorError> {
        let stored = challenge.secret.as_deref().ok_or(FactorError::Refused)?;
        let secret = cipher.decrypt(stored)?;
        let step = totp::matching_step(&secret, code.trim(), no_step(), now).ok_or(FactorError::Refused)?;
        self.secret = Some(stored.to_owned());
        self.last_step = step;
        self.reset_required = false;
        self.forget_pending();
        Ok(self.renew_recovery_codes())
    }

    /// Replaces the recovery codes and answers them; only their hashes are kept.
    pub fn renew_recovery_codes(&mut self) -> Vec<String> {
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| uuid_hex()).collect();
        self.recovery_hashes = codes.iter().map(|code| token_hash(code)).collect();
        codes
    }

    /// Drops everything that was begun and not finished.
    pub fn forget_pending(&mut self) {
        self.login_challenge = None;
        self.manage_challenge = None;
        self.reset_ticket = None;
    }

    /// Takes the authenticator away and answers the ticket that lets its owner set up another.
    pub fn reset(&mut self, now: i64) -> String {
        let ticket = random_token();
        self.secret = None;
        self.last_step = no_step();
        self.recovery_hashes.clear();
        self.forget_pending();
        self.reset_required = true;
        self.reset_ticket = Some(Ticket {
            token_hash: token_hash(&ticket),
            expires_at: now + TICKET_SECONDS,
        });
        ticket
    }

    /// Whether the ticket is the one of the present reset.
    pub fn accepts_ticket(&self, ticket: &str, now: i64) -> bool {
        self.reset_required
            && self
                .reset_ticket
                .as_ref()
                .is_some_and(|known| known.expires_at > now && known.token_hash == token_hash(ticket))
    }
}

/// A new challenge for an account, with the token for its client. `proof` is how and when (seconds) the first
/// factor was proved.
pub fn new_challenge(
    user_id: &str,
    session_stamp: Option<&str>,
    kind: Kind,
    proof: (&str, i64),
    now: i64,
) -> (String, Challenge) {
    let token = format!("{user_id}.{}", random_token());
    let challenge = Challenge {
        token_hash: token_hash(&token),
        kind,
        expires_at: now + CHALLENGE_SECONDS,
        attempts: 0,
        auth_method: proof.0.to_owned(),
        auth_time: proof.1,
        session_stamp: session_stamp.map(str::to_owned),
        secret: None,
        oauth_session_id: None,
        provider: None,
    };
    (token, challenge)
}

/// SHA-256 of a token in hexadecimal: tokens themselves are not stored. Comparing hashes tells nothing about
/// how much of a token was right.
pub fn token_hash(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 128 random bits in hexadecimal.
fn uuid_hex() -> String {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 256 random bits as text that is good in addresses.
fn random_token() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}

/// Fills the buffer from the system's source.
#[expect(
    clippy::expect_used,
    reason = "a system without random numbers can not sign anybody in"
)]
pub(crate) fn fill(bytes: &mut [u8]) {
    use ring::rand::SecureRandom;
    ring::rand::SystemRandom::new()
        .fill(bytes)
        .expect("the system gives random numbers");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher() -> MfaCipher {
        MfaCipher::new(None, "a-secret").unwrap()
    }

    fn enrolled(now: i64) -> (State, String, Vec<String>) {
        let cipher = cipher();
        let secret = new_secret();
        let (_, mut challenge) = new_challenge("u", None, Kind::Enroll, ("password", now), now);
        challenge.secret = Some(cipher.encrypt(&secret));
        let mut state = State::default();
        let code = totp::code(&secret, now / 30).unwrap();
        let codes = state.enrol(&cipher, &challenge, &code, now).unwrap();
        (state, secret, codes)
    }

    #[test]
    fn every_code_is_good_once() {
        let now = 1_700_000_000;
        let (mut state, secret, codes) = enrolled(now);
        assert_eq!(state.next_kind(), Kind::Verify);
        let used = totp::code(&secret, now / 30).unwrap();
        assert_eq!(
            state.use_factor(&cipher(), &used, false, now),
            Err(FactorError::Refused)
        );
        let next = totp::code(&secret, now / 30 + 1).unwrap();
        assert_eq!(
            state.use_factor(&cipher(), &format!(" {next} "), false, now),
            Ok(())
        );
        assert_eq!(codes.len(), 10);
        assert_eq!(
            state.use_factor(&cipher(), &codes[3].to_uppercase(), true, now),
            Ok(())
        );
        assert_eq!(
            state.use_factor(&cipher(), &codes[3], true, now),
            Err(FactorError::Refused)
        );
        assert_eq!(state.recovery_hashes.len(), 9);
        let other = MfaCipher::new(None, "another").unwrap();
        assert_eq!(
            state.use_factor(&other, &next, false, now),
            Err(FactorError::Unreadable)
        );
    }

    #[test]
    fn tries_are_counted_in_windows() {
        let mut state = State::default();
        for _ in 0..MAX_TRIES {
            assert_eq!(state.count_try("factor", 100), Ok(()));
        }
        assert_eq!(state.count_try("factor", 130), Err(LIMIT_SECONDS - 30));
        assert_eq!(state.count_try("password", 130), Ok(()));
        assert_eq!(state.count_try("factor", 100 + LIMIT_SECONDS), Ok(()));
    }

    #[test]
    fn a_reset_takes_everything_but_its_ticket() {
        let (mut state, ..) = enrolled(1_700_000_000);
        let ticket = state.reset(1_000);
        assert_eq!(
            (state.next_kind(), state.recovery_hashes.len()),
            (Kind::Recover, 0)
        );
        assert!(state.accepts_ticket(&ticket, 2_000) && !state.accepts_ticket("other", 2_000));
        assert!(!state.accepts_ticket(&ticket, 1_000 + TICKET_SECONDS));
    }

    #[test]
    fn the_stored_form_is_the_references() {
        let stored = serde_json::json!({
            "revision": "r", "secret": null, "last_step": -1, "recovery_hashes": [],
            "login_challenge": {
                "token_hash": "h", "type": "verify", "expires_at": 5, "attempts": 1, "auth_method": "password",
                "auth_time": 4, "session_stamp": null, "secret": null, "oauth_session_id": null, "provider": null,
            },
            "manage_challenge": null, "reset_required": false, "reset_ticket": null,
            "limits": {"factor": {"count": 2, "expires_at": 9}},
        });
        let state = State::read(Some(&stored)).unwrap();
        let mut back = state.to_stored();
        assert_ne!(back["revision"], "r");
        back["revision"] = "r".into();
        assert_eq!(back, stored);
        assert!(State::read(Some(&serde_json::json!({"unknown": 1}))).is_err());
        assert_eq!(State::read(Some(&Value::Null)).unwrap().next_kind(), Kind::Enroll);
    }
}
