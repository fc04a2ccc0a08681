//! Prompts that users insert by a command: `/api/v1/prompts`.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::grants;
use oui_models::models::Commit;
use oui_models::prompts::{self, PromptData, PromptRow};
use oui_models::shared::{self, Entry, Filter};
use oui_models::versions::{self, Version};
use oui_web::{Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::{
    GrantForm, GrantsForm, ListQuery, ORDERS, PAGE, Reading, allowed_grants, demand_any, demanded_grants,
    given,
};
use crate::diff::unified;
use crate::plugins::DiffQuery;

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "prompts" at "/api/v1/prompts";
        GET    "/"                                    Verified => all,
        GET    "/tags"                                Verified => tags,
        GET    "/list"                                Verified => list,
        POST   "/create"                              Verified => create,
        GET    "/id/{prompt_id}"                      Verified => get,
        POST   "/id/{prompt_id}/update"               Verified => update,
        POST   "/id/{prompt_id}/update/meta"          Verified => update_meta,
        POST   "/id/{prompt_id}/update/version"       Verified => restore,
        POST   "/id/{prompt_id}/access/update"        Verified => set_access,
        POST   "/id/{prompt_id}/toggle"               Verified => toggle,
        DELETE "/id/{prompt_id}/delete"               Verified => delete,
        GET    "/id/{prompt_id}/history"              Verified => history,
        GET    "/id/{prompt_id}/history/diff"         Verified => difference,
        GET    "/id/{prompt_id}/history/{history_id}" Verified => version,
        DELETE "/id/{prompt_id}/history/{history_id}" Verified => remove_version,
    }
}

/// Versions of a page.
const VERSIONS: i64 = 20;

/// Message of a prompt's first version.
const FIRST_VERSION: &str = "Initial version";

form! {
    /// A prompt.
    struct PromptForm {
        /// Word that inserts it.
        command: String,
        /// Name shown.
        name: String,
        /// The text.
        content: String,
        /// Parameters.
        data: Option<Map<String, Value>>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Names.
        tags: Option<Vec<String>>,
        /// Grants.
        access_grants: Option<Vec<GrantForm>>,
        /// Not used: versions are numbered here.
        version_id: Option<String>,
        /// Message of the version.
        commit_message: Option<String>,
        /// Whether the new version becomes the live one.
        is_production: Option<bool> = Some(true),
    }
}

impl PromptForm {
    fn data(&self) -> PromptData {
        PromptData {
            command: self.command.clone(),
            name: self.name.clone(),
            content: self.content.clone(),
            data: self.data.clone(),
            meta: self.meta.clone(),
            tags: self.tags.clone(),
        }
    }
}

form! {
    /// Name, command and tags.
    struct MetaForm {
        /// Name shown.
        name: String,
        /// Word that inserts it.
        command: String,
        /// Names.
        tags: Option<Vec<String>>,
    }
}

form! {
    /// Which version to go back to.
    struct VersionForm {
        /// Version id.
        version_id: String,
    }
}

form! {
    /// Which versions.
    struct HistoryQuery {
        /// From 0.
        page: i64 = 0,
    }
}

type Prompt = Entry<PromptRow>;

fn json_of(entry: &Prompt) -> Map<String, Value> {
    entry.row.to_json(&entry.grants)
}

async fn all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let filter = Filter::readable(reading.reader(), "r.updated_at DESC").and(prompts::is_active());
    let entries = shared::list::<PromptRow>(caller.db(), &filter).await?;
    Ok(Json(
        entries
            .iter()
            .map(|entry| Value::Object(json_of(entry)))
            .collect(),
    ))
}

async fn tags(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    Ok(Json(json!(prompts::tags(caller.db(), reading.reader()).await?)))
}

async fn list(caller: Caller<Verified>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let order = shared::order(
        ORDERS,
        given(&query.order_by),
        given(&query.direction),
        "r.updated_at DESC",
    );
    let mut filter = Filter::readable(reading.reader(), order).page(query.page, PAGE);
    filter.view = given(&query.view_option);
    if let Some(text) = given(&query.query) {
        filter = filter.and(shared::contains(
            &["r.name", "r.command", "r.content", "u.name", "u.email"],
            text,
        ));
    }
    if let Some(tag) = given(&query.tag) {
        filter = filter.and(prompts::has_tag(caller.db().dialect(), tag));
    }
    let page = shared::search::<PromptRow>(caller.db(), &filter).await?;
    let items: Vec<Value> = page
        .entries
        .iter()
        .map(|entry| {
            let mut item = json_of(entry);
            item.insert("user".into(), entry.user_json());
            item.insert("write_access".into(), json!(reading.may(entry, "write")));
            Value::Object(item)
        })
        .collect();
    Ok(Json(json!({ "items": items, "total": page.total })))
}

/// The prompt, or 404.
async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Prompt> {
    shared::get(caller.db(), id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))
}

/// The prompt, when the caller may do what the permission names.
async fn authorized(caller: &Caller<Verified>, id: &str, permission: &str) -> ApiResult<Prompt> {
    let entry = find(caller, id).await?;
    if Reading::of(caller).await?.may_or_admin(&entry, permission) {
        Ok(entry)
    } else {
        Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
    }
}

