//! Carrying workspace models from one server to another: export, import, and replacing all of them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Query as Pairs;
use oui_core::form::Form;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::models::{self, Commit, ModelData, ModelRow, Synced};
use oui_models::shared::{self, Filter};
use oui_web::{Admin, Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::draft::{Draft, ModelForm};
use super::{LONGEST_ID, Model, assets, base_ids, check_controls, find, is_preset, json_of};
use crate::common::{Reading, allowed_grants, demand_any};

form! {
    /// Models to add or change.
    pub(super) struct ImportForm {
        /// The models, in the form of the export.
        pub models: Vec<Map<String, Value>>,
    }
}

form! {
    /// The models that there shall be.
    pub(super) struct SyncForm {
        /// The models.
        pub models: Vec<SyncedForm> = Vec::new(),
    }
}

form! {
    /// A grant as an export has it.
    struct SyncedGrant {
        id: String,
        resource_type: String,
        resource_id: String,
        principal_type: String,
        principal_id: String,
        permission: String,
        created_at: i64,
    }
}

form! {
    /// A model of the list that replaces all models.
    pub(super) struct SyncedForm {
        /// The model as an export has it; what is in it beyond the form is ignored.
        pub version_id: Option<String>,
        /// Model id.
        pub id: String,
        /// Owner; whoever replaces the models becomes the owner of new ones.
        pub user_id: String,
        /// Model that answers.
        pub base_model_id: Option<String>,
        /// Name shown.
        pub name: String,
        /// Parameters.
        pub params: super::draft::ParamsForm,
        /// Description, picture, capabilities, ...
        pub meta: super::draft::MetaForm,
        /// Grants of a new model.
        pub access_grants: Vec<SyncedGrant> = Vec::new(),
        /// Whether it is offered.
        pub is_active: bool,
        /// Seconds; not kept.
        pub updated_at: i64,
        /// Seconds; not kept.
        pub created_at: i64,
    }
}

pub(super) async fn export(
    caller: Caller<Verified>,
    Pairs(pairs): Pairs<Vec<(String, String)>>,
) -> ApiResult<Json<Value>> {
    demand_any(&caller, &["workspace.models_export"]).await?;
    let wanted: Vec<String> = pairs
        .into_iter()
        .filter(|(name, _)| name == "ids")
        .map(|(_, id)| id)
        .collect();
    let reading = Reading::of(&caller).await?;
    let mut filter = Filter::readable(reading.reader(), "r.created_at, r.id").and(is_preset());
    filter.permission = "write";
    let mut entries = shared::list::<ModelRow>(caller.db(), &filter).await?;
    if !wanted.is_empty() {
        entries.retain(|entry| wanted.contains(&entry.row.id));
        if !wanted
            .iter()
            .all(|id| entries.iter().any(|entry| entry.row.id == *id))
        {
            return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
        }
    }
    let mut exported = Vec::new();
    for entry in &entries {
        let mut json = json_of(entry);
        let url = json["meta"]["background_image_url"].as_str().map(str::to_owned);
        let data = assets::background_data(&caller, &entry.row.id, url.as_deref()).await?;
        if data.is_some() {
            json["meta"]["background_image_url"] = Value::Null;
        }
        json["background_image_data"] = json!(data);
        exported.push(json);
    }
    Ok(Json(Value::Array(exported)))
}

/// Reads a merged object as a form; the problems become one text, since they are not about the request's form.
fn read(raw: &Value) -> ApiResult<ModelForm> {
    ModelForm::read("body", raw).map_err(|issues| {
        let count = issues.len();
        let mut text = format!(
            "{count} validation error{} for ModelForm",
            if count == 1 { "" } else { "s" }
        );
        for issue in &issues {
            let place: Vec<String> = issue["loc"]
                .as_array()
                .into_iter()
                .flatten()
                .skip(1)
                .map(plain)
                .collect();
            let message = issue["msg"].as_str().unwrap_or_default();
            let kind = issue["type"].as_str().unwrap_or_default();
            text.push_str(&format!("\n{}\n  {message} [type={kind}]", place.join(".")));
        }
        ApiError::bad_request(text)
    })
}

fn plain(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), str::to_owned)
}

/// The object that an imported model means: laid over the model that exists.
fn merged(mut model: Map<String, Value>, existing: Option<&Model>) -> Value {
    let Some(existing) = existing else {
        model.entry("meta").or_insert_with(|| json!({}));
        model.entry("params").or_insert_with(|| json!({}));
        return Value::Object(model);
    };
    let mut whole = json_of(existing);
    let mut meta = whole["meta"].as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(given)) = model.get("meta") {
        meta.extend(given.clone());
    }
    model.insert("meta".into(), Value::Object(meta));
    model.entry("params").or_insert_with(|| json!({}));
    if let Some(whole) = whole.as_object_mut() {
        whole.extend(model);
    }
    whole
}

