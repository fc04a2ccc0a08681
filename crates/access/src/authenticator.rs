//! From the headers of a request to an account: Bearer header, then cookie `token`, then the API key
//! header. At most one query, none when the account is cached.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use oui_config::{Config, Settings, auth, users as user_keys};
use oui_core::{ApiError, ApiResult, messages};
use oui_models::users::{self, Account};
use oui_models::{Db, api_keys, groups};
use parking_lot::Mutex;

use crate::mfa::MfaCipher;
use crate::permissions::Permissions;
use crate::rate_limit::RateLimiter;
use crate::shared::SharedState;
use crate::tokens::{Claims, Tokens, parse_duration};
use crate::{ADMIN, is_verified};

/// A caller whose credentials are good.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account.
    pub account: Arc<Account>,
    /// What they came with.
    pub credential: Credential,
}

/// What a caller proved themselves with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A signed token.
    Token {
        /// The token itself, for connections that pass it on.
        token: String,
        /// What it says.
        claims: Claims,
    },
    /// An API key.
    ApiKey,
}

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// `password`, `ldap`, `oauth`, `trusted_header` or `system`.
    pub method: &'a str,
    /// When, in seconds; `None` is now.
    pub at: Option<i64>,
    /// Whether a second factor was given too.
    pub second_factor: bool,
}

impl<'a> Proof<'a> {
    /// A first factor, just now.
    pub fn by(method: &'a str) -> Self {
        Self {
            method,
            at: None,
            second_factor: false,
        }
    }
}

impl Identity {
    /// Whether a person signed in.
    pub fn is_human(&self) -> bool {
        matches!(&self.credential, Credential::Token { claims, .. } if claims.is_human_session())
    }

    /// `jwt` or `api_key`.
    pub fn auth_type(&self) -> &'static str {
        match self.credential {
            Credential::Token { .. } => "jwt",
            Credential::ApiKey => "api_key",
        }
    }
}

/// Resolves credentials.
pub struct Authenticator {
    db: Db,
    config: Arc<Config>,
    settings: Arc<Settings>,
    /// Signs and reads session tokens.
    pub tokens: Tokens,
    /// Encrypts second factors; `None` while `MFA_ENCRYPTION_KEY` is no key.
    cipher: Option<MfaCipher>,
    /// What servers know together.
    shared: Option<Arc<dyn SharedState>>,
    /// When each user was last noted as active, in seconds.
    touched: Mutex<HashMap<String, i64>>,
}

impl Authenticator {
    /// An authenticator over the database.
    pub fn new(
        db: Db,
        config: Arc<Config>,
        settings: Arc<Settings>,
        secret: &str,
        shared: Option<Arc<dyn SharedState>>,
    ) -> Self {
        let tokens = Tokens::new(secret, db.clock().clone());
        let own_key = settings.auth.mfa_key.as_ref().map(|key| key.expose());
        let cipher = MfaCipher::new(own_key, secret).ok();
        Self {
            db,
            config,
            settings,
            tokens,
            cipher,
            shared,
            touched: Mutex::default(),
        }
    }

    /// The caller of a request to `path`.
    #[boxed]
    pub async fn identify(&self, headers: &HeaderMap, path: &str) -> ApiResult<Identity> {
        let Some(token) = self.credential(headers) else {
            return Err(ApiError::unauthorized(messages::NOT_AUTHENTICATED));
        };
        let identity = if token.starts_with("sk-") {
            self.by_api_key(&token, path).await?
        } else {
            let identity = self.by_token(&token).await?;
            self.check_trusted_header(headers, &identity)?;
            identity
        };
        self.note_activity(&identity.account.user.id);
        Ok(identity)
    }

