//! Workspace models and overrides of base models: `/api/v1/models`. What clients may chat with is the list of the
//! chat routes, which is put together anew after every write here.

mod assets;
mod draft;
mod transfer;
mod versions;

use axum::Json;
use axum::response::Response;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::db::Dialect;
use oui_models::models::{self, Commit, ModelData, ModelRow};
use oui_models::shared::{self, Condition, Entry, Filter};
use oui_providers::CallContext;
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Value, json};

use crate::common::{
    GrantForm, ListQuery, ORDERS, PAGE, Reading, allowed_grants, demand_any, demanded_grants, given,
};
use crate::{picture, variables};
use draft::{Draft, ModelForm, ModelId};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "models" at "/api/v1/models";
        GET    "/list"                       Verified => list,
        GET    "/all"                        Admin    => all,
        GET    "/base"                       Admin    => base,
        GET    "/base/tags"                  Admin    => base_tags,
        GET    "/tags"                       Verified => tags,
        POST   "/create"                     Verified => create,
        GET    "/export"                     Verified => transfer::export,
        POST   "/import"                     Verified => transfer::import,
        POST   "/sync"                       Admin    => transfer::sync,
        GET    "/model"                      Verified => get,
        GET    "/model/history"              Verified => versions::list,
        GET    "/model/history/{history_id}" Verified => versions::get,
        DELETE "/model/history/{history_id}" Verified => versions::remove,
        POST   "/model/update/version"       Verified => versions::restore,
        GET    "/model/profile/image"        Verified => profile_image,
        POST   "/model/toggle"               Verified => toggle,
        POST   "/model/update"               Verified => update,
        POST   "/model/access/update"        Verified => set_access,
        POST   "/model/delete"               Verified => delete,
        DELETE "/delete/all"                 Admin    => delete_all,
    }
}

/// Characters of a model id at most.
const LONGEST_ID: usize = 256;

form! {
    /// Which model, in the query since ids may hold slashes.
    struct IdQuery {
        /// Model id.
        id: String,
    }
}

form! {
    /// Which model, in the body.
    struct IdForm {
        /// Model id.
        id: String,
    }
}

form! {
    /// New grants on a model.
    struct AccessForm {
        /// Model id.
        id: ModelId,
        /// Name of a model that has no row yet.
        name: Option<String>,
        /// The grants.
        access_grants: Vec<GrantForm>,
    }
}

form! {
    /// Which base models.
    struct TagQuery {
        /// Only those with this tag.
        tag: Option<String>,
    }
}

type Model = Entry<ModelRow>;

fn json_of(entry: &Model) -> Value {
    entry.row.to_json(&entry.grants)
}

/// With the fields that the system prompt asks for. Who may not write sees no parameters.
fn detail(entry: &Model, writable: bool) -> Value {
    let mut json = json_of(entry);
    let system = entry
        .row
        .params_object()
        .get("system")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let schema = system.and_then(|system| variables::schema(&system));
    if let Some(meta) = json["meta"].as_object_mut() {
        meta.shift_remove("chat_variables_schema");
        if let Some(schema) = schema {
            meta.insert("chat_variables_schema".into(), schema);
        }
    }
    if !writable {
        json["params"] = json!({});
    }
    json["user"] = entry.user_json();
    json["write_access"] = json!(writable);
    json
}

fn is_preset() -> Condition {
    ("r.base_model_id IS NOT NULL".into(), Vec::new())
}

fn is_base() -> Condition {
    ("r.base_model_id IS NULL".into(), Vec::new())
}

/// Condition: the tag stands somewhere in `meta`. SQLite folds the case of ASCII only.
fn tagged(dialect: Dialect, tag: &str) -> Condition {
    if dialect == Dialect::Sqlite && !tag.is_ascii() {
        let (text, args) = shared::json_contains("r.meta", tag);
        return (text.replace("LOWER", ""), args);
    }
    shared::json_contains("r.meta", tag)
}

