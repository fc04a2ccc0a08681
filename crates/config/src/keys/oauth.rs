//! Keys of sign-in through other services. The environment wins over stored rows here, see
//! `ENABLE_OAUTH_PERSISTENT_CONFIG`.

use serde_json::Value;

use crate::derive;
use crate::key::{Key, Literal, keys};

keys! {
    "OAuth and OpenID Connect";

    /// Offers sign-in through the configured services.
    pub static ENABLE_OAUTH: Key<bool> = Key::bool("oauth.enable", true);
    /// Creates an account at the first OAuth sign-in.
    pub static ENABLE_OAUTH_SIGNUP: Key<bool> = Key::bool("oauth.enable_signup", false);
    /// Sends visitors to the only service at once.
    pub static OAUTH_AUTO_REDIRECT: Key<bool> = Key::bool("oauth.auto_redirect", false);
    /// Repeats the scope when a token is refreshed.
    pub static OAUTH_REFRESH_TOKEN_INCLUDE_SCOPE: Key<bool> =
        Key::bool("oauth.refresh_token.include_scope", false);
    /// Joins an OAuth sign-in with the account of the same e-mail.
    pub static OAUTH_MERGE_ACCOUNTS_BY_EMAIL: Key<bool> = Key::bool("oauth.merge_accounts_by_email", false);
    /// Seconds for calls to tool servers' OAuth endpoints; empty means no limit.
    pub static OAUTH_CLIENT_TIMEOUT: Key<Option<i64>> = Key::loose_int("oauth.client.timeout", "");
    /// Google client.
    pub static GOOGLE_CLIENT_ID: Key<String> = Key::text("oauth.google.client_id", "");
    /// Secret of the Google client.
    pub static GOOGLE_CLIENT_SECRET: Key<String> = Key::text("oauth.google.client_secret", "").secret();
    /// Scope asked of Google.
    pub static GOOGLE_OAUTH_SCOPE: Key<String> = Key::text("oauth.google.scope", "openid email profile");
    /// Callback address registered with Google.
    pub static GOOGLE_REDIRECT_URI: Key<String> = Key::text("oauth.google.redirect_uri", "");
    /// Microsoft client.
    pub static MICROSOFT_CLIENT_ID: Key<String> = Key::text("oauth.microsoft.client_id", "");
    /// Secret of the Microsoft client.
    pub static MICROSOFT_CLIENT_SECRET: Key<String> = Key::text("oauth.microsoft.client_secret", "").secret();
    /// Microsoft tenant.
    pub static MICROSOFT_CLIENT_TENANT_ID: Key<String> = Key::text("oauth.microsoft.tenant_id", "");
    /// Address of the Microsoft sign-in.
    pub static MICROSOFT_CLIENT_LOGIN_BASE_URL: Key<String> =
        Key::text("oauth.microsoft.login_base_url", "https://login.microsoftonline.com");
    /// Address of the Microsoft profile picture.
    pub static MICROSOFT_CLIENT_PICTURE_URL: Key<String> =
        Key::text("oauth.microsoft.picture_url", "https://graph.microsoft.com/v1.0/me/photo/$value");
    /// Scope asked of Microsoft.
    pub static MICROSOFT_OAUTH_SCOPE: Key<String> =
        Key::text("oauth.microsoft.scope", "openid email profile");
    /// Callback address registered with Microsoft.
    pub static MICROSOFT_REDIRECT_URI: Key<String> = Key::text("oauth.microsoft.redirect_uri", "");
    /// GitHub client.
    pub static GITHUB_CLIENT_ID: Key<String> = Key::text("oauth.github.client_id", "");
    /// Secret of the GitHub client.
    pub static GITHUB_CLIENT_SECRET: Key<String> = Key::text("oauth.github.client_secret", "").secret();
    /// Scope asked of GitHub.
    pub static GITHUB_CLIENT_SCOPE: Key<String> = Key::text("oauth.github.scope", "user:email");
    /// Callback address registered with GitHub.
    pub static GITHUB_CLIENT_REDIRECT_URI: Key<String> = Key::text("oauth.github.redirect_uri", "");
    /// Client of the OpenID Connect service.
    pub static OAUTH_CLIENT_ID: Key<String> = Key::text("oauth.client_id", "");
    /// Secret of that client.
    pub static OAUTH_CLIENT_SECRET: Key<String> = Key::text("oauth.client_secret", "").secret();
    /// Discovery document of the OpenID Connect service.
    pub static OPENID_PROVIDER_URL: Key<String> = Key::text("oauth.provider_url", "");
    /// Address that ends the session at the service.
    pub static OPENID_END_SESSION_ENDPOINT: Key<String> = Key::text("oauth.end_session_endpoint", "");
    /// Callback address registered with the service.
    pub static OPENID_REDIRECT_URI: Key<String> = Key::text("oauth.redirect_uri", "");
    /// Scope asked of the service.
    pub static OAUTH_SCOPES: Key<String> = Key::text("oauth.scopes", "openid email profile");
    /// Seconds for calls to the sign-in services; empty means no limit.
    pub static OAUTH_TIMEOUT: Key<Option<i64>> = Key::loose_int("oauth.timeout", "");
    /// How the client authenticates at the token endpoint; unset follows the service.
    pub static OAUTH_TOKEN_ENDPOINT_AUTH_METHOD: Key<Option<String>> =
        Key::optional_text("oauth.token_endpoint_auth_method");
    /// PKCE method; only `S256` is known, unset turns PKCE off.
    pub static OAUTH_CODE_CHALLENGE_METHOD: Key<Option<String>> =
        Key::optional_text("oauth.code_challenge_method");
    /// Name on the sign-in button.
    pub static OAUTH_PROVIDER_NAME: Key<String> = Key::text("oauth.provider_name", "SSO");
    /// Claim that identifies a user; unset means the service's usual one.
    pub static OAUTH_SUB_CLAIM: Key<Option<String>> = Key::optional_text("oauth.sub_claim");
    /// Claim with the display name.
    pub static OAUTH_USERNAME_CLAIM: Key<String> = Key::text("oauth.username_claim", "name");
    /// Claim with the picture; empty keeps the default picture.
    pub static OAUTH_PICTURE_CLAIM: Key<String> = Key::text("oauth.picture_claim", "picture");
    /// Claim with the e-mail.
    pub static OAUTH_EMAIL_CLAIM: Key<String> = Key::text("oauth.email_claim", "email");
    /// Claim with the groups.
    pub static OAUTH_GROUPS_CLAIM: Key<String> =
        Key::text("oauth.group_claim", "groups").or_env(&["OAUTH_GROUP_CLAIM"]);
    /// Feishu client.
    pub static FEISHU_CLIENT_ID: Key<String> = Key::text("oauth.feishu.client_id", "");
    /// Secret of the Feishu client.
    pub static FEISHU_CLIENT_SECRET: Key<String> = Key::text("oauth.feishu.client_secret", "").secret();
    /// Scope asked of Feishu.
    pub static FEISHU_OAUTH_SCOPE: Key<String> =
        Key::text("oauth.feishu.scope", "contact:user.base:readonly");
    /// Callback address registered with Feishu.
    pub static FEISHU_REDIRECT_URI: Key<String> = Key::text("oauth.feishu.redirect_uri", "");
    /// Takes roles from a claim.
    pub static ENABLE_OAUTH_ROLE_MANAGEMENT: Key<bool> = Key::bool("oauth.enable_role_mapping", false);
    /// Takes groups from a claim.
    pub static ENABLE_OAUTH_GROUP_MANAGEMENT: Key<bool> = Key::bool("oauth.enable_group_mapping", false);
    /// Creates groups that do not exist yet.
    pub static ENABLE_OAUTH_GROUP_CREATION: Key<bool> = Key::bool("oauth.enable_group_creation", false);
    /// Who may share with a created group: `true` (all), `false` (nobody) or `members`.
    pub static OAUTH_GROUP_DEFAULT_SHARE: Key<Value> =
        Key::json("oauth.group_default_share", Literal::Bool(true)).from(derive::oauth_group_share, &[]);
    /// Group names or patterns never taken from the claim, as a JSON text.
    pub static OAUTH_BLOCKED_GROUPS: Key<String> = Key::text("oauth.blocked_groups", "[]");
    /// Claim with the roles.
    pub static OAUTH_ROLES_CLAIM: Key<String> = Key::text("oauth.roles_claim", "roles");
    /// Roles that may sign in, separated by `OAUTH_ROLES_SEPARATOR`.
    pub static OAUTH_ALLOWED_ROLES: Key<Vec<String>> =
        Key::list("oauth.allowed_roles", &["user", "admin"])
            .from(derive::oauth_allowed_roles, &["OAUTH_ROLES_SEPARATOR"]);
    /// Roles that make an administrator, separated by `OAUTH_ROLES_SEPARATOR`.
    pub static OAUTH_ADMIN_ROLES: Key<Vec<String>> =
        Key::list("oauth.admin_roles", &["admin"])
            .from(derive::oauth_admin_roles, &["OAUTH_ROLES_SEPARATOR"]);
    /// E-mail domains that may sign in, separated by commas; `*` allows all.
    pub static OAUTH_ALLOWED_DOMAINS: Key<Vec<String>> =
        Key::list("oauth.allowed_domains", &["*"]).from(derive::oauth_allowed_domains, &[]);
    /// Refreshes the picture at each sign-in.
    pub static OAUTH_UPDATE_PICTURE_ON_LOGIN: Key<bool> = Key::bool("oauth.update_picture_on_login", false);
    /// Refreshes the name at each sign-in.
    pub static OAUTH_UPDATE_NAME_ON_LOGIN: Key<bool> = Key::bool("oauth.update_name_on_login", false);
    /// Refreshes the e-mail at each sign-in.
    pub static OAUTH_UPDATE_EMAIL_ON_LOGIN: Key<bool> = Key::bool("oauth.update_email_on_login", false);
    /// Audience asked of the service.
    pub static OAUTH_AUDIENCE: Key<String> = Key::text("oauth.audience", "");
}
