//! Session tokens: HS256 JWTs with the reference's claims, so that tokens made by either server
//! are good at the other under the same secret.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use oui_core::{ApiError, ApiResult, Clock, ids};
use serde::{Deserialize, Serialize};

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Claims {
    /// User id.
    pub id: String,
    /// `session`, `automation` or `subagent`; tokens without it are sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// `password`, `ldap`, `oauth`, `trusted_header`, `system` or `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Must equal `auth.session_stamp`.
    #[serde(default)]
    pub session_stamp: Option<String>,
    /// Whether a second factor was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_verified: Option<bool>,
    /// Seconds; absent for tokens that do not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
}

impl Claims {
    /// Whether a person signed in with it (not an automation).
    pub fn is_human_session(&self) -> bool {
        self.kind() == "session"
    }

    /// `typ`, where absent means a session.
    pub fn kind(&self) -> &str {
        self.typ.as_deref().unwrap_or("session")
    }
}

/// Signs and reads tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    clock: Clock,
}

impl Tokens {
    /// Tokens under `WEBUI_SECRET_KEY`.
    pub fn new(secret: &str, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry is checked against our own clock; a token without expiry is legal.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            clock,
        }
    }

    /// Signs claims, giving them an id, the time of issue and, with `lifetime` (seconds), an end.
    pub fn sign(&self, mut claims: Claims, lifetime: Option<i64>) -> ApiResult<String> {
        let now = self.clock.seconds();
        claims.exp = lifetime.map(|seconds| now + seconds);
        claims.jti = Some(ids::uuid());
        claims.iat = Some(now);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(ApiError::internal)
    }

    /// Claims of a token that is genuine and has not ended.
    pub fn read(&self, token: &str) -> Option<Claims> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .ok()?
            .claims;
        let now = self.clock.seconds();
        let ended = claims.exp.is_some_and(|exp| exp <= now);
        let from_the_future = claims.iat.is_some_and(|iat| iat > now);
        (!ended && !from_the_future).then_some(claims)
    }
}

/// Reads a duration such as `4w`, `30m` or `1h30m` into seconds. `-1` and `0` mean no end; `None`
/// in the error place means that the text is no duration.
pub fn parse_duration(text: &str) -> Option<Option<i64>> {
    if text == "-1" || text == "0" {
        return Some(None);
    }
    let (mut total, mut rest, mut found) = (0.0, text, false);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '-') {
        rest = &rest[start..];
        let end = rest[1..]
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .map_or(rest.len(), |at| at + 1);
        let number = rest[..end].parse::<f64>().ok();
        rest = &rest[end..];
        let unit = ["ms", "s", "m", "h", "d", "w"]
            .into_iter()
            .find(|unit| rest.starts_with(unit));
        if let (Some(number), Some(unit)) = (number, unit) {
            rest = &rest[unit.len()..];
            found = true;
            total += number
                * match unit {
                    "ms" => 0.001,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3_600.0,
                    "d" => 86_400.0,
                    _ => 604_800.0,
                };
        }
    }
    found.then_some(Some(total as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            id: "u".into(),
            typ: Some("session".into()),
            auth_method: Some("password".into()),
            auth_time: Some(100),
            session_stamp: Some("s".into()),
            mfa_verified: Some(false),
            exp: None,
            jti: None,
            iat: None,
        }
    }

    #[test]
    fn a_token_ends() {
        let clock = Clock::fixed(1_000);
        let tokens = Tokens::new("key", clock.clone());
        let token = tokens.sign(claims(), Some(10)).unwrap();
        assert_eq!(tokens.read(&token).unwrap().exp, Some(1_010));
        assert!(Tokens::new("other", clock.clone()).read(&token).is_none());
        clock.advance(10);
        assert!(tokens.read(&token).is_none());
    }

    #[test]
    fn a_token_of_the_python_library_is_read() {
        // jwt.encode({"id": "u1", "session_stamp": "st", "iat": 1000, "exp": 99999999999}, "key", "HS256")
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6InUxIiwic2Vzc2lvbl9zdGFtcCI6InN0IiwiaWF0IjoxMDAwLCJleHAiOjk5OTk5OTk5OTk5fQ.mkLW3DUKJzXTUKE3nkBCqMGyQR5HaJnisOl914LPHaQ";
        let read = Tokens::new("key", Clock::fixed(2_000)).read(token).unwrap();
        assert_eq!(
            (read.id.as_str(), read.session_stamp.as_deref(), read.kind()),
            ("u1", Some("st"), "session")
        );
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("4w"), Some(Some(2_419_200)));
        assert_eq!(parse_duration("1h30m"), Some(Some(5_400)));
        assert_eq!(parse_duration("-1"), Some(None));
        assert_eq!(parse_duration("soon"), None);
    }
}
