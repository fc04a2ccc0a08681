//! Workspace tools: `/api/v1/tools`. Here they are listed, shown, shared and removed, and their versions looked at;
//! writing them and their settings have files of their own.

mod valves;
mod write;

use axum::Json;
use axum::extract::Path;
use oui_config::connections;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::grants::{self, normalize};
use oui_models::shared::{self, Entry, Filter};
use oui_models::tools::{self, ToolItem, ToolRow};
use oui_models::versions::{self, Version};
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::{GrantsForm, Reading, demand_any, demanded_grants, given};
use crate::plugins::{self, DiffQuery};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "tools" at "/api/v1/tools";
        GET    "/"                             Verified => all,
        GET    "/list"                         Verified => list,
        GET    "/export"                       Verified => export,
        POST   "/load/url"                     Admin    => write::load,
        POST   "/create"                       Verified => write::create,
        GET    "/id/{id}"                      Verified => get,
        POST   "/id/{id}/update"               Verified => write::update,
        POST   "/id/{id}/update/version"       Verified => write::restore,
        POST   "/id/{id}/access/update"        Verified => set_access,
        DELETE "/id/{id}/delete"               Verified => delete,
        GET    "/id/{id}/valves"               Verified => valves::get,
        GET    "/id/{id}/valves/spec"          Verified => valves::spec,
        POST   "/id/{id}/valves/update"        Verified => valves::update,
        GET    "/id/{id}/valves/user"          Verified => valves::get_own,
        GET    "/id/{id}/valves/user/spec"     Verified => valves::own_spec,
        POST   "/id/{id}/valves/user/update"   Verified => valves::update_own,
        GET    "/id/{id}/history"              Verified => history,
        GET    "/id/{id}/history/diff"         Verified => difference,
        GET    "/id/{id}/history/{history_id}" Verified => version,
        DELETE "/id/{id}/history/{history_id}" Verified => remove_version,
    }
}

/// Versions of a page.
const VERSIONS: i64 = 20;

form! {
    /// Which tools.
    struct NameQuery {
        /// Text in the name.
        query: Option<String>,
    }
}

form! {
    /// Which versions.
    struct HistoryQuery {
        /// From 1.
        page: i64 = 1,
    }
}

async fn items(caller: &Caller<Verified>, reading: &Reading) -> ApiResult<Vec<Entry<ToolItem>>> {
    if !caller.app().settings.plugins.tools() {
        return Ok(Vec::new());
    }
    Ok(shared::list(
        caller.db(),
        &Filter::readable(reading.reader(), "r.updated_at DESC"),
    )
    .await?)
}

/// Whether the grants of a connection in the configuration open it to the caller; without grants it is the
/// administrators'.
pub(crate) async fn opens_connection(caller: &Caller<Verified>, connection: &Value) -> ApiResult<bool> {
    if caller.bypasses_grants() {
        return Ok(true);
    }
    let listed = connection
        .pointer("/config/access_grants")
        .and_then(Value::as_array);
    let Some(listed) = listed.filter(|listed| !listed.is_empty()) else {
        return Ok(caller.is_admin());
    };
    let membership = caller.membership().await?;
    Ok(normalize(listed)
        .iter()
        .any(|grant| grant.permission == "read" && grant.reaches(caller.id(), &membership)))
}

fn truthy(value: Option<&Value>) -> bool {
    value.is_some_and(|value| {
        !matches!(value, Value::Null | Value::Bool(false)) && *value != json!("") && *value != json!(0)
    })
}

/// An entry of the list of tools for a server of the configuration.
fn server_entry(id: &str, name: &str, description: &str, now: i64) -> Map<String, Value> {
    let mut entry = Map::new();
    for (field, value) in [
        ("version_id", Value::Null),
        ("id", json!(id)),
        ("user_id", json!(id)),
        ("name", json!(name)),
        (
            "meta",
            json!({
                "i18n": null, "description": description, "manifest": {}, "has_user_valves": false,
            }),
        ),
        ("access_grants", json!([])),
        ("updated_at", json!(now)),
        ("created_at", json!(now)),
        ("user", Value::Null),
    ] {
        entry.insert(field.to_owned(), value);
    }
    entry
}