async fn list(caller: Caller<Verified>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let text = given(&query.query);
    let (view, tag) = (given(&query.view_option), given(&query.tag));
    let order_by = given(&query.order_by);
    let unfiltered = reading.reader().sees_all
        && [text, view, tag, order_by, given(&query.direction)]
            .iter()
            .all(Option::is_none);
    let otherwise = if unfiltered {
        "r.created_at DESC"
    } else {
        "r.created_at"
    };
    let order = shared::order(ORDERS, order_by, given(&query.direction), otherwise);
    let mut filter = Filter::readable(reading.reader(), order)
        .page(query.page, PAGE)
        .and(is_preset());
    filter.view = view;
    if let Some(text) = text {
        let columns = ["r.name", "r.base_model_id", "u.name", "u.email", "u.username"];
        filter = filter.and(shared::contains(&columns, text));
    }
    if let Some(tag) = tag {
        filter = filter.and(tagged(caller.db().dialect(), tag));
    }
    let page = shared::search::<ModelRow>(caller.db(), &filter).await?;
    let items: Vec<Value> = page
        .entries
        .iter()
        .map(|entry| {
            let mut item = detail(entry, reading.may(entry, "write"));
            // Pictures are fetched one by one.
            if let Some(meta) = item["meta"].as_object_mut() {
                meta.shift_remove("profile_image_url");
            }
            item
        })
        .collect();
    Ok(Json(json!({ "items": items, "total": page.total })))
}

/// Base models or all rows, as administrators see them.
async fn rows(caller: &Caller<Admin>, condition: Option<Condition>) -> ApiResult<Vec<Model>> {
    let membership = caller.membership().await?;
    let reader = shared::Reader {
        user_id: caller.id(),
        membership: &membership,
        sees_all: true,
    };
    let mut filter = Filter::readable(reader, "r.created_at, r.id");
    filter.conditions.extend(condition);
    Ok(shared::list(caller.db(), &filter).await?)
}

async fn all(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    Ok(Json(rows(&caller, None).await?.iter().map(json_of).collect()))
}

fn tag_names(entry: &Model) -> Vec<String> {
    let meta = entry.row.meta_object();
    let tags = meta.get("tags").and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(|tag| tag.get("name")?.as_str().map(str::to_owned))
        .collect()
}

async fn base(caller: Caller<Admin>, Query(query): Query<TagQuery>) -> ApiResult<Json<Value>> {
    let rows = rows(&caller, Some(is_base())).await?;
    let wanted =
        |entry: &&Model| given(&query.tag).is_none_or(|tag| tag_names(entry).iter().any(|name| name == tag));
    Ok(Json(rows.iter().filter(wanted).map(json_of).collect()))
}

fn sorted_tags(entries: &[Model]) -> Json<Value> {
    let mut names: Vec<String> = entries.iter().flat_map(tag_names).collect();
    names.sort();
    names.dedup();
    Json(json!(names))
}

async fn base_tags(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    Ok(sorted_tags(&rows(&caller, Some(is_base())).await?))
}

async fn tags(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let filter = Filter::readable(reading.reader(), "r.id").and(is_preset());
    Ok(sorted_tags(&shared::list(caller.db(), &filter).await?))
}

async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Option<Model>> {
    Ok(shared::get(caller.db(), id).await?)
}

