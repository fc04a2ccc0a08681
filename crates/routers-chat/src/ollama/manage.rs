//! Management of the models on Ollama servers. Progress of what takes long is passed on as it comes.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::response::Response;
use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_providers::management::unload_ollama;
use oui_providers::python::{repr, text_of, truthy};
use oui_providers::{
    CallContext, ChatReply, Connection, ProviderSettings, UpstreamStream, strip_model_prefix,
};
use oui_web::body::Body;
use oui_web::{Admin, App, Caller, Verified};
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::{ask, demand_enabled, server};
use crate::forms::{Place, filled};
use crate::request;

form! {
    pub(super) struct NameForm {
        model: Option<String>,
    }
}

form! {
    pub(super) struct PushForm {
        model: String,
        insecure: Option<bool>,
        stream: Option<bool>,
    }
}

form! {
    pub(super) struct CreateForm {
        model: Option<String>,
        stream: Option<bool>,
        path: Option<String>,
    }
}

form! {
    pub(super) struct CopyForm {
        source: String,
        destination: String,
    }
}

/// The body with the model under its newer name; older clients write `name`.
fn named(raw: Value) -> Map<String, Value> {
    let mut fields = filled(raw);
    let name = fields.get("model").or_else(|| fields.get("name")).cloned();
    fields.insert("model".into(), name.unwrap_or_default());
    fields
}

/// The name as it stands in complaints.
fn shown(fields: &Map<String, Value>) -> String {
    fields.get("model").map(text_of).unwrap_or_default()
}

fn unknown(model: &str) -> ApiError {
    ApiError::bad_request(messages::model_not_found(model))
}

/// The position of a server: the one asked for, else the first that has the model.
async fn position(app: &App, place: Place, model: &str, context: &CallContext) -> ApiResult<usize> {
    if let Some(index) = place.0 {
        return Ok(index);
    }
    let having = app.chat.ollama_indices(model, true, context).await;
    having.first().copied().ok_or_else(|| unknown(model))
}

/// Takes the connection's prefix off a field.
fn unprefix(connection: &Connection, fields: &mut Map<String, Value>, field: &str) {
    if let Some(name) = fields.get(field).and_then(Value::as_str) {
        let name = strip_model_prefix(name, connection.prefix_id()).to_owned();
        fields.insert(field.into(), json!(name));
    }
}

/// Passes the progress of a change on. When it is over the lists of models are asked for anew.
async fn progress(
    app: &App,
    settings: &ProviderSettings,
    index: usize,
    path: &str,
    fields: Map<String, Value>,
    context: &CallContext,
) -> ApiResult<Response> {
    let connection = server(settings, index)?;
    let body = Value::Object(fields);
    let client = &app.chat.providers.ollama;
    let reply = client
        .request(connection, Method::POST, path, Some(&body), true, context)
        .await?;
    let ChatReply::Stream(UpstreamStream {
        status,
        headers,
        body,
    }) = reply
    else {
        return Ok(request::reply(reply));
    };
    let engine = app.chat.clone();
    let forget = futures::stream::once(async move {
        engine.catalogue.invalidate();
        None
    });
    let body = body
        .map(Some)
        .chain(forget)
        .filter_map(|piece| async move { piece });
    let mut response = request::stream(status, headers, Box::pin(futures::stream::empty()));
    *response.body_mut() = ResponseBody::from_stream(body);
    Ok(response)
}

pub(super) async fn pull(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<NameForm>,
) -> ApiResult<Response> {
    let settings = caller.app().chat.catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    let mut fields = named(raw);
    // Administrators may pull from any registry.
    fields.insert("insecure".into(), json!(true));
    let index = place.0.unwrap_or(0);
    progress(caller.app(), &settings, index, "api/pull", fields, &context).await
}

pub(super) async fn push(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { form, raw }: Body<PushForm>,
) -> ApiResult<Response> {
    let settings = caller.app().chat.catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    let index = position(caller.app(), place, &form.model, &context).await?;
    let mut fields = filled(raw);
    unprefix(server(&settings, index)?, &mut fields, "model");
    progress(caller.app(), &settings, index, "api/push", fields, &context).await
}

pub(super) async fn create(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<CreateForm>,
) -> ApiResult<Response> {
    let settings = caller.app().chat.catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    let index = place.0.unwrap_or(0);
    progress(
        caller.app(),
        &settings,
        index,
        "api/create",
        filled(raw),
        &context,
    )
    .await
}

