//! Knowledge bases that lie elsewhere: the administrators' connections to servers with vectors of others, and
//! collections that stand for what is there.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use oui_access::Identity;
use oui_config::connections::EXTERNAL_KNOWLEDGE_CONNECTIONS;
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_models::knowledge::{self, KnowledgeRow};
use oui_models::shared;
use oui_models::{grants, knowledge_edits};
use oui_retrieval::{ExternalQuery, caller_of};
use oui_web::{Admin, Body, Caller, Role};
use serde_json::{Map, Value, json};

use super::changes::plain;
use super::is_external;
use crate::common::{GrantForm, allowed_grants};

type Object = Map<String, Value>;

/// Who can be asked.
const PROVIDERS: [&str; 3] = ["qdrant", "milvus", "pgvector"];

form! {
    /// A connection.
    pub(super) struct ConnectionForm {
        /// Name shown.
        name: String,
        /// Kind of the server.
        provider: String,
        /// Address.
        endpoint: String,
        /// Keys; absent leaves those that are known.
        auth_config: Option<Object>,
        /// Time limit and database.
        config: Option<Object>,
        /// What it can do.
        capabilities: Option<Object>,
        /// Whether it is asked.
        enabled: bool = true,
    }
}

form! {
    /// A collection there.
    pub(super) struct SourceForm {
        /// Kind: `collection`.
        kind as "type": String = "collection".to_owned(),
        /// Name there.
        name: String,
        /// In which fields what is.
        config: Option<Object>,
    }
}

form! {
    /// A collection of ours on a connection that is there.
    pub(super) struct KnowledgeForm {
        /// Name shown.
        name: String,
        /// Description shown.
        description: String = String::new(),
        /// Connection.
        connection_id: String,
        /// What is there.
        source: SourceForm,
        /// Who may use it besides its owner.
        access_grants: Option<Vec<GrantForm>>,
    }
}

form! {
    /// A collection of ours with a connection of its own, kept when a question finds something.
    pub(super) struct BothForm {
        /// Name shown.
        name: String,
        /// Description shown.
        description: String = String::new(),
        /// Connection.
        connection: ConnectionForm,
        /// What is there.
        source: SourceForm,
        /// Who may use it besides its owner.
        access_grants: Option<Vec<GrantForm>>,
        /// Question.
        test_query: String,
        /// Answers wanted.
        test_count: i64 = 5,
    }
}

form! {
    /// A question to what is not kept yet.
    pub(super) struct NewSourceForm {
        /// Connection that the given one changes.
        connection_id: Option<String>,
        /// Connection.
        connection: ConnectionForm,
        /// What is there.
        source: SourceForm,
        /// Question.
        query: String,
        /// Answers wanted.
        count: i64 = 5,
    }
}

form! {
    /// A question to a connection.
    pub(super) struct TrialForm {
        /// Question.
        query: String,
        /// What is there.
        source: Option<SourceForm>,
        /// Answers wanted.
        count: i64 = 5,
    }
}

fn missing() -> ApiError {
    ApiError::not_found(messages::NOT_FOUND)
}

fn id_of(connection: &Value) -> &str {
    connection["id"].as_str().unwrap_or_default()
}

/// All connections, secrets included.
fn connections<R: Role<Who = Identity>>(caller: &Caller<R>) -> Vec<Value> {
    let configured = caller.app().config.get(&EXTERNAL_KNOWLEDGE_CONNECTIONS);
    configured.as_array().cloned().unwrap_or_default()
}

fn changes(connections: Vec<Value>) -> BTreeMap<String, Value> {
    let name = EXTERNAL_KNOWLEDGE_CONNECTIONS.meta().path();
    BTreeMap::from([(name.to_owned(), Value::Array(connections))])
}

fn position(connections: &[Value], id: &str) -> Option<usize> {
    connections.iter().position(|connection| id_of(connection) == id)
}

/// A connection without its secrets.
fn shown(connection: &Value) -> Value {
    let mut shown = connection.as_object().cloned().unwrap_or_default();
    let auth = shown.shift_remove("auth_config");
    let known = auth.is_some_and(|auth| auth.as_object().is_some_and(|auth| !auth.is_empty()));
    shown.insert("auth_configured".into(), json!(known));
    Value::Object(shown)
}

