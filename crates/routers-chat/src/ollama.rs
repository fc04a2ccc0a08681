//! Area `ollama`: the Ollama connections, their check and what clients read of them.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_providers::{ChatReply, Connection, ProviderKind, ollama, verify_ollama};
use oui_web::body::Body;
use oui_web::{Admin, Area, Caller, Public, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::openai::of_connections;
use crate::request;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "ollama" at "/ollama";
        GET  "/"                     Public   => status,
        GET  "/config"               Admin    => config,
        POST "/config/update"        Admin    => update_config,
        POST "/verify"               Admin    => verify,
        GET  "/api/tags"             Verified => tags,
        GET  "/api/version"          Verified => version,
        GET  "/api/version/{url_idx}" Verified => version_of,
        GET  "/api/ps"               Admin    => running,
    }
}

form! {
    struct ConfigForm {
        enable as "ENABLE_OLLAMA_API": Option<bool>,
        urls as "OLLAMA_BASE_URLS": Vec<String>,
        configs as "OLLAMA_API_CONFIGS": Map<String, Value>,
    }
}

form! {
    struct VerifyForm {
        url: String,
        key: Option<String>,
        config: Option<Map<String, Value>>,
    }
}

async fn status(_: Caller<Public>) -> Json<Value> {
    Json(json!({ "status": true }))
}

async fn config(caller: Caller<Admin>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let value = |path: &str| config.value(path).cloned().unwrap_or_default();
    Json(json!({
        "ENABLE_OLLAMA_API": value("ollama.enable"),
        "OLLAMA_BASE_URLS": value("ollama.base_urls"),
        "OLLAMA_API_CONFIGS": value("ollama.api_configs"),
    }))
}

async fn update_config(caller: Caller<Admin>, Body { form, .. }: Body<ConfigForm>) -> ApiResult<Json<Value>> {
    let configs = of_connections(form.configs, form.urls.len());
    let changes = [
        ("ollama.enable", json!(form.enable)),
        ("ollama.base_urls", json!(form.urls)),
        ("ollama.api_configs", Value::Object(configs)),
    ];
    caller
        .app()
        .save_config(
            changes
                .into_iter()
                .map(|(path, value)| (path.to_owned(), value))
                .collect(),
        )
        .await?;
    Ok(config(caller).await)
}

async fn verify(
    caller: Caller<Admin>,
    headers: HeaderMap,
    Body { form, .. }: Body<VerifyForm>,
) -> ApiResult<Json<Value>> {
    let context = request::call_context(&caller, &headers).await?;
    let config = form.config.map(Value::Object);
    let http = &caller.app().chat.providers.http;
    let key = form.key.unwrap_or_default();
    Ok(Json(
        verify_ollama(http, &form.url, &key, config.as_ref(), &context).await?,
    ))
}

async fn tags(caller: Caller<Verified>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let catalogue = &caller.app().chat.catalogue;
    if !catalogue.connections().ollama_enabled {
        return Ok(Json(json!({ "models": [] })));
    }
    let context = request::call_context(&caller, &headers).await?;
    let all = catalogue.all(false, &context).await?;
    let visible = catalogue.visible(caller.user(), &all).await?;
    let snapshot = catalogue.snapshot();
    let models: Vec<&Value> = visible
        .iter()
        .filter_map(|model| snapshot.ollama.get(&model.id))
        .collect();
    Ok(Json(json!({ "models": models })))
}

async fn ask(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    connection: &Connection,
    path: &str,
) -> ApiResult<Value> {
    let context = request::call_context(caller, headers).await?;
    let client = &caller.app().chat.providers.ollama;
    match client
        .request(connection, Method::GET, path, None, false, &context)
        .await
    {
        Ok(ChatReply::Json(answer)) => Ok(answer),
        Ok(ChatReply::Stream(_)) => Err(ApiError::internal("a plain call was answered by a stream")),
        Err(error) => Err(oui_chat::dispatch::to_api(error)),
    }
}

/// The lowest version of all servers: what every one of them can do.
async fn version(caller: Caller<Verified>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let settings = caller.app().chat.catalogue.connections();
    if !settings.ollama_enabled {
        return Ok(Json(json!({ "version": false })));
    }
    let asked = settings.ollama.iter().filter(|connection| connection.enabled());
    let answers =
        futures::future::join_all(asked.map(|connection| ask(&caller, &headers, connection, "api/version")))
            .await;
    let answers: Vec<Value> = answers.into_iter().flatten().collect();
    match ollama::lowest_version(&answers) {
        Some(version) => Ok(Json(json!({ "version": version }))),
        None => Err(ApiError::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            messages::OLLAMA_NOT_FOUND,
        )),
    }
}

async fn version_of(
    caller: Caller<Verified>,
    headers: HeaderMap,
    Path(index): Path<String>,
) -> ApiResult<Json<Value>> {
    let index = request::index(&index, "url_idx")?;
    let settings = caller.app().chat.catalogue.connections();
    let connection = settings.get(ProviderKind::Ollama, index);
    let connection = connection.ok_or_else(|| ApiError::not_found(messages::OLLAMA_NOT_FOUND))?;
    Ok(Json(ask(&caller, &headers, connection, "api/version").await?))
}

/// Models that the servers have in memory, by position of the server.
async fn running(caller: Caller<Admin>, headers: HeaderMap) -> ApiResult<Response> {
    let settings = caller.app().chat.catalogue.connections();
    let context = request::call_context(&caller, &headers).await?;
    let client = &caller.app().chat.providers.ollama;
    let asked = settings
        .ollama
        .iter()
        .filter(|connection| settings.ollama_enabled && connection.enabled());
    let answers = asked.map(|connection| async {
        let answer = client
            .request(connection, Method::GET, "api/ps", None, false, &context)
            .await;
        match answer {
            Ok(ChatReply::Json(answer)) => answer
                .get("models")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    });
    let models: Vec<Value> = futures::future::join_all(answers)
        .await
        .into_iter()
        .flatten()
        .collect();
    Ok(Json(json!({ "models": models })).into_response())
}
