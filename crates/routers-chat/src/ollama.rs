//! Area `ollama`: the Ollama connections and their check, what clients read of them, and the requests that are passed
//! on to them.

mod blobs;
mod generate;
mod manage;

use axum::Json;
use http::{HeaderMap, Method, StatusCode};
use oui_chat::gateway;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_providers::{
    CallContext, ChatReply, Connection, ProviderKind, ProviderSettings, ollama, verify_ollama,
};
use oui_web::body::Body;
use oui_web::{Admin, Area, Caller, Public, Role, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::forms::Place;
use crate::openai::of_connections;
use crate::request;

pub(crate) use generate::embed_openai;
pub(crate) use manage::unload_everywhere;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "ollama" at "/ollama";
        GET    "/"                              Public   => status,
        HEAD   "/"                              Public   => status,
        GET    "/config"                        Admin    => config,
        POST   "/config/update"                 Admin    => update_config,
        POST   "/verify"                        Admin    => verify,
        GET    "/api/tags"                      Verified => tags,
        GET    "/api/tags/{url_idx}"            Verified => tags,
        GET    "/api/version"                   Verified => version,
        GET    "/api/version/{url_idx}"         Verified => version,
        GET    "/api/ps"                        Admin    => running,
        GET    "/v1/models"                     Verified => openai_models,
        GET    "/v1/models/{url_idx}"           Verified => openai_models,
        POST   "/api/show"                      Verified => manage::show,
        POST   "/api/unload"                    Admin    => manage::unload,
        POST   "/api/pull"                      Admin    => manage::pull,
        POST   "/api/pull/{url_idx}"            Admin    => manage::pull,
        DELETE "/api/push"                      Admin    => manage::push,
        DELETE "/api/push/{url_idx}"            Admin    => manage::push,
        POST   "/api/create"                    Admin    => manage::create,
        POST   "/api/create/{url_idx}"          Admin    => manage::create,
        POST   "/api/copy"                      Admin    => manage::copy,
        POST   "/api/copy/{url_idx}"            Admin    => manage::copy,
        DELETE "/api/delete"                    Admin    => manage::delete,
        DELETE "/api/delete/{url_idx}"          Admin    => manage::delete,
        POST   "/models/download"               Admin    => blobs::download,
        POST   "/models/download/{url_idx}"     Admin    => blobs::download,
        POST   "/models/upload"                 Admin    => blobs::upload,
        POST   "/models/upload/{url_idx}"       Admin    => blobs::upload,
        POST   "/api/embed"                     Verified => generate::embed,
        POST   "/api/embed/{url_idx}"           Verified => generate::embed,
        POST   "/api/embeddings"                Verified => generate::embeddings,
        POST   "/api/embeddings/{url_idx}"      Verified => generate::embeddings,
        POST   "/api/generate"                  Verified => generate::generate,
        POST   "/api/generate/{url_idx}"        Verified => generate::generate,
        POST   "/api/chat"                      Verified => generate::chat,
        POST   "/api/chat/{url_idx}"            Verified => generate::chat,
        POST   "/v1/completions"                Verified => generate::openai_completion,
        POST   "/v1/completions/{url_idx}"      Verified => generate::openai_completion,
        POST   "/v1/chat/completions"           Verified => generate::openai_chat,
        POST   "/v1/chat/completions/{url_idx}" Verified => generate::openai_chat,
        POST   "/v1/embeddings"                 Verified => generate::openai_embeddings,
        POST   "/v1/embeddings/{url_idx}"       Verified => generate::openai_embeddings,
        POST   "/v1/messages"                   Verified => generate::messages,
        POST   "/v1/messages/{url_idx}"         Verified => generate::messages,
        POST   "/v1/responses"                  Verified => generate::responses,
        POST   "/v1/responses/{url_idx}"        Verified => generate::responses,
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
    let about = ("model.provider_config", "ollama");
    let news = json!({ "provider": "ollama", "enabled": form.enable, "base_url_count": form.urls.len() });
    caller.tell_of("model.provider_config.updated", about, news);
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

/// Refuses while the Ollama connections are switched off.
fn demand_enabled(settings: &ProviderSettings) -> ApiResult<()> {
    if settings.ollama_enabled {
        Ok(())
    } else {
        Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            messages::OLLAMA_API_DISABLED,
        ))
    }
}