/// A connection as it is kept: a new one, or `existing` with what the form says.
fn kept(caller: &Caller<Admin>, form: ConnectionForm, existing: Option<&Value>) -> ApiResult<Value> {
    let provider = form.provider.to_lowercase().trim().to_owned();
    if !PROVIDERS.contains(&provider.as_str()) {
        return Err(ApiError::bad_request("Unsupported external knowledge provider."));
    }
    let (name, endpoint) = (form.name.trim(), form.endpoint.trim());
    if name.is_empty() {
        return Err(ApiError::bad_request("Knowledge source name is required."));
    }
    if endpoint.is_empty() {
        return Err(ApiError::bad_request("Knowledge source endpoint is required."));
    }
    let mut config = form.config.unwrap_or_default();
    config.retain(|key, _| key == "timeout" || (key == "db_name" && provider == "milvus"));
    let known = || existing.map_or(Value::Null, |existing| existing["auth_config"].clone());
    let auth = match form.auth_config {
        _ if provider == "pgvector" => json!({}),
        Some(auth) => json!(auth),
        None => known(),
    };
    let auth = if auth.is_null() && existing.is_some() {
        json!({})
    } else {
        auth
    };
    let capabilities = form.capabilities.filter(|capabilities| !capabilities.is_empty());
    let capabilities = capabilities.map_or_else(|| json!({ "retrieve": true }), Value::Object);
    let now = caller.db().now();
    let mut connection = existing.cloned().unwrap_or_else(|| {
        json!({
            "id": ids::uuid(), "name": "", "provider": "", "endpoint": "", "auth_config": null, "config": {},
            "capabilities": {}, "health": null, "enabled": true, "created_by": caller.id(), "created_at": now,
            "updated_at": now,
        })
    });
    for (member, value) in [
        ("name", json!(name)),
        ("provider", json!(provider)),
        ("endpoint", json!(endpoint)),
        ("auth_config", auth),
        ("config", Value::Object(config)),
        ("capabilities", capabilities),
        ("enabled", json!(form.enabled)),
        ("updated_at", json!(now)),
    ] {
        connection[member] = value;
    }
    Ok(connection)
}

/// A source as it is kept, with the settings that its provider knows.
fn normalized(source: SourceForm, connection: &Value) -> ApiResult<Value> {
    let provider = connection["provider"].as_str().unwrap_or_default();
    let (kind, name) = (source.kind.trim(), source.name.trim());
    if !kind.is_empty() && kind != "collection" {
        return Err(ApiError::bad_request("Only collection sources are supported."));
    }
    if name.is_empty() {
        return Err(ApiError::bad_request("Collection name is required."));
    }
    let known: &[&str] = match provider {
        "pgvector" => &["table_name", "collection_field", "vector_field"],
        _ => &["vector_field"],
    };
    let mut config = Object::new();
    for (key, value) in source.config.unwrap_or_default() {
        let is_known = ["content_field", "metadata_field", "document_id_field"].contains(&key.as_str());
        let value = match value {
            Value::String(text) => json!(text.trim()),
            other => other,
        };
        if (is_known || known.contains(&key.as_str())) && !value.is_null() && value != "" {
            config.insert(key, value);
        }
    }
    let is_given = |name: &str| {
        let value = config.get(name);
        value.is_some_and(|value| *value != json!(false) && *value != json!(0))
    };
    if !is_given("content_field") {
        return Err(ApiError::bad_request("Content field is required."));
    }
    if provider != "qdrant" && !is_given("vector_field") {
        return Err(ApiError::bad_request("Vector field is required."));
    }
    Ok(json!({ "type": "collection", "name": name, "config": config }))
}

/// The free object of a collection that lies elsewhere.
fn meta(connection: &Value, source: Value) -> Value {
    json!({
        "source": "external",
        "read_only": true,
        "external": {
            "connection_id": connection["id"], "source": source, "provider": connection["provider"],
            "auth_mode": "service_account", "capabilities": { "retrieve": true },
        },
    })
}

/// What a question finds: texts, what is known of them, and numbers.
async fn tried(
    caller: &Caller<Admin>,
    connection: &Value,
    source: SourceForm,
    (question, count): (&str, i64),
) -> ApiResult<Value> {
    let question = question.trim();
    if question.is_empty() {
        return Err(ApiError::bad_request("Test query is required."));
    }
    let source = normalized(source, connection)?;
    let query = ExternalQuery {
        connection,
        source: &source,
        knowledge: ("external-test", connection["name"].as_str().unwrap_or_default()),
        questions: &[question.to_owned()],
        count: usize::try_from(count).unwrap_or_default(),
    };
    let found = caller
        .app()
        .retrieval
        .external(&query, Some(&caller_of(caller.user())))
        .await
        .map_err(|error| {
            tracing::error!(%error, "a server with knowledge of others could not be asked");
            ApiError::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        })?;
    Ok(json!({ "documents": found.documents, "metadatas": found.metadatas, "distances": found.scores }))
}

