//! HTTP areas about people: sign-in and accounts, users, groups.

use oui_core::ApiResult;
use oui_web::{App, Area};

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    Vec::new()
}

/// Makes the administrator named by `WEBUI_ADMIN_EMAIL` and `WEBUI_ADMIN_PASSWORD` while there is no account.
pub async fn first_admin(app: &App) -> ApiResult<()> {
    let _ = app;
    Ok(())
}
