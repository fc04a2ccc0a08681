//! Sign-in: the signing secret, cookies, trusted proxy headers, passwords, the first administrator, SCIM.

use std::path::PathBuf;

use super::spec::{Spec, flag, int, optional_secret, optional_text, path, settings, text};
use crate::secret::Secret;

settings! {
    "Sign-in";
    /// How users prove who they are.
    pub struct Auth {
        /// Asks users to sign in; off makes everybody the one administrator.
        WEBUI_AUTH => pub enabled: bool = flag("true");
        /// Signs sessions and derives encryption keys. Empty keeps a generated one in
        /// `WEBUI_SECRET_KEY_FILE`.
        WEBUI_SECRET_KEY => pub(crate) secret_given: Option<Secret> =
            optional_secret().or(&["WEBUI_JWT_SECRET_KEY"]);
        /// File of the generated secret, created at the first start.
        WEBUI_SECRET_KEY_FILE => pub(crate) secret_file: PathBuf = path(".webui_secret_key");
        /// Random bytes of a generated secret.
        WEBUI_SECRET_KEY_LENGTH => pub(crate) secret_length: usize = Spec::new(
            "a whole number from 1 to 4096", "24",
            |text| {
                let bytes = crate::python::int(text).and_then(|bytes| usize::try_from(bytes).ok());
                bytes.filter(|bytes| (1..=4096).contains(bytes))
            },
        ).strict();
        /// E-mail of an administrator created at the first start.
        WEBUI_ADMIN_EMAIL => pub admin_email: Option<String> = optional_text();
        /// Password of that administrator.
        WEBUI_ADMIN_PASSWORD => pub admin_password: Option<Secret> = optional_secret();
        /// Name of that administrator.
        WEBUI_ADMIN_NAME => pub admin_name: String = text("Admin");
        /// Accepts e-mail and password.
        ENABLE_PASSWORD_AUTH => pub password_auth: bool = flag("true");
        /// Lets the first visitor become the administrator even while the sign-in form is off.
        ENABLE_INITIAL_ADMIN_SIGNUP => pub initial_admin_signup: bool = flag("false");
        /// Asks for the password twice at sign-up.
        ENABLE_SIGNUP_PASSWORD_CONFIRMATION => pub confirm_password: bool = flag("false");
        /// Requires new passwords to match `PASSWORD_VALIDATION_REGEX_PATTERN`.
        ENABLE_PASSWORD_VALIDATION => pub validate_password: bool = flag("false");
        /// Pattern of accepted passwords; look-ahead is allowed.
        PASSWORD_VALIDATION_REGEX_PATTERN => pub password_pattern: String = text(DEFAULT_PASSWORD_PATTERN);
        /// What users read when a password does not match.
        PASSWORD_VALIDATION_HINT => pub password_hint: String = text("");
        /// Hash of new passwords: `bcrypt` or `argon2`.
        PASSWORD_HASH_ALGORITHM => pub password_hash: PasswordHash =
            Spec::new("`bcrypt` or `argon2`", "bcrypt", password_hash).strict();
        /// SameSite of the session cookie: `lax`, `strict` or `none`.
        WEBUI_SESSION_COOKIE_SAME_SITE => pub session_same_site: SameSite = same_site();
        /// Sends the session cookie over HTTPS only.
        WEBUI_SESSION_COOKIE_SECURE => pub session_secure: bool = flag("false");
        /// SameSite of the sign-in cookie.
        WEBUI_AUTH_COOKIE_SAME_SITE => pub cookie_same_site: SameSite =
            same_site().or(&["WEBUI_SESSION_COOKIE_SAME_SITE"]);
        /// Sends the sign-in cookie over HTTPS only.
        WEBUI_AUTH_COOKIE_SECURE => pub cookie_secure: bool =
            flag("false").or(&["WEBUI_SESSION_COOKIE_SECURE"]);
        /// Header in which a trusted reverse proxy names the user's e-mail; set it only behind such a proxy.
        WEBUI_AUTH_TRUSTED_EMAIL_HEADER => pub trusted_email_header: Option<String> = header_name("");
        /// Header with the user's name.
        WEBUI_AUTH_TRUSTED_NAME_HEADER => pub trusted_name_header: Option<String> = header_name("");
        /// Header with the user's groups, separated by commas.
        WEBUI_AUTH_TRUSTED_GROUPS_HEADER => pub trusted_groups_header: Option<String> = header_name("");
        /// Header with the user's role.
        WEBUI_AUTH_TRUSTED_ROLE_HEADER => pub trusted_role_header: Option<String> = header_name("");
        /// Header in which API keys are accepted besides `Authorization`.
        CUSTOM_API_KEY_HEADER => pub api_key_header: Option<String> = header_name("x-api-key");
        /// Where the client goes after sign-out.
        WEBUI_AUTH_SIGNOUT_REDIRECT_URL => pub signout_redirect: Option<String> = optional_text();
        /// Key that protects second factors; empty derives one from the secret.
        MFA_ENCRYPTION_KEY => pub mfa_key: Option<Secret> = optional_secret();
        /// Mounts the SCIM 2.0 interface.
        ENABLE_SCIM => pub scim: bool = flag("false").or(&["SCIM_ENABLED"]);
        /// Token of SCIM clients.
        SCIM_TOKEN => pub scim_token: Option<Secret> = optional_secret();
        /// Sign-in service whose user ids SCIM carries.
        SCIM_AUTH_PROVIDER => pub scim_provider: Option<String> = optional_text();
    }
}