    /// The credential of a request, wherever it stands.
    pub fn credential(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = text(header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
        let bearer = authorization.and_then(bearer_token);
        let cookie = || cookie(headers, "token").filter(|token| !token.is_empty());
        // Behind the cookie, but before the key header, a token counts under any scheme, as in the reference.
        let any_scheme = || {
            authorization
                .map(|(_, token)| token)
                .filter(|token| is_one_word(token))
        };
        let custom = || {
            let name = self.settings.auth.api_key_header.as_deref()?;
            text(name).filter(|key| !key.is_empty()).map(str::to_owned)
        };
        bearer
            .map(str::to_owned)
            .or_else(cookie)
            .or_else(|| any_scheme().map(str::to_owned))
            .or_else(custom)
    }

    /// The account of a session token, for the socket server and for requests.
    #[boxed]
    pub async fn by_token(&self, token: &str) -> ApiResult<Identity> {
        let claims = self
            .tokens
            .read(token)
            .ok_or_else(|| ApiError::unauthorized(messages::UNAUTHORIZED))?;
        let account = users::account(&self.db, &claims.id)
            .await?
            .filter(|account| account.active)
            .ok_or_else(|| ApiError::unauthorized(messages::INVALID_AUTHENTICATION))?;
        if !self.is_current(&claims, &account) || self.is_signed_out(&claims).await {
            return Err(ApiError::unauthorized(messages::TOKEN_REVOKED));
        }
        Ok(Identity {
            account,
            credential: Credential::Token {
                token: token.to_owned(),
                claims,
            },
        })
    }

    /// Whether the token was signed out before its end, which only servers with shared state remember. A failure
    /// lets the token pass, as at the reference.
    async fn is_signed_out(&self, claims: &Claims) -> bool {
        let Some(shared) = &self.shared else {
            return false;
        };
        let answer = shared
            .is_revoked(claims.jti.as_deref(), &claims.id, claims.iat)
            .await;
        answer.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether a token was signed out; it is accepted");
            false
        })
    }

    /// Signs a token out, where servers share a memory. Answers whose it was, if it was good until now and ends by
    /// itself some day.
    #[boxed]
    pub async fn sign_out(&self, token: &str) -> Option<Arc<Account>> {
        let shared = self.shared.as_ref()?;
        let identity = self.by_token(token).await.ok()?;
        let Credential::Token { claims, .. } = &identity.credential else {
            return None;
        };
        let left = claims.exp? - self.db.now();
        let token_id = claims.jti.as_deref().filter(|_| left > 0)?;
        if let Err(error) = shared.revoke(token_id, left).await {
            tracing::error!(%error, "a token could not be signed out");
            return None;
        }
        Some(identity.account)
    }

    /// A limit on tries, counted by all servers together where they share a memory.
    pub fn rate_limiter(&self, limit: u32, window: i64) -> RateLimiter {
        RateLimiter::new(limit, window, self.db.clock().clone(), self.shared.clone())
    }

    fn is_current(&self, claims: &Claims, account: &Account) -> bool {
        let known = matches!(claims.kind(), "session" | "automation" | "subagent");
        let stamped = claims.session_stamp == account.session_stamp;
        let second_factor = !claims.is_human_session()
            || !self.needs_second_factor(claims.auth_method.as_deref().unwrap_or_default())
            || (claims.mfa_verified == Some(true) && has_second_factor(account));
        known && stamped && second_factor
    }

    /// Whether sign-ins by this method need a second factor.
    pub fn needs_second_factor(&self, method: &str) -> bool {
        let bypass = match method {
            "oauth" => self.config.get(&auth::MFA_ALLOW_OAUTH_BYPASS),
            "trusted_header" => self.config.get(&auth::MFA_ALLOW_TRUSTED_HEADER_BYPASS),
            _ => false,
        };
        self.config.get(&auth::ENABLE_MFA) && !bypass
    }

    /// What second factors are encrypted with.
    ///
    /// # Errors
    /// 503 when the operator's key is no key.
    pub fn mfa_cipher(&self) -> ApiResult<&MfaCipher> {
        self.cipher.as_ref().ok_or_else(factors_unreadable)
    }

    async fn by_api_key(&self, key: &str, path: &str) -> ApiResult<Identity> {
        let invalid = || ApiError::unauthorized(messages::INVALID_TOKEN);
        let user_id = api_keys::owner(&self.db, key).await?.ok_or_else(invalid)?;
        let account = users::account(&self.db, &user_id).await?.ok_or_else(invalid)?;
        let refused = || ApiError::forbidden(messages::API_KEY_NOT_ALLOWED);
        if !self.config.get(&auth::ENABLE_API_KEYS) {
            return Err(refused());
        }
        if account.user.role != ADMIN && !self.permissions_of(&user_id).await?.has("features.api_keys") {
            return Err(refused());
        }
        if self.config.get(&auth::ENABLE_API_KEYS_ENDPOINT_RESTRICTIONS) {
            let allowed = self.config.get(&auth::API_KEYS_ALLOWED_ENDPOINTS);
            if !path_is_allowed(&allowed, path) {
                return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
            }
        }
        Ok(Identity {
            account,
            credential: Credential::ApiKey,
        })
    }

    fn check_trusted_header(&self, headers: &HeaderMap, identity: &Identity) -> ApiResult<()> {
        let Some(name) = &self.settings.auth.trusted_email_header else {
            return Ok(());
        };
        let email = headers
            .get(name.as_str())
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if email.is_empty() || email.to_lowercase() == identity.account.user.email {
            return Ok(());
        }
        Err(ApiError::unauthorized(messages::USER_MISMATCH))
    }

    /// Signs a session for an account that has proved itself. Answers the token and its end.
    pub fn open_session(&self, account: &Account, proof: &Proof<'_>) -> ApiResult<(String, Option<i64>)> {
        let lifetime = parse_duration(&self.config.get(&auth::JWT_EXPIRES_IN)).ok_or_else(|| {
            ApiError::internal("JWT_EXPIRES_IN is no duration; use a text such as 4w, 12h or -1")
        })?;
        let now = self.db.now();
        let claims = Claims {
            id: account.user.id.clone(),
            typ: Some("session".into()),
            auth_method: Some(proof.method.into()),
            auth_time: Some(proof.at.unwrap_or(now)),
            session_stamp: account.session_stamp.clone(),
            mfa_verified: Some(proof.second_factor),
            exp: None,
            jti: None,
            iat: None,
        };
        Ok((
            self.tokens.sign(claims, lifetime)?,
            lifetime.map(|seconds| now + seconds),
        ))
    }

    /// The effective permissions of a user.
    #[boxed]
    pub async fn permissions_of(&self, user_id: &str) -> ApiResult<Permissions> {
        let membership = groups::membership(&self.db, user_id).await?;
        let stored = self.config.get(&user_keys::USER_PERMISSIONS);
        let defaults = self.config.environment_value(&user_keys::USER_PERMISSIONS);
        Ok(Permissions::effective(&stored, &defaults, &membership))
    }

    /// Writes the time of the last activity in the background, at most once per interval and user.
    pub fn note_activity(&self, user_id: &str) {
        let now = self.db.now();
        let interval = i64::try_from(self.settings.database.activity_interval.as_secs()).unwrap_or(60);
        {
            let mut touched = self.touched.lock();
            match touched.get(user_id) {
                Some(last) if now - last < interval => return,
                _ => touched.insert(user_id.to_owned(), now),
            };
            if touched.len() > 50_000 {
                touched.retain(|_, last| now - *last < interval);
            }
        }
        let (db, user_id) = (self.db.clone(), user_id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = users::touch(&db, &user_id).await {
                tracing::warn!(%error, "could not note activity");
            }
        });
    }
}

