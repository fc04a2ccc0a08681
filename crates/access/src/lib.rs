//! Who is calling and what they may do: passwords, second factors, tokens, the resolution of credentials to an
//! account, roles, permissions of groups, and the rule of access grants. No HTTP extractors (they
//! are in the web crate) and no SQL (that is in the models crate).

pub mod authenticator;
pub mod mfa;
pub mod passwords;
pub mod permissions;
pub mod rate_limit;
pub mod resources;
pub mod shared;
pub mod tokens;

pub use authenticator::{Authenticator, Credential, Identity};
pub use permissions::Permissions;
pub use resources::{Action, Ownership};
pub use shared::{SharedError, SharedState};
pub use tokens::{Claims, Tokens};

/// Role of an administrator.
pub const ADMIN: &str = "admin";
/// Role of an admitted user.
pub const USER: &str = "user";
/// Role of an account that waits for admission.
pub const PENDING: &str = "pending";

/// Whether the role may use the application.
pub fn is_verified(role: &str) -> bool {
    role == ADMIN || role == USER
}
