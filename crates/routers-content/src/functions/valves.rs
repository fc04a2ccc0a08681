//! Settings of functions: the administrator's and those of each user.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult};
use oui_models::functions::{self, FunctionRow};
use oui_models::users;
use oui_plugin_host::{Plugin, Which};
use oui_web::body::ObjectBody;
use oui_web::{Admin, Caller, Verified};
use serde_json::{Value, json};

use super::known;
use crate::plugins;

fn plugin(row: &FunctionRow) -> Plugin<'_> {
    Plugin {
        is_tool: false,
        id: &row.id,
        source: row.content.as_deref().unwrap_or_default(),
    }
}

fn enabled(on: bool) -> ApiResult<()> {
    if on {
        Ok(())
    } else {
        Err(ApiError::internal("functions are switched off"))
    }
}

pub(super) async fn get(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = known(&caller, &id).await?;
    Ok(Json(Value::Object(plugins::read_valves(
        caller.app(),
        row.valves.as_deref(),
    ))))
}

pub(super) async fn spec(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = known(&caller, &id).await?;
    enabled(caller.app().settings.plugins.functions())?;
    plugins::schema(&caller, caller.user(), plugin(&row), Which::Valves)
        .await
        .map(Json)
}

pub(super) async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    ObjectBody(values): ObjectBody,
) -> ApiResult<Json<Value>> {
    let row = known(&caller, &id).await?;
    enabled(caller.app().settings.plugins.functions())?;
    let told = "Error updating function valves";
    let values = plugins::check(caller.app(), plugin(&row), Which::Valves, values, told).await?;
    let stored = plugins::stored_valves(caller.app(), &values)?;
    functions::set_valves(caller.db(), &id, &stored.to_string()).await?;
    caller.tell("function.valves_updated", id, Value::Null);
    Ok(Json(Value::Object(values)))
}

pub(super) async fn get_own(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    known(&caller, &id).await?;
    Ok(Json(Value::Object(plugins::user_valves(
        caller.app(),
        caller.user(),
        "functions",
        &id,
    ))))
}

pub(super) async fn own_spec(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = known(&caller, &id).await?;
    if !row.is_active.unwrap_or(false) {
        return Ok(Json(Value::Null));
    }
    enabled(caller.app().settings.plugins.functions())?;
    plugins::schema(&caller, caller.user(), plugin(&row), Which::UserValves)
        .await
        .map(Json)
}

pub(super) async fn update_own(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    ObjectBody(values): ObjectBody,
) -> ApiResult<Json<Value>> {
    let row = known(&caller, &id).await?;
    if !row.is_active.unwrap_or(false) {
        return Err(ApiError::bad_request("Function is not active"));
    }
    enabled(caller.app().settings.plugins.functions())?;
    let told = "Error updating function user valves";
    let values = plugins::check(caller.app(), plugin(&row), Which::UserValves, values, told).await?;
    let stored = plugins::stored_valves(caller.app(), &values)?;
    users::own::set_plugin_valves(caller.db(), caller.id(), "functions", &id, stored).await?;
    caller.tell("function.valves_updated", id, json!({ "scope": "user" }));
    Ok(Json(Value::Object(values)))
}
