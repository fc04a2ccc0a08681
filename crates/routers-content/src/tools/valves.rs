//! Settings of tools: the administrator's, which whoever may write the tool sees, and those of each user.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::{tools, users};
use oui_plugin_host::{Plugin, Which};
use oui_web::body::ObjectBody;
use oui_web::{Caller, Verified};
use serde_json::{Value, json};

use super::{Tool, find};
use crate::common::Reading;
use crate::plugins;

/// The tool, when the caller has the right; any administrator has.
async fn permitted(
    caller: &Caller<Verified>,
    id: &str,
    permission: &str,
    missing: fn(Value) -> ApiError,
    denied: fn(Value) -> ApiError,
) -> ApiResult<Tool> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| missing(messages::NOT_FOUND.into()))?;
    if Reading::of(caller).await?.may_or_admin(&entry, permission) {
        Ok(entry)
    } else {
        Err(denied(messages::ACCESS_PROHIBITED.into()))
    }
}

fn plugin(entry: &Tool) -> Plugin<'_> {
    Plugin {
        is_tool: true,
        id: &entry.row.id,
        source: entry.row.content.as_deref().unwrap_or_default(),
    }
}

fn enabled(caller: &Caller<Verified>) -> ApiResult<()> {
    if caller.app().settings.plugins.tools() {
        Ok(())
    } else {
        Err(ApiError::internal("tools are switched off"))
    }
}

pub(super) async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    permitted(&caller, &id, "write", ApiError::not_found, ApiError::unauthorized).await?;
    let stored = tools::valves(caller.db(), &id).await?;
    Ok(Json(Value::Object(plugins::read_valves(
        caller.app(),
        stored.as_deref(),
    ))))
}

async fn schema(caller: &Caller<Verified>, entry: &Tool, which: Which) -> ApiResult<Json<Value>> {
    enabled(caller)?;
    plugins::schema(caller, caller.user(), plugin(entry), which)
        .await
        .map(Json)
}

pub(super) async fn spec(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = permitted(&caller, &id, "write", ApiError::not_found, ApiError::unauthorized).await?;
    schema(&caller, &entry, Which::Valves).await
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    ObjectBody(values): ObjectBody,
) -> ApiResult<Json<Value>> {
    let entry = permitted(
        &caller,
        &id,
        "write",
        ApiError::unauthorized,
        ApiError::bad_request,
    )
    .await?;
    enabled(&caller)?;
    let told = "Error updating tool valves";
    let values = plugins::check(caller.app(), plugin(&entry), Which::Valves, values, told).await?;
    let stored = plugins::stored_valves(caller.app(), &values)?;
    tools::set_valves(caller.db(), &id, &stored.to_string()).await?;
    caller.tell("tool.valves_updated", id, Value::Null);
    Ok(Json(Value::Object(values)))
}

pub(super) async fn get_own(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    permitted(&caller, &id, "read", ApiError::not_found, ApiError::unauthorized).await?;
    Ok(Json(Value::Object(plugins::user_valves(
        caller.app(),
        caller.user(),
        "tools",
        &id,
    ))))
}

pub(super) async fn own_spec(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = permitted(&caller, &id, "read", ApiError::not_found, ApiError::unauthorized).await?;
    schema(&caller, &entry, Which::UserValves).await
}

pub(super) async fn update_own(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    ObjectBody(values): ObjectBody,
) -> ApiResult<Json<Value>> {
    let entry = permitted(&caller, &id, "read", ApiError::not_found, ApiError::unauthorized).await?;
    enabled(&caller)?;
    let told = "Error updating tool user valves";
    let values = plugins::check(caller.app(), plugin(&entry), Which::UserValves, values, told).await?;
    let stored = plugins::stored_valves(caller.app(), &values)?;
    users::own::set_plugin_valves(caller.db(), caller.id(), "tools", &id, stored).await?;
    caller.tell("tool.valves_updated", id, json!({ "scope": "user" }));
    Ok(Json(Value::Object(values)))
}
