//! `/api/v1/auths`: sign-in and sign-up, the own session, profile and password, API keys, and the pages of the
//! administration that rule all that. Sign-in at an OAuth service is not here yet.

pub(crate) mod accounts;
mod admin;
mod api_key;
mod cookies;
mod directory;
mod ldap;
pub(crate) mod mfa;
mod oauth;
mod profile;
mod session;
mod sign_in;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use oui_core::{ApiError, messages};
use oui_web::{Admin, Area, Authenticated, Human, Public, Verified, endpoints};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "auths" at "/api/v1/auths";
        GET    "/"                         Human         => session::show,
        POST   "/signin"                   Public        => sign_in::sign_in,
        POST   "/ldap"                     Public        => ldap::sign_in,
        POST   "/signup"                   Public        => accounts::sign_up,
        POST   "/signout"                  Public        => session::sign_out,
        POST   "/add"                      Admin         => accounts::add,
        POST   "/update/profile"           Verified      => profile::update_profile,
        POST   "/update/timezone"          Authenticated => profile::update_timezone,
        POST   "/update/password"          Authenticated => profile::update_password,
        GET    "/api_key"                  Authenticated => api_key::show,
        POST   "/api_key"                  Authenticated => api_key::replace,
        DELETE "/api_key"                  Authenticated => api_key::remove,
        DELETE "/oauth/sessions/{*provider}" Verified    => oauth::forget,
        GET    "/admin/details"            Authenticated => admin::details,
        GET    "/admin/config"             Admin         => admin::show,
        POST   "/admin/config"             Admin         => admin::save,
        GET    "/admin/config/ldap"        Admin         => directory::show_switch,
        POST   "/admin/config/ldap"        Admin         => directory::save_switch,
        GET    "/admin/config/ldap/server" Admin         => directory::show,
        POST   "/admin/config/ldap/server" Admin         => directory::save,
        GET    "/mfa/status"               Human         => mfa::status,
        POST   "/mfa/challenge"            Public        => mfa::challenge,
        POST   "/mfa/enroll/start"         Public        => mfa::start_enrolment,
        POST   "/mfa/enroll/confirm"       Public        => mfa::confirm_enrolment,
        POST   "/mfa/verify"               Public        => mfa::verify,
        POST   "/mfa/replace"              Human         => mfa::replace,
        POST   "/mfa/recovery/codes"       Human         => mfa::renew_recovery_codes,
        POST   "/mfa/recover"              Public        => mfa::recover,
        GET    "/admin/config/oauth"       Admin         => oauth::show,
        POST   "/admin/config/oauth"       Admin         => oauth::save,
    }
    .map_responses(discreet)
}

/// Prefix of the routes of this area.
pub(crate) const PREFIX: &str = "/api/v1/auths/";

/// Nothing here may be kept by caches, and refused forms are not spelled out: they hold passwords.
fn discreet(mut response: Response) -> Response {
    if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
        response =
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, messages::INVALID_AUTHENTICATION).into_response();
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
