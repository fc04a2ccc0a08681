//! Versions of workspace models: looking at them, going back to one, removing one.

use axum::Json;
use axum::extract::Path;
use oui_core::form::Form;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::models::{self, ModelData, Removal};
use oui_models::shared::{self, Shared};
use oui_models::versions::{self, Version};
use oui_models::{functions, knowledge, notes, skills};
use oui_providers::CallContext;
use oui_web::{Body, Caller, Query, Verified};
use serde_json::{Value, json};

use super::draft::{Draft, ModelForm};
use super::{IdQuery, Model, assets, find, written};
use crate::common::Reading;

/// Versions of a page.
const PAGE: i64 = 20;
const MISSING: &str = "Model version not found";

form! {
    /// Which versions.
    pub(super) struct HistoryQuery {
        /// Model id.
        pub id: String,
        /// From 1.
        pub page: i64 = 1,
    }
}

form! {
    /// Which version to go back to.
    pub(super) struct VersionForm {
        /// Version id.
        pub version_id: String,
    }
}

/// The model, when the caller may write it.
async fn authorized(caller: &Caller<Verified>, id: &str) -> ApiResult<Model> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    if Reading::of(caller).await?.may(&entry, "write") {
        Ok(entry)
    } else {
        Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
    }
}

fn item(version: &Version) -> serde_json::Map<String, Value> {
    let mut item = version.to_json();
    item.insert("user".into(), version.author_name());
    item
}

pub(super) async fn list(
    caller: Caller<Verified>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &query.id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(PAGE);
    let list = versions::MODELS.list(caller.db(), &query.id, skip, PAGE).await?;
    Ok(Json(list.iter().map(item).collect()))
}

async fn version(caller: &Caller<Verified>, id: &str, version_id: &str) -> ApiResult<Version> {
    let version = versions::MODELS.get(caller.db(), id, version_id).await?;
    version.ok_or_else(|| ApiError::not_found(MISSING))
}

pub(super) async fn get(
    caller: Caller<Verified>,
    Path(version_id): Path<String>,
    Query(query): Query<IdQuery>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &query.id).await?;
    let version = version(&caller, &query.id, &version_id).await?;
    let mut item = item(&version);
    item.insert("snapshot".into(), version.snapshot.clone());
    Ok(Json(Value::Object(item)))
}

pub(super) async fn remove(
    caller: Caller<Verified>,
    Path(version_id): Path<String>,
    Query(query): Query<IdQuery>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &query.id).await?;
    match models::remove_version(caller.db(), &query.id, &version_id).await? {
        Removal::Done => Ok(Json(json!(true))),
        Removal::Current => Err(ApiError::bad_request("Cannot delete the current version")),
        Removal::Missing => Err(ApiError::not_found(MISSING)),
    }
}

pub(super) async fn restore(
    caller: Caller<Verified>,
    Query(query): Query<IdQuery>,
    body: Body<VersionForm>,
) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &query.id).await?;
    let version = version(&caller, &query.id, &body.form.version_id).await?;
    let mut raw = version.snapshot.clone();
    if !raw.is_object() {
        return Err(ApiError::internal("a model version without snapshot"));
    }
    raw["id"] = json!(query.id);
    let form =
        ModelForm::read("body", &raw).map_err(|_| ApiError::internal("a model version that is no model"))?;
    let draft = Draft::new(form, &raw, None, &caller.app().settings.access);
    let has_base = |data: &ModelData| data.base_model_id.as_deref().is_some_and(|base| !base.is_empty());
    if !caller.is_admin() && has_base(&ModelData::of(&entry.row)) && !has_base(&draft.data) {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    super::check_controls(&caller, &draft, &raw).await?;
    verify_dependencies(&caller, &draft.data).await?;
    assets::verify(&caller, &draft.data, None).await?;
    if !models::restore(caller.db(), &query.id, &version.id, &draft.data).await? {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    written(&caller, &query.id, "model.updated").await
}

/// Refuses a shared resource that is gone, switched off or closed to the caller.
async fn demand<R: Shared>(
    caller: &Caller<Verified>,
    id: &str,
    active: impl Fn(&R) -> bool,
) -> ApiResult<()> {
    let kind = R::KIND;
    let entry = shared::get::<R>(caller.db(), id)
        .await?
        .filter(|entry| active(&entry.row));
    let entry =
        entry.ok_or_else(|| ApiError::bad_request(format!("Referenced {kind} is unavailable: {id}")))?;
    if Reading::of(caller).await?.may(&entry, "read") {
        Ok(())
    } else {
        Err(ApiError::forbidden(format!(
            "Referenced {kind} is not accessible: {id}"
        )))
    }
}

/// Everything that an older version refers to must still be there for the caller.
async fn verify_dependencies(caller: &Caller<Verified>, data: &ModelData) -> ApiResult<()> {
    if let Some(base) = data.base_model_id.as_deref().filter(|base| !base.is_empty()) {
        let models = caller
            .app()
            .chat
            .catalogue
            .all(false, &CallContext::default())
            .await?;
        if !models.contains_key(base) {
            return Err(ApiError::bad_request("The base model is unavailable."));
        }
    }
    for item in data
        .meta
        .get("knowledge")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        verify_knowledge(caller, item).await?;
    }
    let texts = |name: &str| -> Vec<String> {
        let list = data
            .meta
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        list.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    for id in texts("skillIds") {
        demand::<skills::SkillRow>(caller, &id, |skill| skill.is_active).await?;
    }
    let tools = crate::tools::available_ids(caller).await?;
    if texts("toolIds").iter().any(|id| !tools.contains(id)) {
        return Err(ApiError::bad_request(
            "A referenced tool is missing or inaccessible.",
        ));
    }
    for id in ["filterIds", "defaultFilterIds", "actionIds"]
        .into_iter()
        .flat_map(texts)
    {
        let function = functions::by_id(caller.db(), &id).await?;
        if function.is_none_or(|function| function.is_active != Some(true)) {
            return Err(ApiError::bad_request(format!(
                "A referenced function is unavailable: {id}"
            )));
        }
    }
    let terminal = data
        .meta
        .get("terminalId")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty());
    if let Some(terminal) = terminal
        && !crate::terminals::available_ids(caller)
            .await?
            .iter()
            .any(|id| id == terminal)
    {
        return Err(ApiError::bad_request(
            "The referenced terminal is missing or inaccessible.",
        ));
    }
    Ok(())
}

async fn verify_knowledge(caller: &Caller<Verified>, item: &Value) -> ApiResult<()> {
    let text = |name: &str| {
        item.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let legacy = item
        .get("legacy")
        .is_some_and(|legacy| *legacy != json!(false) && !legacy.is_null());
    let Some(id) = text("id").filter(|_| !legacy) else {
        return Ok(());
    };
    match text("type") {
        Some("file") => {
            let reading = Reading::of(caller).await?;
            let file =
                knowledge::readable_file(caller.db(), id, caller.is_admin(), reading.as_user()).await?;
            file.map(drop).ok_or_else(|| {
                ApiError::bad_request("A referenced knowledge file is missing or inaccessible.")
            })
        }
        Some("note") => demand::<notes::NoteRow>(caller, id, |_| true).await,
        _ => demand::<knowledge::KnowledgeRow>(caller, id, |_| true).await,
    }
}
