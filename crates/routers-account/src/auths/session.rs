//! The session itself: opened after a sign-in, shown, ended.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use oui_access::authenticator::{Proof, cookie};
use oui_access::{Credential, is_verified};
use oui_config::{auth as keys, oauth};
use oui_core::{ApiError, ApiResult, Notice, Notices, messages};
use oui_models::auths::{self, AuthRow};
use oui_models::users::{self, UserRow};
use oui_web::{Caller, Human, Public};
use serde_json::{Value, json};

use super::cookies::{SessionCookie, ended};
use super::mfa;

/// Opens a session for an account that has proved itself by `method`, or asks for its second factor; `proof` are
/// the credentials it was checked against, which must not have changed since.
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
    if app.auth.needs_second_factor(method) {
        return Ok(Json(mfa::start_login(caller, &current, method).await?).into_response());
    }
    let (cookie, body) = signed_in(caller, &current, &Proof::by(method)).await?;
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// The session of an account that has proved everything: its cookie and the answer. `auth` are the credentials that
/// were proved.
pub(super) async fn signed_in(
    caller: &Caller<Public>,
    auth: &AuthRow,
    proof: &Proof<'_>,
) -> ApiResult<(HeaderValue, Value)> {
    let app = caller.app();
    // Another server may have changed the row since it was cached here.
    users::changed(caller.db(), &auth.id);
    let account = users::account(caller.db(), &auth.id).await?;
    let account = account.ok_or_else(|| ApiError::unauthorized(messages::INVALID_AUTHENTICATION))?;
    if account.session_stamp != auth.session_stamp {
        return Err(ApiError::conflict(messages::AUTHENTICATION_CHANGED));
    }
    let (token, expires_at) = app.auth.open_session(&account, proof)?;
    let cookie = SessionCookie {
        token: &token,
        expires: None,
        max_age: expires_at.map(|at| at - app.clock.seconds()),
    }
    .header(&app.settings.auth)?;
    let user = &account.user;
    let notice = Notice::new("auth.login")
        .by(user.actor_json())
        .about_kind("user", user.id.as_str())
        .from_source(proof.method)
        .with(json!({ "auth_method": proof.method }));
    app.events.publish(notice);
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
    Ok((cookie, body))
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

/// Takes the cookies away. The token itself is signed out only where servers share a memory (Redis), as at the
/// reference; else it stays good until it ends.
pub(super) async fn sign_out(caller: Caller<Public>, headers: HeaderMap) -> ApiResult<Response> {
    let app = caller.app();
    if let Some(token) = app.auth.credential(&headers) {
        let mut notice = Notice::new("auth.logout");
        if let Ok(identity) = app.auth.by_token(&token).await {
            let user = &identity.account.user;
            notice = notice.by(user.actor_json()).about_kind("user", user.id.as_str());
        }
        if let Some(account) = app.auth.sign_out(&token).await {
            app.emitter.disconnect_user(&account.user.id, false).await;
        }
        app.events.publish(notice);
    }
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