/// Refuses what finds nothing.
fn demand_answers(found: &Value) -> ApiResult<()> {
    if found["documents"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::bad_request("Test query returned no results."));
    }
    Ok(())
}

fn demand_name(name: &str) -> ApiResult<&str> {
    match name.trim() {
        "" => Err(ApiError::bad_request("Knowledge name is required.")),
        name => Ok(name),
    }
}

fn tell(caller: &Caller<Admin>, event: &'static str, connection: &Value) {
    let notice = caller
        .notice(event)
        .about(id_of(connection))
        .with(json!({ "name": connection["name"], "provider": connection["provider"] }));
    caller.publish(notice);
}

/// How many collections lie on a connection.
async fn uses<R: Role<Who = Identity>>(caller: &Caller<R>, id: &str) -> ApiResult<usize> {
    let all = knowledge_edits::all(caller.db()).await?;
    Ok(all.iter().filter(|row| connection_of(row) == Some(id)).count())
}

/// The connection that a collection lies on.
fn connection_of(row: &KnowledgeRow) -> Option<&str> {
    row.meta.as_ref()?.pointer("/external/connection_id")?.as_str()
}

/// Takes out the connection of a removed collection when no other lies on it.
pub(super) async fn forget_unused<R: Role<Who = Identity>>(
    caller: &Caller<R>,
    removed: &KnowledgeRow,
) -> ApiResult<()> {
    let Some(id) = connection_of(removed) else {
        return Ok(());
    };
    if uses(caller, id).await? == 0 {
        let mut all = connections(caller);
        all.retain(|connection| id_of(connection) != id);
        caller.app().save_config(changes(all)).await?;
    }
    Ok(())
}

pub(super) async fn list(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let items: Vec<Value> = connections(&caller).iter().map(shown).collect();
    Ok(Json(json!({ "items": items, "total": items.len() })))
}

pub(super) async fn create(
    caller: Caller<Admin>,
    Body { form, .. }: Body<ConnectionForm>,
) -> ApiResult<Json<Value>> {
    let connection = kept(&caller, form, None)?;
    let mut all = connections(&caller);
    all.push(connection.clone());
    caller.app().save_config(changes(all)).await?;
    tell(&caller, "knowledge.external_connection.created", &connection);
    Ok(Json(shown(&connection)))
}

pub(super) async fn get(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let all = connections(&caller);
    let at = position(&all, &id).ok_or_else(missing)?;
    Ok(Json(shown(&all[at])))
}

pub(super) async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<ConnectionForm>,
) -> ApiResult<Json<Value>> {
    let mut all = connections(&caller);
    let at = position(&all, &id).ok_or_else(missing)?;
    let connection = kept(&caller, form, Some(&all[at]))?;
    all[at] = connection.clone();
    caller.app().save_config(changes(all)).await?;
    tell(&caller, "knowledge.external_connection.updated", &connection);
    Ok(Json(shown(&connection)))
}

pub(super) async fn remove(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut all = connections(&caller);
    let at = position(&all, &id).ok_or_else(missing)?;
    if uses(&caller, &id).await? > 0 {
        let text = "External connection is still used by knowledge bases.";
        return Err(ApiError::bad_request(text));
    }
    let connection = all.remove(at);
    caller.app().save_config(changes(all)).await?;
    tell(&caller, "knowledge.external_connection.deleted", &connection);
    Ok(Json(json!(true)))
}

/// Notes whether a connection can be asked at all: nobody is asked for that.
pub(super) async fn check(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut all = connections(&caller);
    let at = position(&all, &id).ok_or_else(missing)?;
    let now = caller.db().now();
    let connection = &mut all[at];
    let good =
        connection["enabled"] == true && connection["endpoint"].as_str().is_some_and(|url| !url.is_empty());
    let health = json!({ "ok": good, "provider": connection["provider"], "checked_at": now });
    connection["health"] = health.clone();
    connection["updated_at"] = json!(now);
    caller.app().save_config(changes(all)).await?;
    Ok(Json(health))
}