/// OpenAPI servers of the configuration that answer, as entries of the list of tools.
async fn openapi_servers(caller: &Caller<Verified>) -> ApiResult<Vec<Value>> {
    if !caller.app().settings.plugins.tool_servers() {
        return Ok(Vec::new());
    }
    let configured = caller.app().config.get(&connections::TOOL_SERVER_CONNECTIONS);
    let now = caller.app().clock.seconds();
    let mut servers = Vec::new();
    for server in caller.app().chat.tool_servers.listed(&configured).await {
        if !opens_connection(caller, &server.connection).await? {
            continue;
        }
        let info = |name: &str| {
            server
                .document
                .pointer(&format!("/info/{name}"))
                .and_then(Value::as_str)
        };
        let entry = server_entry(
            &format!("server:{}", server.id),
            info("title").unwrap_or("Tool Server"),
            info("description").unwrap_or_default(),
            now,
        );
        servers.push(Value::Object(entry));
    }
    Ok(servers)
}

/// MCP servers of the configuration, as entries of the list of tools.
async fn mcp_servers(caller: &Caller<Verified>) -> ApiResult<Vec<Value>> {
    if !caller.app().settings.plugins.tool_servers() {
        return Ok(Vec::new());
    }
    let configured = caller.app().config.get(&connections::TOOL_SERVER_CONNECTIONS);
    let now = caller.app().clock.seconds();
    let mut servers = Vec::new();
    for server in configured.as_array().into_iter().flatten() {
        let is_mcp = server.get("type").and_then(Value::as_str) == Some("mcp");
        if !is_mcp || !truthy(server.pointer("/config/enable")) || !opens_connection(caller, server).await? {
            continue;
        }
        let info = |name: &str| server.pointer(&format!("/info/{name}")).and_then(Value::as_str);
        let id = format!("server:mcp:{}", info("id").unwrap_or("None"));
        let name = info("name").unwrap_or("MCP Tool Server");
        let mut entry = server_entry(&id, name, info("description").unwrap_or_default(), now);
        if matches!(
            server.get("auth_type").and_then(Value::as_str),
            Some("oauth_2.1" | "oauth_2.1_static")
        ) {
            let provider = info("id")
                .and_then(|id| id.rsplit(':').next())
                .unwrap_or_default();
            let known = tools::has_session(caller.db(), caller.id(), &format!("mcp:{provider}")).await?;
            entry.insert("authenticated".into(), json!(known));
        }
        servers.push(Value::Object(entry));
    }
    Ok(servers)
}

async fn all(caller: Caller<Verified>, Query(query): Query<NameQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let mut list: Vec<Value> = items(&caller, &reading)
        .await?
        .iter()
        .map(|entry| {
            let mut item = entry.row.to_json(&entry.grants, entry.user_json());
            item.insert("has_user_valves".into(), json!(entry.row.has_user_valves()));
            Value::Object(item)
        })
        .collect();
    list.extend(openapi_servers(&caller).await?);
    list.extend(mcp_servers(&caller).await?);
    if let Some(text) = given(&query.query) {
        let text = text.to_lowercase();
        list.retain(|tool| {
            tool["name"]
                .as_str()
                .is_some_and(|name| name.to_lowercase().contains(&text))
        });
    }
    Ok(Json(Value::Array(list)))
}

/// Ids of all tools and tool servers that the caller may use.
pub(crate) async fn available_ids(caller: &Caller<Verified>) -> ApiResult<Vec<String>> {
    let reading = Reading::of(caller).await?;
    let mut ids: Vec<String> = items(caller, &reading)
        .await?
        .into_iter()
        .map(|entry| entry.row.id)
        .collect();
    let mut servers = openapi_servers(caller).await?;
    servers.extend(mcp_servers(caller).await?);
    ids.extend(
        servers
            .iter()
            .filter_map(|server| server["id"].as_str().map(str::to_owned)),
    );
    Ok(ids)
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let entries = items(&caller, &reading).await?;
    let item = |entry: &Entry<ToolItem>| {
        let mut item = entry.row.to_json(&entry.grants, entry.user_json());
        item.insert("write_access".into(), json!(reading.may(entry, "write")));
        Value::Object(item)
    };
    Ok(Json(entries.iter().map(item).collect()))
}