async fn get(caller: Caller<Verified>, Query(query): Query<IdQuery>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &query.id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let reading = Reading::of(&caller).await?;
    let writable = reading.may(&entry, "write");
    if !writable && !reading.may(&entry, "read") {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let mut json = detail(&entry, writable);
    json["user"] = Value::Null;
    Ok(Json(json))
}

/// Ends every write: the list of models is put together anew, the news is told, and the model is answered as it is
/// now.
async fn written(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    caller.app().chat.catalogue.reassemble();
    let entry = find(caller, id).await?;
    let name = entry.as_ref().and_then(|entry| entry.row.name.clone());
    let details = match news {
        "model.access_updated" => Value::Null,
        _ => json!({ "name": name }),
    };
    caller.tell(news, id, details);
    Ok(Json(entry.as_ref().map_or(Value::Null, json_of)))
}

/// Ids that the providers' models have, with and without tag for Ollama.
async fn base_ids(caller: &Caller<Verified>) -> ApiResult<Vec<String>> {
    let models = caller.app().chat.catalogue.known(&CallContext::default()).await?;
    let mut ids = Vec::new();
    for model in models.values().filter(|model| model.json.get("preset").is_none()) {
        ids.push(model.id.clone());
        if model.owned_by() == "ollama" {
            ids.push(model.id.split(':').next().unwrap_or_default().to_owned());
        }
    }
    Ok(ids)
}

/// Controls change what is sent to a provider, so the model must be one of a provider.
async fn check_controls(caller: &Caller<Verified>, draft: &Draft, raw: &Value) -> ApiResult<()> {
    if !Draft::sets_controls(raw) {
        return Ok(());
    }
    let models = caller.app().chat.catalogue.known(&CallContext::default()).await?;
    let base = draft.data.base_model_id.as_deref().unwrap_or(&draft.id);
    let managed = models.get(base).is_none_or(|model| {
        let on = |name: &str| {
            model
                .json
                .get(name)
                .is_some_and(|value| *value != json!(false) && !value.is_null())
        };
        model.json.get("pipe").is_none() && !on("direct") && model.owned_by() != "arena"
    });
    if managed {
        Ok(())
    } else {
        Err(ApiError::bad_request(
            "Model controls require a server-managed provider model.",
        ))
    }
}

async fn create(caller: Caller<Verified>, body: Body<ModelForm>) -> ApiResult<Json<Value>> {
    demand_any(&caller, &["workspace.models"]).await?;
    let draft = Draft::new(body.form, &body.raw, None, &caller.app().settings.access);
    if draft.id.chars().count() > LONGEST_ID {
        return Err(ApiError::bad_request(messages::MODEL_ID_TOO_LONG));
    }
    if find(&caller, &draft.id).await?.is_some() {
        return Err(ApiError::unauthorized(messages::MODEL_ID_TAKEN));
    }
    if !caller.is_admin() {
        if draft.data.base_model_id.as_deref().is_none_or(str::is_empty) {
            return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
        }
        if base_ids(&caller).await?.contains(&draft.id) {
            return Err(ApiError::unauthorized(messages::MODEL_ID_TAKEN));
        }
    }
    assets::verify_knowledge(&caller, draft.data.meta.get("knowledge")).await?;
    assets::verify(&caller, &draft.data, None).await?;
    let grants = allowed_grants(&caller, models::KIND, draft.grants.clone()).await?;
    check_controls(&caller, &draft, &body.raw).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: draft.message.as_deref(),
    };
    match models::create(caller.db(), &draft.id, &draft.data, &grants, commit).await {
        Err(error) if error.is_unique_violation() => Err(ApiError::unauthorized(messages::MODEL_ID_TAKEN)),
        Err(error) => Err(error.into()),
        Ok(()) => written(&caller, &draft.id, "model.created").await,
    }
}

async fn update(caller: Caller<Verified>, body: Body<ModelForm>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &body.form.id.0).await?;
    let entry = entry.ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?;
    if !Reading::of(&caller).await?.may_or_admin(&entry, "write") {
        return Err(ApiError::bad_request(messages::ACCESS_PROHIBITED));
    }
    let existing = ModelData::of(&entry.row);
    let draft = Draft::new(
        body.form,
        &body.raw,
        Some(&existing),
        &caller.app().settings.access,
    );
    assets::verify_knowledge(&caller, draft.data.meta.get("knowledge")).await?;
    let filled = |base: &Option<String>| base.as_deref().is_some_and(|base| !base.is_empty());
    if !caller.is_admin() && filled(&existing.base_model_id) && !filled(&draft.data.base_model_id) {
        return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
    }
    assets::verify(&caller, &draft.data, Some(&existing)).await?;
    check_controls(&caller, &draft, &body.raw).await?;
    let commit = Commit {
        user_id: caller.id(),
        message: draft.message.as_deref(),
    };
    models::save(caller.db(), &draft.id, &draft.data, commit).await?;
    written(&caller, &draft.id, "model.updated").await
}

