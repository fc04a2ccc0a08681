//! HTTP areas about people: sign-in and accounts, users, groups.

mod auths;
mod groups;
mod image;
mod users;

use oui_core::ApiResult;
use oui_web::{App, Area, Caller, Public};

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    vec![auths::area(), users::area(), groups::area()]
}

/// Makes the administrator named by `WEBUI_ADMIN_EMAIL` and `WEBUI_ADMIN_PASSWORD` while there is no account.
pub async fn first_admin(app: &App) -> ApiResult<()> {
    auths::accounts::first_admin(&Caller::<Public>::system(app)).await
}
