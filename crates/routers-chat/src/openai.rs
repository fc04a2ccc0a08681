//! Area `openai`: the OpenAI-compatible connections, their check, their models, and completions through them.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_providers::{ProviderKind, verify_openai};
use oui_web::body::{Body, ObjectBody};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::request;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "openai" at "/openai";
        GET  "/config"           Admin    => config,
        POST "/config/update"    Admin    => update_config,
        POST "/verify"           Admin    => verify,
        GET  "/models"           Verified => models,
        GET  "/models/{url_idx}" Admin    => models_of,
        POST "/chat/completions" Verified => completions,
    }
}

form! {
    struct ConfigForm {
        enable as "ENABLE_OPENAI_API": Option<bool>,
        urls as "OPENAI_API_BASE_URLS": Vec<String>,
        keys as "OPENAI_API_KEYS": Vec<String>,
        configs as "OPENAI_API_CONFIGS": Map<String, Value>,
    }
}

form! {
    struct VerifyForm {
        url: String,
        key: String,
        config: Option<Map<String, Value>>,
    }
}

async fn config(caller: Caller<Admin>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let value = |path: &str| config.value(path).cloned().unwrap_or_default();
    Json(json!({
        "ENABLE_OPENAI_API": value("openai.enable"),
        "OPENAI_API_BASE_URLS": value("openai.api_base_urls"),
        "OPENAI_API_KEYS": value("openai.api_keys"),
        "OPENAI_API_CONFIGS": value("openai.api_configs"),
    }))
}

async fn update_config(caller: Caller<Admin>, Body { form, .. }: Body<ConfigForm>) -> ApiResult<Json<Value>> {
    let mut keys = form.keys;
    keys.resize(form.urls.len(), String::new());
    let configs = of_connections(form.configs, form.urls.len());
    let changes = [
        ("openai.enable", json!(form.enable)),
        ("openai.api_base_urls", json!(form.urls)),
        ("openai.api_keys", json!(keys)),
        ("openai.api_configs", Value::Object(configs)),
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

/// Options of connections that are still there; they are keyed by position.
pub(crate) fn of_connections(mut configs: Map<String, Value>, count: usize) -> Map<String, Value> {
    configs.retain(|key, _| {
        key.parse::<usize>()
            .is_ok_and(|index| index < count && index.to_string() == *key)
    });
    configs
}

async fn verify(
    caller: Caller<Admin>,
    headers: HeaderMap,
    Body { form, .. }: Body<VerifyForm>,
) -> ApiResult<Response> {
    let context = request::call_context(&caller, &headers).await?;
    let config = form.config.map(Value::Object);
    let http = &caller.app().chat.providers.http;
    Ok(
        match verify_openai(http, &form.url, &form.key, config.as_ref(), &context).await {
            Ok(answer) => Json(answer).into_response(),
            Err(error) => error.into_response(),
        },
    )
}

/// The models of all connections; users see those that are open to them.
async fn models(caller: Caller<Verified>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let catalogue = &caller.app().chat.catalogue;
    let context = request::call_context(&caller, &headers).await?;
    let all = catalogue.all(false, &context).await?;
    let visible = catalogue.visible(caller.user(), &all).await?;
    let snapshot = catalogue.snapshot();
    let data: Vec<&Value> = visible
        .iter()
        .filter_map(|model| snapshot.openai.get(&model.id))
        .collect();
    Ok(Json(json!({ "data": data })))
}

/// What one server says of its models.
async fn models_of(
    caller: Caller<Admin>,
    headers: HeaderMap,
    Path(index): Path<String>,
) -> ApiResult<Response> {
    let index = request::index(&index, "url_idx")?;
    let settings = caller.app().chat.catalogue.connections();
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(|| ApiError::not_found(messages::OPENAI_NOT_FOUND))?;
    let context = request::call_context(&caller, &headers).await?;
    let client = &caller.app().chat.providers.openai;
    Ok(
        match client
            .request(connection, Method::GET, "models", None, false, &context)
            .await
        {
            Ok(answer) => request::reply(answer),
            Err(error) => error.into_response(),
        },
    )
}

/// A completion without anything of ours but the access check and the model's parameters.
async fn completions(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Response> {
    // Chats are kept by the pipeline's own route only.
    for name in [
        "chat_id",
        "session_id",
        "parent_id",
        "message_ids",
        "user_message",
        "id",
    ] {
        body.shift_remove(name);
    }
    let user = request::run_user(&caller, &headers).await?;
    Ok(request::completion(caller.app().chat.complete(user, body).await?))
}
