//! What administrators do with an account. The oldest account is the owner's: others may not touch it, and it
//! stays an administrator.

use axum::Json;
use axum::extract::Path;
use oui_access::ADMIN;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::users::edit::{self, AccountEdit};
use oui_models::{auths, oauth_sessions, users};
use oui_web::{Admin, Body, Caller};
use serde_json::{Value, json};

use super::lists::with_presence;
use super::unknown_user;
use crate::image::AnyImageUrl;

form! {
    /// What to change; what is absent stays.
    pub(super) struct UpdateForm {
        role: Option<String>,
        name: Option<String>,
        email: Option<String>,
        profile_image_url: Option<AnyImageUrl>,
        password: Option<String>,
    }
}

fn prohibited() -> ApiError {
    ApiError::forbidden(messages::ACTION_PROHIBITED)
}

async fn is_owner(caller: &Caller<Admin>, user_id: &str) -> ApiResult<bool> {
    Ok(users::first(caller.db())
        .await?
        .is_some_and(|first| first.id == user_id))
}

pub(super) async fn show(caller: Caller<Admin>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    let user = users::by_id(caller.db(), &user_id)
        .await?
        .ok_or_else(unknown_user)?;
    Ok(Json(with_presence(caller.db(), &user, user.to_json()).await?))
}

pub(super) async fn update(
    caller: Caller<Admin>,
    Path(user_id): Path<String>,
    Body { form, .. }: Body<UpdateForm>,
) -> ApiResult<Json<Value>> {
    if is_owner(&caller, &user_id).await? {
        let demoted = form.role.as_deref().is_some_and(|role| role != ADMIN);
        if caller.id() != user_id || demoted {
            return Err(prohibited());
        }
    }
    let app = caller.app();
    let before = users::by_id(caller.db(), &user_id)
        .await?
        .ok_or_else(unknown_user)?;
    if let Some(email) = form.email.as_deref().map(str::to_lowercase)
        && email != before.email
        && users::by_email(caller.db(), &email).await?.is_some()
    {
        return Err(ApiError::bad_request(messages::EMAIL_TAKEN));
    }
    let password_hash = match form.password.filter(|password| !password.is_empty()) {
        Some(password) => {
            app.passwords.check(&password)?;
            Some(app.passwords.hash(&password).await?)
        }
        None => None,
    };
    let image = form
        .profile_image_url
        .map(|image| image.0.admit(&app.settings.access))
        .transpose()?;
    let ends_sessions = password_hash.is_some();
    let given = [
        (form.name.is_some(), "name"),
        (form.email.is_some(), "email"),
        (image.is_some(), "profile_image_url"),
    ];
    let change = AccountEdit {
        role: form.role,
        name: form.name,
        email: form.email,
        profile_image_url: image,
        password_hash,
    };
    let after = edit::edit(caller.db(), &user_id, change)
        .await
        .map_err(taken)?
        .ok_or_else(unknown_user)?;
    if ends_sessions || after.role != before.role {
        app.emitter.disconnect_user(&user_id, false).await;
    }
    let fields: Vec<&str> = given
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name))
        .collect();
    if !fields.is_empty() {
        let notice = caller.notice("user.updated").about(user_id.as_str());
        caller.publish(notice.with(json!({ "updated_fields": fields })));
    }
    if after.role != before.role {
        let notice = caller.notice("user.role_updated").about(user_id.as_str());
        caller.publish(notice.with(json!({ "role": after.role })));
    }
    if ends_sessions {
        caller.publish(
            caller
                .notice("auth.password_changed")
                .about_kind("user", user_id.as_str())
                .from_source("admin"),
        );
    }
    Ok(Json(after.to_json()))
}

fn taken(error: oui_models::DbError) -> ApiError {
    // Somebody else took the address since it was looked up.
    if error.is_unique_violation() {
        ApiError::bad_request(messages::EMAIL_TAKEN)
    } else {
        error.into()
    }
}

pub(super) async fn revoke_sessions(
    caller: Caller<Admin>,
    Path(user_id): Path<String>,
) -> ApiResult<Json<bool>> {
    if users::by_id(caller.db(), &user_id).await?.is_none() {
        return Err(ApiError::not_found("User not found."));
    }
    if caller.id() != user_id && is_owner(&caller, &user_id).await? {
        return Err(prohibited());
    }
    auths::revoke_sessions(caller.db(), &user_id).await?;
    caller.app().emitter.disconnect_user(&user_id, false).await;
    caller.publish(
        caller
            .notice("auth.sessions_revoked")
            .about_kind("user", user_id.as_str()),
    );
    Ok(Json(true))
}

/// Removes an account. An id of nobody is no error, as at the reference.
pub(super) async fn remove(caller: Caller<Admin>, Path(user_id): Path<String>) -> ApiResult<Json<bool>> {
    if caller.id() == user_id || is_owner(&caller, &user_id).await? {
        return Err(prohibited());
    }
    edit::remove(caller.db(), &user_id).await?;
    caller.app().emitter.disconnect_user(&user_id, false).await;
    caller.publish(caller.notice("user.deleted").about(user_id.as_str()));
    Ok(Json(true))
}

/// Sessions at OAuth services, as the reference shows them; none is an error there.
pub(super) async fn oauth_sessions(
    caller: Caller<Admin>,
    Path(user_id): Path<String>,
) -> ApiResult<Json<Value>> {
    let sessions = oauth_sessions::of_user(caller.db(), &user_id).await?;
    if sessions.is_empty() {
        Err(unknown_user())
    } else {
        Ok(Json(sessions.iter().map(|s| s.to_json()).collect()))
    }
}
