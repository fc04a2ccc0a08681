//! The own API key: at most one, where the operator and the permissions allow it.

use axum::Json;
use oui_config::auth as keys;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::api_keys;
use oui_web::{Authenticated, Caller};
use serde_json::{Value, json};

async fn demand(caller: &Caller<Authenticated>) -> ApiResult<()> {
    if caller.app().config.get(&keys::ENABLE_API_KEYS) && caller.may("features.api_keys").await? {
        return Ok(());
    }
    Err(ApiError::forbidden(messages::API_KEY_CREATION_NOT_ALLOWED))
}

pub(super) async fn show(caller: Caller<Authenticated>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let key = api_keys::of_user(caller.db(), caller.id()).await?;
    let key = key.ok_or_else(|| ApiError::not_found(messages::API_KEY_NOT_FOUND))?;
    Ok(Json(json!({ "api_key": key })))
}

pub(super) async fn replace(caller: Caller<Authenticated>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let key = api_keys::replace(caller.db(), caller.id()).await?;
    caller.publish(
        caller
            .notice("auth.api_key.created")
            .about_kind("user", caller.id()),
    );
    Ok(Json(json!({ "api_key": key })))
}

pub(super) async fn remove(caller: Caller<Authenticated>) -> ApiResult<Json<bool>> {
    demand(&caller).await?;
    api_keys::remove(caller.db(), caller.id()).await?;
    caller.publish(
        caller
            .notice("auth.api_key.deleted")
            .about_kind("user", caller.id()),
    );
    Ok(Json(true))
}