/// The prompt as it is now, and the news of what was done to it.
async fn answer(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    let row = find(caller, id).await?;
    let details = match news {
        "prompt.version_updated" => json!({ "version_id": row.row.version_id }),
        "prompt.access_updated" => json!({ "name": row.row.name }),
        _ => about(&row.row),
    };
    caller.tell(news, id, details);
    Ok(Json(Value::Object(json_of(&row))))
}

/// What those who hear of events learn of a prompt.
fn about(row: &PromptRow) -> Value {
    json!({ "name": row.name, "command": row.command })
}

/// Refuses a command that another prompt has.
async fn demand_free(caller: &Caller<Verified>, command: &str, own: Option<&PromptRow>) -> ApiResult<()> {
    match prompts::by_command(caller.db(), command).await? {
        Some(other) if own.is_none_or(|own| own.id != other.id) => {
            Err(ApiError::bad_request(messages::COMMAND_TAKEN))
        }
        _ => Ok(()),
    }
}

async fn create(caller: Caller<Verified>, body: Body<PromptForm>) -> ApiResult<Json<Value>> {
    demand_any(&caller, &["workspace.prompts", "workspace.prompts_import"]).await?;
    let form = body.form;
    let grants = allowed_grants(&caller, prompts::KIND, form.access_grants.clone()).await?;
    demand_free(&caller, &form.command, None).await?;
    let message = form
        .commit_message
        .as_deref()
        .filter(|message| !message.is_empty())
        .unwrap_or(FIRST_VERSION);
    let commit = Commit {
        user_id: caller.id(),
        message: Some(message),
    };
    let id = prompts::create(caller.db(), &form.data(), &grants, commit).await?;
    answer(&caller, &id, "prompt.created").await
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &id).await?;
    let reading = Reading::of(&caller).await?;
    if !reading.may_or_admin(&entry, "read") {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    let mut json = json_of(&entry);
    json.insert("user".into(), Value::Null);
    json.insert("write_access".into(), json!(reading.may(&entry, "write")));
    Ok(Json(Value::Object(json)))
}

async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<PromptForm>,
) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "write").await?;
    let form = body.form;
    demand_free(&caller, &form.command, Some(&entry.row)).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    prompts::save(
        caller.db(),
        &id,
        &form.data(),
        form.is_production.unwrap_or(false),
        commit,
    )
    .await?;
    answer(&caller, &id, "prompt.updated").await
}

async fn update_meta(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<MetaForm>,
) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "write").await?;
    let form = body.form;
    demand_free(&caller, &form.command, Some(&entry.row)).await?;
    prompts::rename(caller.db(), &id, &form.name, &form.command, form.tags.as_deref()).await?;
    answer(&caller, &id, "prompt.updated").await
}

async fn restore(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<VersionForm>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "write").await?;
    if !prompts::restore(caller.db(), &id, &body.form.version_id).await? {
        return Err(ApiError::bad_request(messages::DEFAULT));
    }
    answer(&caller, &id, "prompt.version_updated").await
}

async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "write").await?;
    let wanted = demanded_grants(&caller, prompts::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), prompts::KIND, &id, &wanted).await?;
    answer(&caller, &id, "prompt.access_updated").await
}

async fn toggle(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "write").await?;
    prompts::toggle(caller.db(), &id).await?;
    let news = if entry.row.is_active {
        "prompt.disabled"
    } else {
        "prompt.enabled"
    };
    answer(&caller, &id, news).await
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "write").await?;
    prompts::delete(caller.db(), &id).await?;
    caller.tell("prompt.deleted", id, about(&entry.row));
    Ok(Json(json!(true)))
}

fn version_json(version: &Version) -> Map<String, Value> {
    let mut json = version.to_json();
    json.insert("snapshot".into(), version.snapshot.clone());
    json
}

async fn history(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    let skip = query.page.max(0).saturating_mul(VERSIONS);
    let list = versions::PROMPTS.list(caller.db(), &id, skip, VERSIONS).await?;
    let item = |version: &Version| {
        let mut item = version_json(version);
        item.insert("user".into(), version.author_json());
        Value::Object(item)
    };
    Ok(Json(list.iter().map(item).collect()))
}

async fn difference(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<DiffQuery>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    let mut snapshots = Vec::new();
    for version in [&query.from_id, &query.to_id] {
        let version = versions::PROMPTS.get(caller.db(), &id, version).await?;
        snapshots.push(
            version
                .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?
                .snapshot,
        );
    }
    let (before, after) = (&snapshots[0], &snapshots[1]);
    let text = |snapshot: &Value| {
        snapshot
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (old, new) = (text(before), text(after));
    let label = |version: &str| format!("v{}", version.chars().take(8).collect::<String>());
    let lines = unified(&old, &new, &label(&query.from_id), &label(&query.to_id));
    Ok(Json(json!({
        "from_id": query.from_id,
        "to_id": query.to_id,
        "from_snapshot": before,
        "to_snapshot": after,
        "line_endings_only": lines.is_empty() && old != new,
        "content_diff": lines,
        "name_changed": before.get("name") != after.get("name"),
    })))
}

async fn version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    let version = versions::PROMPTS.get(caller.db(), &id, &version_id).await?;
    let version = version.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    Ok(Json(Value::Object(version_json(&version))))
}

async fn remove_version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "write").await?;
    if entry.row.version_id.as_deref() == Some(version_id.as_str()) {
        return Err(ApiError::bad_request(
            "Cannot delete the active production version",
        ));
    }
    if !prompts::remove_version(caller.db(), &id, &version_id).await? {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    Ok(Json(json!(true)))
}
