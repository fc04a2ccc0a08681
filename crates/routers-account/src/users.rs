//! `/api/v1/users`: the administration's lists and changes of accounts, what accounts see of each other, and what
//! they keep about themselves.

mod admin;
mod lists;
mod own;
mod permissions;
mod picture;
mod preview;
mod usage;
mod variables;

use oui_core::{ApiError, messages};
use oui_web::{Admin, Area, Verified, endpoints};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "users" at "/api/v1/users";
        GET    "/"                               Admin    => lists::page,
        GET    "/all"                            Admin    => lists::everybody,
        GET    "/search"                         Verified => lists::search,
        GET    "/groups"                         Verified => lists::own_groups,
        GET    "/permissions"                    Verified => permissions::own,
        GET    "/default/permissions"            Admin    => permissions::show,
        POST   "/default/permissions"            Admin    => permissions::save,
        GET    "/default/permissions/defaults"   Admin    => permissions::defaults,
        GET    "/user/settings"                  Verified => own::settings,
        POST   "/user/settings/update"           Verified => own::update_settings,
        GET    "/user/status"                    Verified => own::status,
        POST   "/user/status/update"             Verified => own::update_status,
        GET    "/user/info"                      Verified => own::info,
        POST   "/user/info/update"               Verified => own::update_info,
        GET    "/user/variables"                 Verified => variables::show,
        POST   "/user/variables/update"          Verified => variables::update,
        GET    "/usage"                          Verified => usage::usage,
        GET    "/{user_id}"                      Admin    => admin::show,
        GET    "/{user_id}/info"                 Verified => lists::info,
        GET    "/{user_id}/active"               Verified => lists::active,
        GET    "/{user_id}/profile/image"        Verified => picture::picture,
        GET    "/{user_id}/groups"               Admin    => lists::groups_of,
        GET    "/{user_id}/oauth/sessions"       Admin    => admin::oauth_sessions,
        GET    "/{user_id}/preview"              Admin    => preview::preview,
        POST   "/{user_id}/sessions/revoke"      Admin    => admin::revoke_sessions,
        POST   "/{user_id}/update"               Admin    => admin::update,
        DELETE "/{user_id}"                      Admin    => admin::remove,
    }
}

/// The answer where an account does not exist: 400, as at the reference.
fn unknown_user() -> ApiError {
    ApiError::bad_request(messages::NOT_FOUND)
}
