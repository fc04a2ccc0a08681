//! Hashing and checking of passwords. Hashes are interchangeable with the reference's: bcrypt
//! (`$2b$`, cost 12) or argon2id with the parameters of its Python library.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString, rand_core::OsRng};
use argon2::{Algorithm, Argon2, Params, Version};
use fancy_regex::Regex;
use oui_core::boxed;
use oui_core::{ApiError, ApiResult, messages};

/// bcrypt looks at no more bytes than these.
const BCRYPT_MAX_BYTES: usize = 72;
/// Cost of `bcrypt.gensalt()`.
const BCRYPT_COST: u32 = 12;

/// Which algorithm new hashes are made with (`PASSWORD_HASH_ALGORITHM`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// bcrypt, the default.
    Bcrypt,
    /// argon2id.
    Argon2,
}

/// Rules for new passwords.
#[derive(Debug, Clone)]
pub struct PasswordPolicy {
    /// Algorithm of new hashes.
    pub kind: HashKind,
    /// Pattern that a password must match at its start, and the hint shown when it does not.
    pub pattern: Option<(Regex, String)>,
}

impl PasswordPolicy {
    /// Refuses a password that is too long for the algorithm or does not match the pattern.
    pub fn check(&self, password: &str) -> ApiResult<()> {
        if self.kind == HashKind::Bcrypt && password.len() > BCRYPT_MAX_BYTES {
            return Err(ApiError::bad_request(messages::PASSWORD_TOO_LONG));
        }
        match &self.pattern {
            Some((pattern, hint)) if !pattern.is_match(password).unwrap_or(false) => {
                let fallback = "The password does not meet the required validation criteria.";
                Err(ApiError::bad_request(if hint.is_empty() {
                    fallback
                } else {
                    hint.as_str()
                }))
            }
            _ => Ok(()),
        }
    }

    /// Hashes a password off the async runtime.
    #[boxed]
    pub async fn hash(&self, password: &str) -> ApiResult<String> {
        let (kind, password) = (self.kind, password.to_owned());
        tokio::task::spawn_blocking(move || hash_now(kind, &password))
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::internal)
    }
}

fn hash_now(kind: HashKind, password: &str) -> Result<String, String> {
    match kind {
        HashKind::Bcrypt => bcrypt::hash(password, BCRYPT_COST).map_err(|error| error.to_string()),
        HashKind::Argon2 => {
            // argon2-cffi's defaults (RFC 9106, low memory): 64 MiB, 3 passes, 4 lanes, 32 bytes.
            let params = Params::new(65_536, 3, 4, Some(32)).map_err(|error| error.to_string())?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
                .map(|hash| hash.to_string())
                .map_err(|error| error.to_string())
        }
    }
}

/// Compares a password with a hash of either kind, off the async runtime.
#[boxed]
pub async fn verify(password: &str, hash: &str) -> bool {
    let (password, hash) = (password.to_owned(), hash.to_owned());
    tokio::task::spawn_blocking(move || verify_now(&password, &hash))
        .await
        .unwrap_or(false)
}

fn verify_now(password: &str, hash: &str) -> bool {
    if hash.starts_with("$argon2") {
        return PasswordHash::new(hash).is_ok_and(|parsed| {
            Argon2::default()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok()
        });
    }
    let bytes = password.as_bytes();
    bcrypt::verify(&bytes[..bytes.len().min(BCRYPT_MAX_BYTES)], hash).unwrap_or(false)
}

/// Spends the time of a comparison, so that a refusal does not tell whether the account exists.
#[boxed]
pub async fn verify_nothing(password: &str) {
    // bcrypt hash of a random text, cost 12.
    const NOBODY: &str = "$2b$12$7TC.kMZfNHAYwA8KFLOBRuTGZ31nyehPy1qu9VXqrs1fK0tbDOfSy";
    verify(password, NOBODY).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(kind: HashKind) -> PasswordPolicy {
        PasswordPolicy { kind, pattern: None }
    }

    #[tokio::test]
    async fn hashes_verify() {
        for kind in [HashKind::Bcrypt, HashKind::Argon2] {
            let hash = policy(kind).hash("Pässword1").await.unwrap();
            assert!(verify("Pässword1", &hash).await);
            assert!(!verify("password1", &hash).await);
        }
    }

    #[tokio::test]
    async fn hashes_of_the_python_libraries_verify() {
        // Made with bcrypt 5 and argon2-cffi 25 for the password "secret".
        assert!(
            verify(
                "secret",
                "$2b$04$Oqlk.odFgmTvut0igRCajOrM2N4AUwMGp2ezr4kMRSEDC65WEZhmO"
            )
            .await
        );
        let argon = "$argon2id$v=19$m=65536,t=3,p=4$C5TCIKhgHbh2XOqghb+k9w$sNCJZe4WzBgJ00Jk+DALF49ottwrMy0XA4OdCFa/RxM";
        assert!(verify("secret", argon).await);
        assert!(!verify("secret", "not a hash").await);
        assert!(!verify("secret", "").await);
    }

    #[test]
    fn bcrypt_refuses_what_it_would_cut_off() {
        assert!(policy(HashKind::Bcrypt).check(&"x".repeat(73)).is_err());
        assert!(policy(HashKind::Argon2).check(&"x".repeat(73)).is_ok());
        let pattern = Some((Regex::new("^.{8,}$").unwrap(), "Eight characters".to_owned()));
        let strict = PasswordPolicy {
            kind: HashKind::Bcrypt,
            pattern,
        };
        assert_eq!(
            strict.check("short").unwrap_err().detail_text(),
            "Eight characters"
        );
    }
}
