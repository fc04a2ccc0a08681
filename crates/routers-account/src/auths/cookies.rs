//! The cookies of sign-in and sign-out, in the form that the reference writes them.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use oui_config::settings::Auth;
use oui_core::{ApiError, ApiResult};

/// Cookies that sign-out takes away.
const SIGNED_OUT: &[&str] = &["token", "owui-session", "oui-session", "oauth_id_token"];

/// The cookie that carries the session.
pub(super) struct SessionCookie<'a> {
    /// The signed token.
    pub(super) token: &'a str,
    /// End to be named, in seconds.
    pub(super) expires: Option<i64>,
    /// Seconds until the end.
    pub(super) max_age: Option<i64>,
}

impl SessionCookie<'_> {
    /// `Set-Cookie` of the session.
    pub(super) fn header(&self, auth: &Auth) -> ApiResult<HeaderValue> {
        let mut text = format!("token={}", self.token);
        if let Some(at) = self.expires {
            text.push_str(&format!("; expires={}", http_date(at)));
        }
        text.push_str("; HttpOnly");
        if let Some(seconds) = self.max_age {
            text.push_str(&format!("; Max-Age={seconds}"));
        }
        text.push_str(&format!("; Path=/; SameSite={}", auth.cookie_same_site.as_str()));
        if auth.cookie_secure {
            text.push_str("; Secure");
        }
        HeaderValue::try_from(text).map_err(ApiError::internal)
    }
}

/// `Set-Cookie` headers that end a session, and an OAuth session if there is one. `now` in seconds.
pub(super) fn ended(now: i64, oauth: bool) -> ApiResult<Vec<HeaderValue>> {
    let oauth = oauth.then_some("oauth_session_id");
    SIGNED_OUT
        .iter()
        .copied()
        .chain(oauth)
        .map(|name| {
            let text = format!(
                "{name}=\"\"; expires={}; Max-Age=0; Path=/; SameSite=lax",
                http_date(now)
            );
            HeaderValue::try_from(text).map_err(ApiError::internal)
        })
        .collect()
}

/// Cookie with the challenge of a sign-in that ended with a redirect.
pub(super) const MFA_CHALLENGE: &str = "mfa_challenge";

/// `Set-Cookie` that takes the challenge away. `now` in seconds.
pub(super) fn challenge_ended(now: i64) -> ApiResult<HeaderValue> {
    let text = format!(
        "{MFA_CHALLENGE}=\"\"; expires={}; Max-Age=0; Path=/api/v1/auths/mfa; SameSite=lax",
        http_date(now)
    );
    HeaderValue::try_from(text).map_err(ApiError::internal)
}

fn http_date(seconds: i64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use oui_config::{Environment, Settings};

    use super::*;

    fn auth(variables: &[(&str, &str)]) -> Auth {
        let all = variables.iter().copied().chain([("WEBUI_SECRET_KEY", "k")]);
        Settings::load(&Environment::from_map(all)).unwrap().auth
    }

    #[test]
    fn attributes_stand_in_the_order_of_the_reference() {
        let cookie = SessionCookie {
            token: "t",
            expires: Some(0),
            max_age: Some(60),
        };
        assert_eq!(
            cookie.header(&auth(&[])).unwrap(),
            "token=t; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=60; Path=/; SameSite=lax"
        );
        let secure = auth(&[
            ("WEBUI_AUTH_COOKIE_SECURE", "true"),
            ("WEBUI_AUTH_COOKIE_SAME_SITE", "strict"),
        ]);
        let endless = SessionCookie {
            token: "t",
            expires: None,
            max_age: None,
        };
        assert_eq!(
            endless.header(&secure).unwrap(),
            "token=t; HttpOnly; Path=/; SameSite=strict; Secure"
        );
    }

    #[test]
    fn signing_out_takes_the_oauth_session_along() {
        assert_eq!(ended(0, false).unwrap().len(), 4);
        let last = ended(0, true).unwrap().pop().unwrap();
        assert!(
            last.to_str()
                .unwrap()
                .starts_with("oauth_session_id=\"\"; expires=Thu, 01 Jan 1970")
        );
    }
}
