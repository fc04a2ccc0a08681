//! Making, changing, switching and removing functions, and going back to a version. The plugin host looks into every
//! source first. Functions are the administrators' alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::functions::{self, FunctionData, FunctionRow, Switch, Synced};
use oui_models::models::Commit;
use oui_models::versions;
use oui_plugin_host::Plugin;
use oui_web::{Admin, Body, Caller, Query};
use serde_json::{Map, Value, json};

use super::{find, known};
use crate::plugins::{self, BAD_ID, FunctionMeta, UrlForm};

const SWITCHED_OFF: &str = "Functions are disabled by ENABLE_PLUGINS or ENABLE_FUNCTIONS";

form! {
    /// A function.
    pub(super) struct FunctionForm {
        commit_message: Option<String>,
        id: String,
        name: String,
        content: String,
        meta: FunctionMeta,
    }
}

/// What of a function is stored, after a look into its source. `valves` are its settings, as stored.
async fn prepared(
    caller: &Caller<Admin>,
    (id, name, content): (&str, &str, String),
    meta: &FunctionMeta,
    valves: Option<&str>,
    told: impl Fn(&str) -> ApiError,
) -> ApiResult<FunctionData> {
    let app = caller.app();
    if !app.settings.plugins.functions() {
        return Err(told(SWITCHED_OFF));
    }
    let plugin = Plugin {
        is_tool: false,
        id,
        source: &content,
    };
    let found = plugins::inspect(app, plugin, valves, told).await?;
    let mut meta = meta.0.clone();
    meta.insert("manifest".into(), Value::Object(plugins::frontmatter(&content)));
    meta.insert("toggle".into(), json!(found.toggle));
    Ok(FunctionData {
        name: name.to_owned(),
        kind: found.class,
        content,
        meta: Value::Object(meta),
    })
}

fn about(row: &FunctionRow) -> Value {
    json!({ "type": row.kind, "name": row.name })
}

/// Tells what was done to a function.
fn tell(caller: &Caller<Admin>, news: &'static str, row: Option<&FunctionRow>) {
    if let Some(row) = row {
        caller.tell(news, row.id.as_str(), about(row));
    }
}

fn full(row: Option<FunctionRow>) -> Json<Value> {
    Json(row.map_or(Value::Null, |row| Value::Object(row.to_full_json())))
}

pub(super) async fn create(caller: Caller<Admin>, body: Body<FunctionForm>) -> ApiResult<Json<Value>> {
    let form = body.form;
    if !plugins::is_identifier(&form.id) {
        return Err(ApiError::bad_request(BAD_ID));
    }
    let id = form.id.to_lowercase();
    if find(&caller, &id).await?.is_some() {
        return Err(ApiError::bad_request(messages::ID_TAKEN));
    }
    let told = |_: &str| ApiError::bad_request(messages::default_with("Error creating function"));
    let content = plugins::with_present_imports(&form.content);
    let data = prepared(&caller, (&id, &form.name, content), &form.meta, None, told).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    functions::create(caller.db(), &id, &data, commit).await?;
    caller.app().chat.catalogue.invalidate();
    let row = find(&caller, &id).await?;
    tell(&caller, "function.created", row.as_ref());
    Ok(Json(row.map_or(Value::Null, |row| Value::Object(row.to_json()))))
}

async fn change(
    caller: &Caller<Admin>,
    id: &str,
    form: &FunctionForm,
    version: Option<&str>,
) -> ApiResult<Json<Value>> {
    let row = find(caller, id).await?;
    let valves = row.as_ref().and_then(|row| row.valves.clone());
    // A version is taken as it was saved.
    let content = match version {
        Some(_) => form.content.clone(),
        None => plugins::with_present_imports(&form.content),
    };
    let data = prepared(
        caller,
        (id, &form.name, content),
        &form.meta,
        valves.as_deref(),
        plugins::told_plainly,
    )
    .await?;
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    if !functions::save(caller.db(), id, &data, version, commit).await? {
        return Err(ApiError::bad_request("Function not found"));
    }
    caller.app().chat.catalogue.invalidate();
    let row = find(caller, id).await?;
    tell(caller, "function.updated", row.as_ref());
    Ok(full(row))
}

pub(super) async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    body: Body<FunctionForm>,
) -> ApiResult<Json<Value>> {
    change(&caller, &id, &body.form, None).await
}

form! {
    /// Which version to go back to.
    pub(super) struct VersionForm {
        version_id: String,
    }
}

pub(super) async fn restore(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    body: Body<VersionForm>,
) -> ApiResult<Json<Value>> {
    super::with_history(&caller, &id).await?;
    let version = versions::FUNCTIONS
        .get(caller.db(), &id, &body.form.version_id)
        .await?;
    let version = version.ok_or_else(|| ApiError::not_found("Version not found"))?;
    let mut saved = version.snapshot.clone();
    if let Some(object) = saved.as_object_mut() {
        object.insert("id".into(), json!(id));
    }
    let form = <FunctionForm as oui_core::Form>::read("body", &saved)
        .map_err(|_| ApiError::bad_request("The saved version is incomplete"))?;
    change(&caller, &id, &form, Some(&version.id)).await
}

