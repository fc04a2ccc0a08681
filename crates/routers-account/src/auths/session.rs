//! The session itself: opened after a sign-in, shown, ended.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use oui_access::authenticator::cookie;
use oui_access::{Credential, is_verified};
use oui_config::{auth as keys, oauth};
use oui_core::{ApiError, ApiResult, messages};
use oui_models::auths::{self, AuthRow};
use oui_models::users::{self, UserRow};
use oui_web::{Caller, Human, Public, Role};
use serde_json::{Value, json};

use super::cookies::{SessionCookie, ended};

/// What users read while a second factor is asked for that this server can not check.
const SECOND_FACTOR: &str = "This server requires a second factor to sign in, which this version can not check yet. \
                             Please contact your administrator.";

/// Refuses sign-ins by `method` that need a second factor.
pub(super) fn refuse_second_factor<R: Role>(caller: &Caller<R>, method: &str) -> ApiResult<()> {
    if caller.app().auth.needs_second_factor(method) {
        return Err(ApiError::forbidden(SECOND_FACTOR));
    }
    Ok(())
}

/// Opens a session for an account that has proved itself by `method`; `proof` are the credentials it was
/// checked against, which must not have changed since.
pub(super) async fn open(
    caller: &Caller<Public>,
    user: &UserRow,
    method: &str,
    proof: Option<&AuthRow>,
) -> ApiResult<Response> {
    let app = caller.app();
    let current = auths::by_id(caller.db(), &user.id)
        .await?
        .filter(|auth| auth.active == Some(true));
    let current = current.ok_or_else(|| ApiError::unauthorized(messages::INVALID_AUTHENTICATION))?;
    if proof.is_some_and(|p| p.session_stamp != current.session_stamp || p.password != current.password) {
        return Err(ApiError::conflict(messages::AUTHENTICATION_CHANGED));
    }
    if app.config.get(&keys::ENABLE_MFA) && !is_verified(&user.role) {
        return Ok(Json(json!({ "next_step": "pending" })).into_response());
    }
    refuse_second_factor(caller, method)?;
    // Another server may have changed the row since it was cached here.
    users::changed(caller.db(), &user.id);
    let account = users::account(caller.db(), &user.id).await?;
    let account = account.ok_or_else(|| ApiError::unauthorized(messages::INVALID_AUTHENTICATION))?;
    let (token, expires_at) = app.auth.open_session(&account, method)?;
    let max_age = expires_at.map(|at| at - app.clock.seconds());
    let cookie = SessionCookie {
        token: &token,
        expires: None,
        max_age,
    }
    .header(&app.settings.auth)?;
    let user = &account.user;
    let body = json!({
        "token": token,
        "token_type": "Bearer",
        "expires_at": expires_at,
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "profile_image_url": format!("/api/v1/users/{}/profile/image", user.id),
        "permissions": app.permissions_of(&user.id).await?.to_json(),
    });
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// The own session; the cookie is set anew, for clients that came with a header.
pub(super) async fn show(caller: Caller<Human>) -> ApiResult<Response> {
    let Credential::Token { token, claims } = &caller.identity().credential else {
        return Err(ApiError::forbidden(messages::HUMAN_SESSION_REQUIRED));
    };
    let app = caller.app();
    let max_age = claims.exp.map(|at| at - app.clock.seconds());
    let cookie = SessionCookie {
        token,
        expires: claims.exp,
        max_age,
    }
    .header(&app.settings.auth)?;
    let user = caller.user();
    let body = json!({
        "token": token,
        "token_type": "Bearer",
        "expires_at": claims.exp,
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "profile_image_url": user.picture(),
        "bio": user.bio,
        "gender": user.gender,
        "date_of_birth": user.date_of_birth.map(|date| date.to_string()),
        "status_emoji": user.status_emoji,
        "status_message": user.status_message,
        "status_expires_at": user.status_expires_at,
        "permissions": caller.permissions().await?.to_json(),
    });
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// Takes the cookies away. The token stays good until it ends, as at the reference without Redis.
pub(super) async fn sign_out(caller: Caller<Public>, headers: HeaderMap) -> ApiResult<Response> {
    let app = caller.app();
    let by_oauth = cookie(&headers, "oauth_session_id").is_some_and(|id| !id.is_empty());
    let mut body = json!({ "status": true });
    if let Some(url) = next_page(&caller, by_oauth) {
        body["redirect_url"] = Value::from(url);
    }
    let mut response = Json(body).into_response();
    for cookie in ended(app.clock.seconds(), by_oauth)? {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Where the client goes now: the OAuth service's page for those who came from it, or the operator's.
fn next_page(caller: &Caller<Public>, by_oauth: bool) -> Option<String> {
    let app = caller.app();
    let service = app.config.get(&oauth::OPENID_END_SESSION_ENDPOINT);
    if by_oauth && !service.is_empty() {
        Some(service)
    } else {
        app.settings.auth.signout_redirect.clone()
    }
}