async fn toggle(caller: Caller<Verified>, Query(query): Query<IdQuery>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &query.id)
        .await?
        .ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?;
    if !Reading::of(&caller).await?.may_or_admin(&entry, "write") {
        return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
    }
    models::toggle(caller.db(), &query.id).await?;
    let news = if entry.row.is_active {
        "model.disabled"
    } else {
        "model.enabled"
    };
    written(&caller, &query.id, news).await
}

async fn set_access(caller: Caller<Verified>, body: Body<AccessForm>) -> ApiResult<Json<Value>> {
    let form = body.form;
    let id = form.id.0;
    match find(&caller, &id).await? {
        Some(entry) if Reading::of(&caller).await?.may_or_admin(&entry, "write") => {}
        Some(_) => return Err(ApiError::bad_request(messages::ACCESS_PROHIBITED)),
        None if !caller.is_admin() => return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED)),
        None => {
            // Models of providers have no row; the grants need one to lie on.
            let data = ModelData {
                base_model_id: None,
                name: form
                    .name
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| id.clone()),
                params: serde_json::Map::new(),
                meta: models::normal_meta(&serde_json::Map::new()),
                is_active: None,
            };
            let commit = Commit {
                user_id: caller.id(),
                message: None,
            };
            models::create(caller.db(), &id, &data, &[], commit).await?;
        }
    }
    let grants = demanded_grants(&caller, models::KIND, form.access_grants).await?;
    models::set_grants(caller.db(), &id, &grants).await?;
    written(&caller, &id, "model.access_updated").await
}

async fn delete(caller: Caller<Verified>, body: Body<IdForm>) -> ApiResult<Json<Value>> {
    let id = body.form.id;
    let entry = find(&caller, &id)
        .await?
        .ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?;
    if !Reading::of(&caller).await?.may_or_admin(&entry, "write") {
        return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
    }
    models::delete(caller.db(), &id).await?;
    caller.app().chat.catalogue.reassemble();
    caller.tell("model.deleted", id, json!({ "name": entry.row.name }));
    Ok(Json(json!(true)))
}

async fn delete_all(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    models::delete_all(caller.db()).await?;
    caller.app().chat.catalogue.reassemble();
    caller.tell("model.deleted", Value::Null, Value::Null);
    Ok(Json(json!(true)))
}

/// The picture of a model. Who may not read the model gets the fallback, so that ids can not be probed.
async fn profile_image(caller: Caller<Verified>, Query(query): Query<IdQuery>) -> ApiResult<Response> {
    let access = &caller.app().settings.access;
    let reading = Reading::of(&caller).await?;
    let mut shown: (Option<String>, Option<i64>) = (None, None);
    if let Some(entry) = find(&caller, &query.id).await?
        && (access.all_models || reading.may(&entry, "read"))
    {
        let url = entry
            .row
            .meta_object()
            .get("profile_image_url")
            .and_then(Value::as_str)
            .map(str::to_owned);
        shown = (url, entry.row.updated_at);
    }
    if shown.0.as_deref().is_none_or(str::is_empty) {
        shown = (arena_picture(&caller, &query.id).await?, shown.1);
    }
    Ok(picture::respond(shown.0.as_deref(), shown.1, access))
}

/// The picture of an arena model, which lies in the configuration.
async fn arena_picture(caller: &Caller<Verified>, id: &str) -> ApiResult<Option<String>> {
    let configured = caller
        .app()
        .config
        .get(&oui_config::models::EVALUATION_ARENA_MODELS);
    let models = configured.as_array().into_iter().flatten();
    let Some(model) = models
        .into_iter()
        .find(|model| model.get("id").and_then(Value::as_str) == Some(id))
    else {
        return Ok(None);
    };
    let meta = model.get("meta").cloned().unwrap_or_default();
    let listed = meta
        .get("access_grants")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let membership = caller.membership().await?;
    let granted = oui_models::grants::normalize(&listed)
        .iter()
        .any(|grant| grant.permission == "read" && grant.reaches(caller.id(), &membership));
    let open = caller.app().settings.access.all_models
        || caller.bypasses_grants()
        || (listed.is_empty() && caller.is_admin())
        || granted;
    let url = meta
        .get("profile_image_url")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Ok(url.filter(|_| open))
}