async fn switch(caller: &Caller<Admin>, id: &str, switch: Switch) -> ApiResult<Json<Value>> {
    let before = known(caller, id).await?;
    let is_global = matches!(switch, Switch::Global);
    if !is_global {
        let news = match before.is_active {
            Some(true) => "function.disable_started",
            _ => "function.enable_started",
        };
        tell(caller, news, Some(&before));
    }
    functions::toggle(caller.db(), id, switch).await?;
    caller.app().chat.catalogue.invalidate();
    let row = find(caller, id).await?;
    let Some(row) = row else { return Ok(full(None)) };
    if is_global {
        let mut details = about(&row);
        details["is_global"] = json!(row.is_global);
        caller.tell("function.updated", row.id.as_str(), details);
    } else {
        let news = match row.is_active {
            Some(true) => "function.enabled",
            _ => "function.disabled",
        };
        tell(caller, news, Some(&row));
    }
    Ok(full(Some(row)))
}

pub(super) async fn toggle(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    switch(&caller, &id, Switch::Active).await
}

pub(super) async fn toggle_global(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    switch(&caller, &id, Switch::Global).await
}

pub(super) async fn delete(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    functions::delete(caller.db(), &id).await?;
    caller.app().chat.catalogue.invalidate();
    caller.tell("function.deleted", id, Value::Null);
    Ok(Json(json!(true)))
}

form! {
    /// Whether settings are exported too.
    pub(super) struct ExportQuery {
        include_valves: bool = false,
    }
}

/// A function with source and settings.
fn with_valves(caller: &Caller<Admin>, row: &FunctionRow) -> Value {
    let mut json = Map::new();
    let valves = plugins::read_valves(caller.app(), row.valves.as_deref());
    for (name, value) in row.to_full_json() {
        let after_meta = name == "meta";
        json.insert(name, value);
        if after_meta {
            json.insert("valves".into(), Value::Object(valves.clone()));
        }
    }
    Value::Object(json)
}

pub(super) async fn export(
    caller: Caller<Admin>,
    Query(query): Query<ExportQuery>,
) -> ApiResult<Json<Value>> {
    if !caller.app().settings.plugins.functions() {
        return Ok(Json(json!([])));
    }
    let rows = functions::all(caller.db()).await?;
    let item = |row: &FunctionRow| {
        if query.include_valves {
            with_valves(&caller, row)
        } else {
            Value::Object(row.to_full_json())
        }
    };
    Ok(Json(rows.iter().map(item).collect()))
}

form! {
    /// A function of a whole set.
    struct SyncedForm {
        version_id: Option<String>,
        id: String,
        user_id: Option<String>,
        name: String,
        kind as "type": String,
        content: String,
        meta: FunctionMeta,
        valves: Option<Map<String, Value>>,
        is_active: bool = false,
        is_global: bool = false,
        updated_at: i64,
        created_at: i64,
    }
}

form! {
    /// All functions there shall be.
    pub(super) struct SyncForm {
        functions: Vec<SyncedForm> = Vec::new(),
    }
}

pub(super) async fn sync(caller: Caller<Admin>, body: Body<SyncForm>) -> ApiResult<Json<Value>> {
    let told = |_: &str| ApiError::bad_request(messages::default_with("Error loading function"));
    // The last one of an id counts.
    let mut set: BTreeMap<String, Synced> = BTreeMap::new();
    for form in body.form.functions {
        let valves = match &form.valves {
            Some(valves) => Some(plugins::stored_valves(caller.app(), valves)?.to_string()),
            None => None,
        };
        let content = plugins::with_present_imports(&form.content);
        let source = (form.id.as_str(), form.name.as_str(), content);
        let data = prepared(&caller, source, &form.meta, valves.as_deref(), told)
            .await
            .map_err(|error| {
                if error.status() == http::StatusCode::BAD_REQUEST {
                    told("")
                } else {
                    error
                }
            })?;
        let synced = Synced {
            id: form.id.clone(),
            data,
            valves,
            is_active: form.is_active,
            is_global: form.is_global,
            created_at: form.created_at,
        };
        set.insert(form.id, synced);
    }
    let set: Vec<Synced> = set.into_values().collect();
    functions::sync(caller.db(), caller.id(), &set).await?;
    caller.app().chat.catalogue.invalidate();
    let rows = functions::all(caller.db()).await?;
    Ok(Json(rows.iter().map(|row| with_valves(&caller, row)).collect()))
}

pub(super) async fn load(caller: Caller<Admin>, body: Body<UrlForm>) -> ApiResult<Json<Value>> {
    plugins::fetch(caller.app(), body.form, "function")
        .await
        .map(Json)
}