settings! {
    "OAuth";
    /// OAuth settings that are not configuration keys.
    pub struct OAuth {
        /// Makes up an e-mail for users whose service gives none.
        ENABLE_OAUTH_EMAIL_FALLBACK => pub email_fallback: bool = flag("false");
        /// Keeps the service's ID token in a cookie, for sign-out.
        ENABLE_OAUTH_ID_TOKEN_COOKIE => pub id_token_cookie: bool = flag("true");
        /// Protects stored client registrations; empty uses the secret.
        OAUTH_CLIENT_INFO_ENCRYPTION_KEY => pub(crate) client_key: Option<Secret> = optional_secret();
        /// Protects stored tokens; empty uses the secret.
        OAUTH_SESSION_TOKEN_ENCRYPTION_KEY => pub(crate) session_key: Option<Secret> = optional_secret();
        /// Sessions kept per user and service.
        OAUTH_MAX_SESSIONS_PER_USER => pub max_sessions: i64 = int("10").strict();
        /// Lets other applications exchange a service's token for one of this server.
        ENABLE_OAUTH_TOKEN_EXCHANGE => pub token_exchange: bool = flag("false");
        /// Exchanges allowed per window; empty or `none` means no limit.
        OAUTH_TOKEN_EXCHANGE_RATE_LIMIT => pub token_exchange_limit: Option<u32> =
            Spec::new("a whole number or `none`", "", rate_limit).strict();
        /// Length of that window in seconds.
        OAUTH_TOKEN_EXCHANGE_RATE_LIMIT_WINDOW => pub token_exchange_window: u64 = int("180").strict();
        /// Clients whose tokens may be exchanged, separated by commas.
        OAUTH_TOKEN_EXCHANGE_TRUSTED_CLIENT_IDS => pub token_exchange_clients: Vec<String> =
            super::spec::list("");
        /// Lets services end sessions through the back channel.
        ENABLE_OAUTH_BACKCHANNEL_LOGOUT => pub backchannel_logout: bool = flag("false");
        /// Separates groups when the claim is one text.
        OAUTH_GROUPS_SEPARATOR => pub groups_separator: String = text(";");
        /// Sends the client id again when a code is exchanged.
        OAUTH_ACCESS_TOKEN_REQUEST_INCLUDE_CLIENT_ID => pub repeat_client_id: bool = flag("false");
        /// More parameters for the service's sign-in page, as a JSON object.
        OAUTH_AUTHORIZE_PARAMS => pub authorize_params: serde_json::Value = super::spec::object();
        /// More parameters for Google's sign-in page, as a JSON object.
        GOOGLE_OAUTH_AUTHORIZE_PARAMS => pub google_authorize_params: serde_json::Value =
            super::spec::object();
    }
}

/// Eight characters with a lower-case and an upper-case letter, a digit and a sign.
const DEFAULT_PASSWORD_PATTERN: &str = r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[^\w\s]).{8,}$";

/// SameSite attribute of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent on top-level navigation from other sites.
    Lax,
    /// Never sent from other sites.
    Strict,
    /// Always sent.
    None,
}

impl SameSite {
    /// The attribute's text in the form of the original's cookies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "lax",
            Self::Strict => "strict",
            Self::None => "none",
        }
    }
}

/// Hash of new passwords; stored hashes of either kind are always accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHash {
    /// bcrypt.
    Bcrypt,
    /// argon2id.
    Argon2,
}

const fn same_site() -> Spec<SameSite> {
    Spec::new("`lax`, `strict` or `none`", "lax", |text| {
        match text.to_lowercase().as_str() {
            "lax" => Some(SameSite::Lax),
            "strict" => Some(SameSite::Strict),
            "none" => Some(SameSite::None),
            _ => None,
        }
    })
    .strict()
}

/// Name of an HTTP header; empty is none.
const fn header_name(default: &'static str) -> Spec<Option<String>> {
    Spec::new("a header name", default, |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        text.bytes()
            .all(fits)
            .then(|| (!text.is_empty()).then(|| text.to_owned()))
    })
    .strict()
}

fn password_hash(text: &str) -> Option<PasswordHash> {
    match text.to_lowercase().as_str() {
        "bcrypt" => Some(PasswordHash::Bcrypt),
        "argon2" => Some(PasswordHash::Argon2),
        _ => None,
    }
}

fn rate_limit(text: &str) -> Option<Option<u32>> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    crate::python::int(text)
        .and_then(|limit| u32::try_from(limit).ok())
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limits() {
        assert_eq!(rate_limit(" None "), Some(None));
        assert_eq!(rate_limit("5"), Some(Some(5)));
        assert_eq!(rate_limit("-5"), None);
    }
}
