//! Functions (pipes, filters, actions): `/api/v1/functions`. Here they are listed and shown with their versions;
//! writing them and their settings have files of their own.

mod valves;
mod write;

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::functions::{self, FunctionRow};
use oui_models::versions::{self, Version};
use oui_models::{shared, users};
use oui_web::{Admin, Area, Caller, Query, Role, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::plugins::{self, DiffQuery};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "functions" at "/api/v1/functions";
        GET    "/"                             Verified => all,
        GET    "/list"                         Admin    => list,
        GET    "/export"                       Admin    => write::export,
        POST   "/load/url"                     Admin    => write::load,
        POST   "/sync"                         Admin    => write::sync,
        POST   "/create"                       Admin    => write::create,
        GET    "/id/{id}"                      Admin    => get,
        POST   "/id/{id}/toggle"               Admin    => write::toggle,
        POST   "/id/{id}/toggle/global"        Admin    => write::toggle_global,
        POST   "/id/{id}/update"               Admin    => write::update,
        POST   "/id/{id}/update/version"       Admin    => write::restore,
        DELETE "/id/{id}/delete"               Admin    => write::delete,
        GET    "/id/{id}/valves"               Admin    => valves::get,
        GET    "/id/{id}/valves/spec"          Admin    => valves::spec,
        POST   "/id/{id}/valves/update"        Admin    => valves::update,
        GET    "/id/{id}/valves/user"          Verified => valves::get_own,
        GET    "/id/{id}/valves/user/spec"     Verified => valves::own_spec,
        POST   "/id/{id}/valves/user/update"   Verified => valves::update_own,
        GET    "/id/{id}/history"              Admin    => history,
        GET    "/id/{id}/history/diff"         Admin    => difference,
        GET    "/id/{id}/history/{history_id}" Admin    => version,
        DELETE "/id/{id}/history/{history_id}" Admin    => remove_version,
    }
}

async fn all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    if !caller.app().settings.plugins.functions() {
        return Ok(Json(json!([])));
    }
    let rows = functions::all(caller.db()).await?;
    Ok(Json(
        rows.iter().map(|row| Value::Object(row.to_json())).collect(),
    ))
}

async fn list(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    if !caller.app().settings.plugins.functions() {
        return Ok(Json(json!([])));
    }
    let rows = functions::newest(caller.db()).await?;
    let mut owners: Vec<String> = rows.iter().filter_map(|row| row.user_id.clone()).collect();
    owners.sort();
    owners.dedup();
    let owners: HashMap<String, Value> = users::by_ids(caller.db(), &owners)
        .await?
        .iter()
        .map(|user| (user.id.clone(), shared::user_json(user)))
        .collect();
    let item = |row: &FunctionRow| {
        let owner = row.user_id.as_ref().and_then(|id| owners.get(id)).cloned();
        let mut item = row.to_json();
        item.insert("user".into(), owner.unwrap_or_default());
        Value::Object(item)
    };
    Ok(Json(rows.iter().map(item).collect()))
}

async fn find<R: Role>(caller: &Caller<R>, id: &str) -> ApiResult<Option<FunctionRow>> {
    Ok(functions::by_id(caller.db(), id).await?)
}

/// The function, or a refusal when there is none.
async fn known<R: Role>(caller: &Caller<R>, id: &str) -> ApiResult<FunctionRow> {
    let row = find(caller, id).await?;
    row.ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))
}

async fn get(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    Ok(Json(Value::Object(known(&caller, &id).await?.to_full_json())))
}

/// Versions of a page.
const VERSIONS: i64 = 20;

form! {
    /// Which versions.
    struct HistoryQuery {
        /// From 1.
        page: i64 = 1,
    }
}

async fn with_history(caller: &Caller<Admin>, id: &str) -> ApiResult<FunctionRow> {
    let row = find(caller, id).await?;
    row.ok_or_else(|| ApiError::not_found("Not found"))
}

async fn one_version(caller: &Caller<Admin>, id: &str, version_id: &str) -> ApiResult<Version> {
    let version = versions::FUNCTIONS.get(caller.db(), id, version_id).await?;
    version.ok_or_else(|| ApiError::not_found("Version not found"))
}

fn version_json(version: &Version) -> Map<String, Value> {
    let mut json = version.to_json();
    json.insert("user".into(), version.author_name());
    json
}

async fn history(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(VERSIONS);
    let list = versions::FUNCTIONS.list(caller.db(), &id, skip, VERSIONS).await?;
    Ok(Json(
        list.iter()
            .map(|version| Value::Object(version_json(version)))
            .collect(),
    ))
}

async fn difference(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<DiffQuery>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let before = one_version(&caller, &id, &query.from_id).await?;
    let after = one_version(&caller, &id, &query.to_id).await?;
    Ok(Json(plugins::difference(&before, &after)))
}

async fn version(
    caller: Caller<Admin>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let version = one_version(&caller, &id, &version_id).await?;
    let mut json = version_json(&version);
    json.insert("snapshot".into(), version.snapshot.clone());
    Ok(Json(Value::Object(json)))
}

async fn remove_version(
    caller: Caller<Admin>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let row = with_history(&caller, &id).await?;
    if row.version_id.as_deref() == Some(version_id.as_str()) {
        return Err(ApiError::bad_request("Cannot delete the current version"));
    }
    if !functions::remove_version(caller.db(), &id, &version_id).await? {
        return Err(ApiError::not_found("Version not found"));
    }
    Ok(Json(json!(true)))
}
