//! HTTP areas about people: sign-in and accounts, users, groups.

mod auths;
mod groups;
mod image;
mod notifications;
mod users;

use oui_config::auth as keys;
use oui_core::ApiResult;
use oui_web::{App, Area, Caller, Public};

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    vec![
        auths::area(),
        users::area(),
        groups::area(),
        notifications::area(),
    ]
}

/// Middleware: while second factors are asked for, one address may try so many sign-ins in a while.
pub use auths::mfa::limit_address;

/// Whether second factors can be asked for, where the administrator has switched them on.
///
/// # Errors
/// What is wrong, for the operator: the server must not start then, since nobody could sign in.
pub async fn check_second_factors(app: &App) -> ApiResult<()> {
    let enabled = app.config.get(&keys::ENABLE_MFA);
    auths::mfa::check_configuration(&Caller::<Public>::system(app), enabled).await
}

/// Makes the administrator named by `WEBUI_ADMIN_EMAIL` and `WEBUI_ADMIN_PASSWORD` while there is no account.
pub async fn first_admin(app: &App) -> ApiResult<()> {
    auths::accounts::first_admin(&Caller::<Public>::system(app)).await
}