pub(super) async fn copy(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { form, .. }: Body<CopyForm>,
) -> ApiResult<Json<bool>> {
    let settings = caller.app().chat.catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    let index = position(caller.app(), place, &form.source, &context).await?;
    let connection = server(&settings, index)?;
    let mut fields = Map::new();
    fields.insert("source".into(), json!(form.source));
    fields.insert("destination".into(), json!(form.destination));
    unprefix(connection, &mut fields, "source");
    let body = Value::Object(fields);
    ask(
        &caller,
        connection,
        Method::POST,
        "api/copy",
        Some(&body),
        &context,
    )
    .await?;
    caller.app().chat.catalogue.invalidate();
    let news = json!({ "provider": "ollama", "source": form.source, "url_idx": index });
    caller.tell("model.provider_model.created", form.destination, news);
    Ok(Json(true))
}

pub(super) async fn delete(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<NameForm>,
) -> ApiResult<Json<bool>> {
    let settings = caller.app().chat.catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    let mut fields = named(raw);
    let model = shown(&fields);
    let index = position(caller.app(), place, &model, &context).await?;
    let connection = server(&settings, index)?;
    unprefix(connection, &mut fields, "model");
    let body = Value::Object(fields);
    ask(
        &caller,
        connection,
        Method::DELETE,
        "api/delete",
        Some(&body),
        &context,
    )
    .await?;
    caller.app().chat.catalogue.invalidate();
    let news = json!({ "provider": "ollama", "url_idx": index });
    caller.tell("model.provider_model.deleted", model, news);
    Ok(Json(true))
}

/// What a server tells about a model that is open to the caller.
pub(super) async fn show(
    caller: Caller<Verified>,
    headers: HeaderMap,
    Body { raw, .. }: Body<NameForm>,
) -> ApiResult<Json<Value>> {
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    demand_enabled(&settings)?;
    let mut fields = named(raw);
    let model = shown(&fields);
    engine.open(caller.user(), &model).await?;
    let context = request::call_context(&caller, &headers).await?;
    let having = engine.ollama_indices(&model, false, &context).await;
    let chosen = having.choose(&mut rand::rng()).copied();
    let connection = server(&settings, chosen.ok_or_else(|| unknown(&model))?)?;
    unprefix(connection, &mut fields, "model");
    let body = Value::Object(fields);
    let answer = ask(
        &caller,
        connection,
        Method::POST,
        "api/show",
        Some(&body),
        &context,
    );
    Ok(Json(answer.await?))
}

/// Drops a model from the memory of every server that has it.
pub(super) async fn unload(
    caller: Caller<Admin>,
    headers: HeaderMap,
    Body { raw, .. }: Body<NameForm>,
) -> ApiResult<Json<Value>> {
    let fields = named(raw);
    if !fields.get("model").is_some_and(truthy) {
        return Err(ApiError::bad_request("Missing name of the model to unload."));
    }
    let model = shown(&fields);
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    let context = request::call_context(&caller, &headers).await?;
    let having = engine.ollama_indices(&model, true, &context).await;
    if having.is_empty() {
        return Err(unknown(&model));
    }
    let mut failed = Vec::new();
    for index in having {
        let connection = server(&settings, index)?;
        let name = strip_model_prefix(&model, connection.prefix_id());
        let body = json!({ "model": name, "keep_alive": 0, "prompt": "" });
        let answer = ask(
            &caller,
            connection,
            Method::POST,
            "api/generate",
            Some(&body),
            &context,
        );
        if let Err(error) = answer.await {
            let said = format!("{}: {}", error.status().as_u16(), error.detail_text());
            failed.push(json!({ "url_idx": index, "success": false, "error": said }));
        }
    }
    engine.catalogue.invalidate();
    if failed.is_empty() {
        return Ok(Json(json!({ "status": true })));
    }
    Err(ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!(
            "Failed to unload model on {} nodes: {}",
            failed.len(),
            repr(&Value::Array(failed))
        ),
    ))
}

/// Drops a model from the memory of all Ollama servers that have it; used by the route for all kinds of providers.
pub(crate) async fn unload_everywhere(
    app: &App,
    settings: &ProviderSettings,
    model: &str,
    servers: &[usize],
    context: &CallContext,
) -> ApiResult<()> {
    let mut failed = Vec::new();
    for index in servers {
        let connection = server(settings, *index)?;
        let name = strip_model_prefix(model, connection.prefix_id());
        if let Err(error) = unload_ollama(&app.chat.providers.http, connection, name, context).await {
            failed.push(json!({ "url_idx": index, "error": error }));
        }
    }
    app.chat.catalogue.invalidate();
    if failed.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!(
            "Failed to unload model on {} node(s): {}",
            failed.len(),
            repr(&Value::Array(failed))
        ),
    ))
}