/// Only administrators may ask a single server.
fn demand_choice(caller: &Caller<Verified>, place: &Place) -> ApiResult<()> {
    if place.0.is_some() && !caller.is_admin() {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    Ok(())
}

fn server(settings: &ProviderSettings, index: usize) -> ApiResult<&Connection> {
    settings
        .get(ProviderKind::Ollama, index)
        .ok_or_else(gateway::no_connection)
}

/// A call that is answered by one JSON value.
async fn ask<R: Role>(
    caller: &Caller<R>,
    connection: &Connection,
    method: Method,
    path: &str,
    body: Option<&Value>,
    context: &CallContext,
) -> ApiResult<Value> {
    let client = &caller.app().chat.providers.ollama;
    match client
        .request(connection, method, path, body, false, context)
        .await?
    {
        ChatReply::Json(answer) => Ok(answer),
        ChatReply::Stream(_) => Err(ApiError::internal("a plain call was answered by a stream")),
    }
}

/// The installed models of all servers, or of one.
async fn tags(caller: Caller<Verified>, headers: HeaderMap, place: Place) -> ApiResult<Json<Value>> {
    demand_choice(&caller, &place)?;
    let catalogue = &caller.app().chat.catalogue;
    let settings = catalogue.connections();
    demand_enabled(&settings)?;
    let context = request::call_context(&caller, &headers).await?;
    if let Some(index) = place.0 {
        let connection = server(&settings, index)?;
        return Ok(Json(
            ask(&caller, connection, Method::GET, "api/tags", None, &context).await?,
        ));
    }
    let snapshot = catalogue.current(&context).await?;
    let models = catalogue
        .registered_only(caller.user(), snapshot.ollama.iter())
        .await?;
    Ok(Json(json!({ "models": models })))
}

/// The same in OpenAI's form.
async fn openai_models(caller: Caller<Verified>, headers: HeaderMap, place: Place) -> ApiResult<Json<Value>> {
    demand_choice(&caller, &place)?;
    let catalogue = &caller.app().chat.catalogue;
    let settings = catalogue.connections();
    let context = request::call_context(&caller, &headers).await?;
    let ids: Vec<Value> = if let Some(index) = place.0 {
        let connection = server(&settings, index)?;
        let answer = ask(&caller, connection, Method::GET, "api/tags", None, &context).await?;
        let models = answer.get("models").and_then(Value::as_array);
        models
            .into_iter()
            .flatten()
            .filter_map(|model| model.get("model").cloned())
            .collect()
    } else if settings.ollama_enabled {
        let snapshot = catalogue.current(&context).await?;
        let models = catalogue
            .registered_only(caller.user(), snapshot.ollama.iter())
            .await?;
        models
            .into_iter()
            .filter_map(|model| model.get("model").cloned())
            .collect()
    } else {
        Vec::new()
    };
    let now = caller.app().clock.seconds();
    let entry = |id: &Value| json!({ "id": id, "object": "model", "created": now, "owned_by": "openai" });
    let data: Vec<Value> = ids.iter().map(entry).collect();
    Ok(Json(json!({ "data": data, "object": "list" })))
}

/// The lowest version of all servers (what every one of them can do), or the version of one.
async fn version(caller: Caller<Verified>, headers: HeaderMap, place: Place) -> ApiResult<Json<Value>> {
    demand_choice(&caller, &place)?;
    let settings = caller.app().chat.catalogue.connections();
    if !settings.ollama_enabled {
        return Ok(Json(json!({ "version": false })));
    }
    let context = request::call_context(&caller, &headers).await?;
    let of = |connection| ask(&caller, connection, Method::GET, "api/version", None, &context);
    if let Some(index) = place.0 {
        return Ok(Json(of(server(&settings, index)?).await?));
    }
    let asked = settings.ollama.iter().filter(|connection| connection.enabled());
    let answers = futures::future::join_all(asked.map(of)).await;
    let answers: Vec<Value> = answers.into_iter().flatten().collect();
    match ollama::lowest_version(&answers) {
        Some(version) => Ok(Json(json!({ "version": version }))),
        None => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            messages::OLLAMA_NOT_FOUND,
        )),
    }
}

/// Models that the servers have in memory, with the positions of the servers.
async fn running(caller: Caller<Admin>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let context = request::call_context(&caller, &headers).await?;
    let models = caller.app().chat.catalogue.loaded(&context).await;
    Ok(Json(json!({ "models": models })))
}
