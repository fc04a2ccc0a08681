//! Functions (pipes, filters, actions): `/api/v1/functions`. Here they are listed and shown; writing and running
//! their Python source needs the plugin host.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::functions::{self, FunctionRow};
use oui_models::{shared, users};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
use serde_json::{Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "functions" at "/api/v1/functions";
        GET "/"        Verified => all,
        GET "/list"    Admin    => list,
        GET "/id/{id}" Admin    => get,
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

async fn get(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = functions::by_id(caller.db(), &id).await?;
    let row = row.ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?;
    let mut json = row.to_json();
    json.insert("content".into(), json!(row.content));
    Ok(Json(Value::Object(json)))
}