pub(super) async fn import(caller: Caller<Verified>, body: Body<ImportForm>) -> ApiResult<Json<Value>> {
    demand_any(&caller, &["workspace.models_import"]).await?;
    let mut bases: Option<Vec<String>> = None;
    let mut imported = Vec::new();
    for mut model in body.form.models {
        let id = model
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if id.is_empty() || id.chars().count() > LONGEST_ID || id.contains(char::is_whitespace) {
            continue;
        }
        if model.get("base_model_id").and_then(Value::as_str) == Some(id.as_str()) {
            model.insert("base_model_id".into(), Value::Null);
        }
        let knowledge = model.get("meta").and_then(|meta| meta.get("knowledge"));
        if assets::verify_knowledge(&caller, knowledge).await.is_err() {
            tracing::warn!(
                model = id,
                "not imported: it names files that the caller may not read"
            );
            continue;
        }
        if model
            .get("background_image_data")
            .is_some_and(|data| !data.is_null())
        {
            return Err(ApiError::bad_request("Background images can not be imported."));
        }
        let existing = find(&caller, &id).await?;
        if existing.is_none() && !caller.is_admin() && bases.is_none() {
            bases = Some(base_ids(&caller).await?);
        }
        let bases = bases.as_deref().unwrap_or_default();
        if import_one(&caller, &id, model, existing, bases).await? {
            imported.push(id);
        }
    }
    caller.app().chat.catalogue.reassemble();
    let details = json!({ "count": imported.len(), "model_ids": imported });
    caller.tell("model.imported", Value::Null, details);
    Ok(Json(json!(true)))
}

async fn import_one(
    caller: &Caller<Verified>,
    id: &str,
    model: Map<String, Value>,
    existing: Option<Model>,
    bases: &[String],
) -> ApiResult<bool> {
    let filled = |base: Option<&Value>| base.and_then(Value::as_str).is_some_and(|base| !base.is_empty());
    if let Some(entry) = &existing {
        if !Reading::of(caller).await?.may_or_admin(entry, "write") {
            return Err(ApiError::unauthorized(messages::MODEL_ID_TAKEN));
        }
        let clears = model.contains_key("base_model_id") && !filled(model.get("base_model_id"));
        if !caller.is_admin()
            && clears
            && entry
                .row
                .base_model_id
                .as_deref()
                .is_some_and(|base| !base.is_empty())
        {
            tracing::warn!(model = id, "not imported: it would take the base model away");
            return Ok(false);
        }
    } else if !caller.is_admin() {
        if !filled(model.get("base_model_id")) {
            tracing::warn!(model = id, "not imported: it has no base model");
            return Ok(false);
        }
        if bases.iter().any(|base| base == id) {
            return Err(ApiError::unauthorized(messages::MODEL_ID_TAKEN));
        }
    }
    let raw = merged(model, existing.as_ref());
    let previous = existing.as_ref().map(|entry| ModelData::of(&entry.row));
    let draft = Draft::new(
        read(&raw)?,
        &raw,
        previous.as_ref(),
        &caller.app().settings.access,
    );
    check_controls(caller, &draft, &raw).await?;
    assets::verify(caller, &draft.data, previous.as_ref()).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: draft.message.as_deref(),
    };
    if previous.is_some() {
        models::save(caller.db(), id, &draft.data, commit).await?;
    } else {
        let grants = allowed_grants(caller, models::KIND, draft.grants.clone()).await?;
        models::create(caller.db(), id, &draft.data, &grants, commit).await?;
    }
    Ok(true)
}

pub(super) async fn sync(caller: Caller<Admin>, body: Body<SyncForm>) -> ApiResult<Json<Value>> {
    let raw: Vec<Value> = body
        .raw
        .get("models")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut existing: HashMap<String, ModelData> = HashMap::new();
    for registered in models::registry(caller.db()).await?.iter() {
        existing.insert(registered.row.id.clone(), ModelData::of(&registered.row));
    }
    let mut wanted = Vec::new();
    for (form, raw) in body.form.models.into_iter().zip(&raw) {
        let grant = |grant: SyncedGrant| {
            json!({
                "principal_type": grant.principal_type, "principal_id": grant.principal_id,
                "permission": grant.permission,
            })
        };
        let grants: Vec<Value> = form.access_grants.into_iter().map(grant).collect();
        let is_active = form.is_active;
        let form = ModelForm {
            commit_message: None,
            id: super::ModelId(form.id),
            base_model_id: form.base_model_id,
            name: form.name,
            meta: form.meta,
            params: form.params,
            access_grants: None,
            is_active: form.is_active,
        };
        let previous = existing.get(raw["id"].as_str().unwrap_or_default());
        let mut draft = Draft::new(form, raw, previous, &caller.app().settings.access);
        draft.data.is_active = Some(is_active);
        wanted.push(Synced {
            id: draft.id,
            data: draft.data,
            grants: oui_models::grants::normalize(&grants),
        });
    }
    let commit = Commit {
        user_id: caller.id(),
        message: None,
    };
    models::sync(caller.db(), &wanted, commit).await?;
    caller.app().chat.catalogue.reassemble();
    let mut rows = super::rows(&caller, None).await?;
    // As they were sent.
    rows.sort_by_key(|entry| wanted.iter().position(|model| model.id == entry.row.id));
    let ids: Vec<&str> = rows.iter().map(|entry| entry.row.id.as_str()).collect();
    caller.tell(
        "model.synced",
        Value::Null,
        json!({ "count": ids.len(), "model_ids": ids }),
    );
    Ok(Json(rows.iter().map(json_of).collect()))
}