async fn export(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand_any(&caller, &["workspace.tools_export"]).await?;
    let reading = Reading::of(&caller).await?;
    let mut filter = Filter::readable(reading.reader(), "r.updated_at DESC");
    filter.permission = "write";
    let entries = shared::list::<ToolRow>(caller.db(), &filter).await?;
    Ok(Json(
        entries
            .iter()
            .map(|entry| entry.row.to_json(&entry.grants))
            .collect(),
    ))
}

type Tool = Entry<ToolRow>;

/// The tool as its creation answers it: without its source.
fn item_of(entry: &Tool) -> Value {
    let mut json = entry.row.to_json(&entry.grants);
    if let Some(object) = json.as_object_mut() {
        object.shift_remove("content");
        object.shift_remove("specs");
    }
    json
}

async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Option<Tool>> {
    Ok(shared::get(caller.db(), id).await?)
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let reading = Reading::of(&caller).await?;
    if !reading.may_or_admin(&entry, "read") {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let writable = reading.may(&entry, "write");
    let mut json = entry.row.to_json(&entry.grants);
    if let Some(object) = json.as_object_mut() {
        if !writable {
            object.shift_remove("content");
        }
        object.insert("user".into(), Value::Null);
        object.insert("write_access".into(), json!(writable));
    }
    Ok(Json(json))
}

/// The tool, when the caller may write it; missing ones answer as the caller had no right.
async fn writable(caller: &Caller<Verified>, id: &str) -> ApiResult<Tool> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?;
    if Reading::of(caller).await?.may_or_admin(&entry, "write") {
        Ok(entry)
    } else {
        Err(ApiError::unauthorized(messages::UNAUTHORIZED))
    }
}

async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id).await?;
    let wanted = demanded_grants(&caller, tools::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), tools::KIND, &id, &wanted).await?;
    let entry = find(&caller, &id).await?;
    let name = entry.as_ref().map(|entry| &entry.row.name);
    caller.tell("tool.access_updated", id, json!({ "name": name }));
    Ok(Json(
        entry.map_or(Value::Null, |entry| entry.row.to_json(&entry.grants)),
    ))
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = writable(&caller, &id).await?;
    tools::delete(caller.db(), &id).await?;
    caller.tell("tool.deleted", id, json!({ "name": entry.row.name }));
    Ok(Json(json!(true)))
}

/// The tool, when the caller may see its versions: who may write it.
async fn with_history(caller: &Caller<Verified>, id: &str) -> ApiResult<Tool> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::not_found("Not found"))?;
    if Reading::of(caller).await?.may(&entry, "write") {
        Ok(entry)
    } else {
        Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
    }
}

fn version_json(version: &Version) -> Map<String, Value> {
    let mut json = version.to_json();
    json.insert("user".into(), version.author_name());
    json
}

async fn history(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(VERSIONS);
    let list = versions::TOOLS.list(caller.db(), &id, skip, VERSIONS).await?;
    Ok(Json(
        list.iter()
            .map(|version| Value::Object(version_json(version)))
            .collect(),
    ))
}

async fn difference(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<DiffQuery>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let mut found = Vec::new();
    for version in [&query.from_id, &query.to_id] {
        let version = versions::TOOLS.get(caller.db(), &id, version).await?;
        found.push(version.ok_or_else(|| ApiError::not_found("Version not found"))?);
    }
    Ok(Json(plugins::difference(&found[0], &found[1])))
}

async fn version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    with_history(&caller, &id).await?;
    let version = versions::TOOLS.get(caller.db(), &id, &version_id).await?;
    let version = version.ok_or_else(|| ApiError::not_found("Version not found"))?;
    let mut json = version_json(&version);
    json.insert("snapshot".into(), version.snapshot.clone());
    Ok(Json(Value::Object(json)))
}

async fn remove_version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let entry = with_history(&caller, &id).await?;
    if entry.row.version_id.as_deref() == Some(version_id.as_str()) {
        return Err(ApiError::bad_request("Cannot delete the current version"));
    }
    if !tools::remove_version(caller.db(), &id, &version_id).await? {
        return Err(ApiError::not_found("Version not found"));
    }
    Ok(Json(json!(true)))
}