pub(super) async fn try_source(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<TrialForm>,
) -> ApiResult<Json<Value>> {
    let all = connections(&caller);
    let at = position(&all, &id).ok_or_else(missing)?;
    let source = form.source.unwrap_or_else(|| SourceForm {
        kind: "collection".into(),
        name: "test".into(),
        config: json!({ "content_field": "payload.text" }).as_object().cloned(),
    });
    let found = tried(&caller, &all[at], source, (&form.query, form.count)).await?;
    Ok(Json(found))
}

pub(super) async fn try_new_source(
    caller: Caller<Admin>,
    Body { form, .. }: Body<NewSourceForm>,
) -> ApiResult<Json<Value>> {
    let all = connections(&caller);
    let connection = match form.connection_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => {
            let unknown = || ApiError::not_found("External connection not found.");
            let at = position(&all, id).ok_or_else(unknown)?;
            kept(&caller, form.connection, Some(&all[at]))?
        }
        None => kept(&caller, form.connection, None)?,
    };
    let found = tried(&caller, &connection, form.source, (&form.query, form.count)).await?;
    Ok(Json(found))
}

/// A collection that was made or changed, findable by its name.
async fn answer(caller: &Caller<Admin>, id: &str, name: &str, description: &str) -> ApiResult<Json<Value>> {
    let retrieval = &caller.app().retrieval;
    retrieval.index_knowledge(id, name, Some(description)).await;
    plain(caller, id).await
}

pub(super) async fn create_knowledge(
    caller: Caller<Admin>,
    Body { form, .. }: Body<KnowledgeForm>,
) -> ApiResult<Json<Value>> {
    let all = connections(&caller);
    let at = position(&all, &form.connection_id).ok_or_else(missing)?;
    let name = demand_name(&form.name)?;
    let source = normalized(form.source, &all[at])?;
    let wanted = allowed_grants(&caller, knowledge::KIND, form.access_grants).await?;
    let meta = Some(meta(&all[at], source));
    let id =
        knowledge_edits::create(caller.db(), caller.id(), name, &form.description, meta, &wanted).await?;
    answer(&caller, &id, name, &form.description).await
}

pub(super) async fn create_with_connection(
    caller: Caller<Admin>,
    Body { form, .. }: Body<BothForm>,
) -> ApiResult<Json<Value>> {
    let name = demand_name(&form.name)?;
    let connection = kept(&caller, form.connection, None)?;
    let source = normalized(form.source.clone(), &connection)?;
    let question = (form.test_query.as_str(), form.test_count);
    demand_answers(&tried(&caller, &connection, form.source, question).await?)?;
    let wanted = allowed_grants(&caller, knowledge::KIND, form.access_grants).await?;
    let mut all = connections(&caller);
    let meta = Some(meta(&connection, source));
    all.push(connection);
    let mut tx = caller.db().begin().await?;
    let texts = (name, form.description.as_str());
    let id = knowledge_edits::create_in(&mut tx, caller.id(), texts, meta, &wanted).await?;
    caller.app().save_config_in(tx, changes(all)).await?;
    answer(&caller, &id, name, &form.description).await
}

pub(super) async fn update_with_connection(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<BothForm>,
) -> ApiResult<Json<Value>> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), &id).await?;
    let entry = entry
        .filter(|entry| is_external(&entry.row))
        .ok_or_else(missing)?;
    let name = demand_name(&form.name)?;
    let mut all = connections(&caller);
    let at = connection_of(&entry.row)
        .and_then(|id| position(&all, id))
        .ok_or_else(|| ApiError::not_found("External connection not found."))?;
    let connection = kept(&caller, form.connection, Some(&all[at]))?;
    let source = normalized(form.source.clone(), &connection)?;
    let question = (form.test_query.as_str(), form.test_count);
    demand_answers(&tried(&caller, &connection, form.source, question).await?)?;
    let wanted = form.access_grants.map(|wanted| {
        let values: Vec<Value> = wanted.into_iter().map(Value::Object).collect();
        grants::normalize(&values)
    });
    let meta = Some(meta(&connection, source));
    all[at] = connection;
    let mut tx = caller.db().begin().await?;
    let texts = (name, form.description.as_str());
    knowledge_edits::update_in(&mut tx, &id, texts, meta, wanted.as_deref()).await?;
    caller.app().save_config_in(tx, changes(all)).await?;
    answer(&caller, &id, name, &form.description).await
}