/// The answer where a stored second factor can not be read with the present key.
pub fn factors_unreadable() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, messages::MFA_UNREADABLE)
}

fn has_second_factor(account: &Account) -> bool {
    let mfa = account.mfa.as_ref();
    let has_secret = mfa
        .and_then(|mfa| mfa.get("secret"))
        .and_then(|secret| secret.as_str())
        .is_some();
    let reset = mfa
        .and_then(|mfa| mfa.get("reset_required"))
        .and_then(|flag| flag.as_bool())
        .unwrap_or(false);
    has_secret && !reset
}

/// Token of an `Authorization: Bearer` header, split at the first space. The scheme is taken in any case; a
/// header of other than two words is no credential.
fn bearer_token<'a>((scheme, token): (&'a str, &'a str)) -> Option<&'a str> {
    (scheme.eq_ignore_ascii_case("bearer") && is_one_word(token)).then_some(token)
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}

/// A cookie of the request.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

fn path_is_allowed(allowed: &str, path: &str) -> bool {
    allowed
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| path == entry || path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/')))
}

/// Whether the account may use the application.
pub fn is_admitted(account: &Account) -> bool {
    is_verified(&account.user.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_where_they_stand() {
        assert_eq!(bearer_token(("Bearer", "abc")), Some("abc"));
        assert_eq!(bearer_token(("bearer", "abc")), Some("abc"));
        assert_eq!(bearer_token(("Basic", "abc")), None);
        assert_eq!(bearer_token(("Bearer", "a b")), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; token=xyz".parse().unwrap());
        assert_eq!(cookie(&headers, "token").as_deref(), Some("xyz"));
        assert_eq!(cookie(&headers, "other"), None);
    }

    #[test]
    fn restricted_paths_match_whole_segments() {
        assert!(path_is_allowed("/api/models, /api/v1/chats", "/api/v1/chats/x"));
        assert!(!path_is_allowed("/api/models", "/api/models2"));
        assert!(!path_is_allowed("", "/api/models"));
    }
}
