//! Keys of tokens, API keys, multi-factor sign-in and the administrator shown to waiting users.

use crate::key::{Key, keys};

keys! {
    "Sign-in, API keys, MFA";

    /// Shows waiting users whom to ask.
    pub static SHOW_ADMIN_DETAILS: Key<bool> = Key::bool("auth.admin.show", true);
    /// E-mail shown to waiting users; unset shows the first administrator's.
    pub static ADMIN_EMAIL: Key<Option<String>> = Key::optional_text("auth.admin.email");
    /// Lets users create API keys.
    pub static ENABLE_API_KEYS: Key<bool> = Key::bool("auth.enable_api_keys", false).secret();
    /// Limits API keys to the listed paths.
    pub static ENABLE_API_KEYS_ENDPOINT_RESTRICTIONS: Key<bool> =
        Key::bool("auth.api_key.endpoint_restrictions", false)
            .or_env(&["ENABLE_API_KEY_ENDPOINT_RESTRICTIONS"]);
    /// Paths open to API keys, separated by commas.
    pub static API_KEYS_ALLOWED_ENDPOINTS: Key<String> =
        Key::text("auth.api_key.allowed_endpoints", "").or_env(&["API_KEY_ALLOWED_ENDPOINTS"]);
    /// Lifetime of a sign-in, such as `4w`; `-1` means forever.
    pub static JWT_EXPIRES_IN: Key<String> = Key::text("auth.jwt_expiry", "4w");
    /// Offers sign-in with a second factor.
    pub static ENABLE_MFA: Key<bool> = Key::bool("auth.mfa.enable", false);
    /// Skips the second factor after an OAuth sign-in.
    pub static MFA_ALLOW_OAUTH_BYPASS: Key<bool> = Key::bool("auth.mfa.allow_oauth_bypass", false);
    /// Skips the second factor when a reverse proxy signs users in.
    pub static MFA_ALLOW_TRUSTED_HEADER_BYPASS: Key<bool> =
        Key::bool("auth.mfa.allow_trusted_header_bypass", false);
}
