//! Making and changing tools, and going back to a version. The plugin host looks into every source first.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::models::Commit;
use oui_models::tools::{self, ToolData};
use oui_models::versions;
use oui_plugin_host::Plugin;
use oui_web::{Admin, Body, Caller, Verified};
use serde_json::{Value, json};

use super::{Tool, find, item_of, with_history, writable};
use crate::common::{GrantForm, allowed_grants, demand_any};
use crate::plugins::{self, BAD_ID, ToolMeta, UrlForm};

const MAY_WRITE: &[&str] = &["workspace.tools", "workspace.tools_import"];
const SWITCHED_OFF: &str = "Tools are disabled by ENABLE_PLUGINS or ENABLE_TOOLS";

form! {
    /// A tool.
    pub(super) struct ToolForm {
        commit_message: Option<String>,
        id: String,
        name: String,
        content: String,
        meta: ToolMeta,
        access_grants: Option<Vec<GrantForm>>,
    }
}

/// What of a tool is stored, after a look into its source.
async fn prepared(
    caller: &Caller<Verified>,
    id: &str,
    form: &ToolForm,
    content: String,
    told: impl Fn(&str) -> ApiError,
) -> ApiResult<ToolData> {
    let app = caller.app();
    if !app.settings.plugins.tools() {
        return Err(told(SWITCHED_OFF));
    }
    let valves = tools::valves(caller.db(), id).await?;
    let plugin = Plugin {
        is_tool: true,
        id,
        source: &content,
    };
    let found = plugins::inspect(app, plugin, valves.as_deref(), told).await?;
    let mut meta = form.meta.0.clone();
    meta.insert("manifest".into(), Value::Object(plugins::frontmatter(&content)));
    meta.insert("has_user_valves".into(), json!(found.has_user_valves));
    Ok(ToolData {
        name: form.name.clone(),
        content,
        meta: Value::Object(meta),
        specs: found.specs,
    })
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<ToolForm>) -> ApiResult<Json<Value>> {
    demand_any(&caller, MAY_WRITE).await?;
    let mut form = body.form;
    if !plugins::is_identifier(&form.id) {
        return Err(ApiError::bad_request(BAD_ID));
    }
    let id = form.id.to_lowercase();
    if find(&caller, &id).await?.is_some() {
        return Err(ApiError::bad_request(messages::ID_TAKEN));
    }
    let grants = allowed_grants(&caller, tools::KIND, form.access_grants.take()).await?;
    let content = plugins::with_present_imports(&form.content);
    let told = |_: &str| ApiError::bad_request(messages::default_with("Error creating tool"));
    let data = prepared(&caller, &id, &form, content, told).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    tools::create(caller.db(), &id, &data, &grants, commit).await?;
    let entry = find(&caller, &id).await?;
    caller.tell("tool.created", id, json!({ "name": data.name }));
    Ok(Json(entry.map_or(Value::Null, |entry| item_of(&entry))))
}

/// Changes a tool that the caller may write; its source only with the permission for that.
async fn change(
    caller: &Caller<Verified>,
    entry: &Tool,
    form: &ToolForm,
    version: Option<&str>,
) -> ApiResult<Json<Value>> {
    let id = &entry.row.id;
    if Some(&form.content) != entry.row.content.as_ref() {
        demand_any(caller, MAY_WRITE).await?;
    }
    // A version is taken as it was saved.
    let content = match version {
        Some(_) => form.content.clone(),
        None => plugins::with_present_imports(&form.content),
    };
    let data = prepared(caller, id, form, content, plugins::told_plainly).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    if !tools::save(caller.db(), id, &data, version, commit).await? {
        return Err(ApiError::bad_request("Tool not found"));
    }
    let entry = find(caller, id).await?;
    caller.tell("tool.updated", id.as_str(), json!({ "name": data.name }));
    Ok(Json(
        entry.map_or(Value::Null, |entry| entry.row.to_json(&entry.grants)),
    ))
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<ToolForm>,
) -> ApiResult<Json<Value>> {
    let entry = writable(&caller, &id).await?;
    change(&caller, &entry, &body.form, None).await
}

form! {
    /// Which version to go back to.
    pub(super) struct VersionForm {
        version_id: String,
    }
}

pub(super) async fn restore(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<VersionForm>,
) -> ApiResult<Json<Value>> {
    let entry = with_history(&caller, &id).await?;
    let version = versions::TOOLS
        .get(caller.db(), &id, &body.form.version_id)
        .await?;
    let version = version.ok_or_else(|| ApiError::not_found("Version not found"))?;
    let mut saved = version.snapshot.clone();
    if let Some(object) = saved.as_object_mut() {
        object.insert("id".into(), json!(id));
    }
    let form = <ToolForm as oui_core::Form>::read("body", &saved)
        .map_err(|_| ApiError::bad_request("The saved version is incomplete"))?;
    change(&caller, &entry, &form, Some(&version.id)).await
}

pub(super) async fn load(caller: Caller<Admin>, body: Body<UrlForm>) -> ApiResult<Json<Value>> {
    plugins::fetch(caller.app(), body.form, "tool").await.map(Json)
}
