//! Sign-in with a password, by a trusted proxy's header, or of the one account of a server without
//! sign-in.

use std::sync::OnceLock;

use axum::response::Response;
use http::HeaderMap;
use oui_access::rate_limit::RateLimiter;
use oui_access::{ADMIN, PENDING, USER, passwords};
use oui_config::auth as keys;
use oui_core::{ApiError, ApiResult, Notice, Notices, form, ids, messages};
use oui_models::auths::{self, AuthRow};
use oui_models::users::{self, UserRow};
use oui_models::{Db, groups};
use oui_web::{Body, Caller, Public};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::accounts::{Newcomer, create};
use super::mfa;
use super::session::open;

/// Address and password of the one account while sign-in is switched off.
const NO_AUTH: (&str, &str) = ("admin@localhost", "admin");

/// Tries per address in [`WINDOW`].
const MAX_TRIES: u32 = 15;
/// Seconds.
const WINDOW: i64 = 180;

/// Tries to sign in with a password.
#[derive(Default)]
struct Tries(OnceLock<RateLimiter>);

form! {
    /// What the sign-in page sends.
    pub(super) struct SigninForm {
        /// Address, in any case.
        pub(super) email: String,
        /// Password.
        pub(super) password: String,
    }
}

pub(super) async fn sign_in(
    caller: Caller<Public>,
    headers: HeaderMap,
    Body { form, .. }: Body<SigninForm>,
) -> ApiResult<Response> {
    let settings = &caller.app().settings.auth;
    if !settings.password_auth {
        return Err(ApiError::forbidden(messages::ACTION_PROHIBITED));
    }
    if let Some(header) = &settings.trusted_email_header {
        let user = by_trusted_header(&caller, &headers, header).await?;
        return open(&caller, &user, "trusted_header", None).await;
    }
    let (user, proof, method) = if settings.enabled {
        let (user, proof) = by_password(&caller, &form).await?;
        (user, proof, "password")
    } else {
        let (user, proof) = without_auth(&caller).await?;
        (user, proof, "system")
    };
    open(&caller, &user, method, Some(&proof)).await
}

fn refused() -> ApiError {
    ApiError::bad_request(messages::INVALID_CRED)
}

async fn by_password(caller: &Caller<Public>, form: &SigninForm) -> ApiResult<(UserRow, AuthRow)> {
    let tries = caller.app().memo::<Tries>();
    let limiter = tries
        .0
        .get_or_init(|| caller.app().auth.rate_limiter(MAX_TRIES, WINDOW));
    if limiter.is_limited(&form.email).await {
        return Err(ApiError::new(
            http::StatusCode::TOO_MANY_REQUESTS,
            messages::RATE_LIMIT_EXCEEDED,
        ));
    }
    if caller.app().config.get(&keys::ENABLE_MFA)
        && let Some(user) = users::by_email(caller.db(), &form.email).await?
    {
        mfa::count_password(caller, &user.id).await?;
    }
    check_password(caller.db(), &form.email, &form.password)
        .await?
        .ok_or_else(refused)
}

/// The account with this address if the password is its own. A refusal takes as long as an admission.
pub(super) async fn check_password(
    db: &Db,
    email: &str,
    password: &str,
) -> ApiResult<Option<(UserRow, AuthRow)>> {
    let user = users::by_email(db, email).await?;
    let auth = match &user {
        Some(user) => auths::by_id(db, &user.id)
            .await?
            .filter(|auth| auth.active == Some(true)),
        None => None,
    };
    let (Some(user), Some(auth)) = (user, auth) else {
        passwords::verify_nothing(password).await;
        return Ok(None);
    };
    let good = passwords::verify(password, auth.password.as_deref().unwrap_or_default()).await;
    Ok(good.then_some((user, auth)))
}

/// The one account, made at the first call.
async fn without_auth(caller: &Caller<Public>) -> ApiResult<(UserRow, AuthRow)> {
    let (email, password) = NO_AUTH;
    if users::by_email(caller.db(), email).await?.is_none() {
        if users::any(caller.db()).await? {
            return Err(ApiError::bad_request(messages::EXISTING_USERS));
        }
        create(caller, Newcomer::new("User", email, password), "system").await?;
    }
    check_password(caller.db(), email, password)
        .await?
        .ok_or_else(refused)
}

/// The account that the proxy names, made at its first visit; groups and role follow the proxy's headers.
async fn by_trusted_header(caller: &Caller<Public>, headers: &HeaderMap, name: &str) -> ApiResult<UserRow> {
    let settings = &caller.app().settings.auth;
    let email =
        header(headers, name).ok_or_else(|| ApiError::bad_request(messages::INVALID_TRUSTED_HEADER))?;
    let email = email.to_lowercase();
    if users::by_email(caller.db(), &email).await?.is_none() {
        let shown = settings
            .trusted_name_header
            .as_deref()
            .and_then(|name| header(headers, name));
        let shown = percent_decode_str(&shown.unwrap_or_else(|| email.clone()))
            .decode_utf8_lossy()
            .into_owned();
        match create(
            caller,
            Newcomer::new(&shown, &email, &ids::uuid()),
            "trusted_header",
        )
        .await
        {
            // Another request of the same visitor was faster.
            Err(_) if users::by_email(caller.db(), &email).await?.is_some() => {}
            other => drop(other?),
        }
    }
    let user = users::by_email(caller.db(), &email).await?.ok_or_else(refused)?;
    auths::by_id(caller.db(), &user.id)
        .await?
        .filter(|auth| auth.active == Some(true))
        .ok_or_else(refused)?;
    if let Some(header_name) = &settings.trusted_groups_header {
        follow_groups(caller, &user, header(headers, header_name).unwrap_or_default()).await?;
    }
    match &settings.trusted_role_header {
        Some(header_name) => {
            follow_role(caller, user, header(headers, header_name).unwrap_or_default()).await
        }
        None => Ok(user),
    }
}

async fn follow_groups(caller: &Caller<Public>, user: &UserRow, names: String) -> ApiResult<()> {
    let names: Vec<String> = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if !names.is_empty() && groups::set_by_names(caller.db(), &user.id, &names).await? {
        caller.app().emitter.disconnect_user(&user.id, true).await;
    }
    Ok(())
}

async fn follow_role(caller: &Caller<Public>, user: UserRow, role: String) -> ApiResult<UserRow> {
    let role = role.trim().to_lowercase();
    if ![ADMIN, USER, PENDING].contains(&role.as_str()) {
        if !role.is_empty() {
            tracing::warn!(%role, "the trusted role header names no role and is ignored");
        }
        return Ok(user);
    }
    if user.role == role {
        return Ok(user);
    }
    let changed = users::set_role(caller.db(), &user.id, &role).await?;
    caller.app().emitter.disconnect_user(&user.id, false).await;
    let user = changed.unwrap_or(user);
    let notice = Notice::new("user.role_updated")
        .by(user.actor_json())
        .about(user.id.as_str());
    caller.app().events.publish(
        notice
            .from_source("trusted_header")
            .with(json!({ "role": user.role })),
    );
    Ok(user)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
