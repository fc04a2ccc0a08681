//! Area `openai`: the OpenAI-compatible connections, their check, their models, and completions through them.

mod management;
mod speech;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use oui_chat::gateway::{self, measured};
use oui_chat::quota::meter::Tone;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_providers::python::truthy;
use oui_providers::{PassedCall, ProviderKind, azure, list_models, strip_model_prefix, verify_openai};
use oui_web::body::{Body, ObjectBody};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::forms::{Either, Place, RawRequest, filled};
use crate::request;

pub(crate) use management::area as management_area;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "openai" at "/openai";
        GET  "/config"           Admin    => config,
        POST "/config/update"    Admin    => update_config,
        POST "/verify"           Admin    => verify,
        GET  "/models"           Verified => models,
        GET  "/models/{url_idx}" Verified => models,
        POST "/chat/completions" Verified => completions,
        POST "/responses"        Verified => responses,
        POST "/audio/speech"     Verified => speech::speech,
        GET    "/{*path}"        Verified => pass_through,
        POST   "/{*path}"        Verified => pass_through,
        PUT    "/{*path}"        Verified => pass_through,
        DELETE "/{*path}"        Verified => pass_through,
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
    let about = ("model.provider_config", "openai");
    let news = json!({ "provider": "openai", "enabled": form.enable, "base_url_count": form.urls.len() });
    caller.tell_of("model.provider_config.updated", about, news);
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

/// The models of all connections, of which users see those that are open to them; or, for administrators, what one
/// server says of its models.
async fn models(caller: Caller<Verified>, headers: HeaderMap, place: Place) -> ApiResult<Json<Value>> {
    if place.0.is_some() && !caller.is_admin() {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let catalogue = &caller.app().chat.catalogue;
    let settings = catalogue.connections();
    if !settings.openai_enabled {
        return Err(gateway::openai_disabled());
    }
    let context = request::call_context(&caller, &headers).await?;
    let Some(index) = place.0 else {
        let snapshot = catalogue.current(&context).await?;
        let data = catalogue
            .registered_only(caller.user(), snapshot.openai.iter())
            .await?;
        return Ok(Json(json!({ "data": data })));
    };
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let http = &caller.app().chat.providers.http;
    Ok(Json(list_models(http, connection, &context).await?))
}

/// A completion without anything of ours but the access check and the model's parameters.
async fn completions(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    let user = request::run_user(&caller, &headers).await?;
    Ok(request::reply(
        caller.app().chat.complete_openai(&user, body).await?,
    ))
}

form! {
    struct ResponsesForm {
        model: String,
        input: Option<Either<Vec<Value>, String>>,
        instructions: Option<String>,
        stream: Option<bool>,
        temperature: Option<f64>,
        max_output_tokens: Option<i64>,
        top_p: Option<f64>,
        tools: Option<Vec<Value>>,
        tool_choice: Option<Either<String, Map<String, Value>>>,
        text: Option<Map<String, Value>>,
        truncation: Option<String>,
        metadata: Option<Map<String, Value>>,
        store: Option<bool>,
        reasoning: Option<Map<String, Value>>,
        previous_response_id: Option<String>,
    }
}

/// A request of the Responses API, passed on to the connection that has the model.
async fn responses(
    caller: Caller<Verified>,
    headers: HeaderMap,
    Body { form, raw }: Body<ResponsesForm>,
) -> ApiResult<Response> {
    let engine = &caller.app().chat;
    engine.open(caller.user(), &form.model).await?;
    let context = request::call_context(&caller, &headers).await?;
    let settings = engine.catalogue.connections();
    // A model that nobody knows goes to the first connection.
    let index = engine.openai_index(&form.model, &context).await.unwrap_or(0);
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let model = strip_model_prefix(&form.model, connection.prefix_id());
    let mut body = filled(raw);
    body.insert("model".into(), json!(model));
    let fields = body.clone();
    let call = PassedCall {
        method: Method::POST,
        path: "responses",
        query: None,
        body: Some(Value::Object(body).to_string().into()),
        model: Some(model),
        stream: form.stream.unwrap_or(false),
    };
    let client = &engine.providers.openai;
    let meter = engine.meter(caller.id(), &[&form.model], &fields, true).await?;
    let answer = client.pass(connection, call, &context).await;
    Ok(request::reply(measured(meter, answer, Tone::Responses).await?))
}

/// Any other path, where the operator allows it: the request as it is, to the connection that has the model that
/// its body names, else to the first.
async fn pass_through(
    caller: Caller<Verified>,
    method: Method,
    uri: Uri,
    RawRequest { headers, query, body }: RawRequest,
) -> ApiResult<Response> {
    if !caller.app().settings.chat.openai_passthrough {
        return Err(ApiError::forbidden(
            "Direct API passthrough is disabled. Set ENABLE_OPENAI_API_PASSTHROUGH=True to enable.",
        ));
    }
    // Not the router's parameter: other rows' paths come here too, with methods that those rows do not have.
    let path = uri.path().strip_prefix("/openai/").unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let context = request::call_context(&caller, &headers).await?;
    let engine = &caller.app().chat;
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    let field = |name: &str| parsed.as_ref().and_then(|body| body.get(name));
    let model = field("model")
        .and_then(Value::as_str)
        .filter(|model| !model.is_empty());
    let index = match model {
        Some(model) => engine.openai_index(model, &context).await.unwrap_or(0),
        None => 0,
    };
    let settings = engine.catalogue.connections();
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let body = if connection.takes_deployments() {
        // Deployments know a closed list of parameters, and cannot do without a body.
        let unreadable = || {
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                messages::SERVER_CONNECTION_ERROR,
            )
        };
        let mut fields = parsed
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .ok_or_else(unreadable)?;
        azure::reduce(connection, &mut fields);
        Value::Object(fields).to_string().into()
    } else {
        body
    };
    let call = PassedCall {
        method,
        path: &path,
        query: query.as_deref(),
        body: (!body.is_empty()).then_some(body),
        model,
        stream: field("stream").is_some_and(truthy),
    };
    let tone = match path.trim_end_matches('/') {
        "chat/completions" | "completions" => Some(Tone::Chat),
        "messages" => Some(Tone::Messages),
        "responses" => Some(Tone::Responses),
        _ => None,
    };
    let meter = match (tone, parsed.as_ref().and_then(Value::as_object)) {
        (Some(_), Some(fields)) => {
            engine
                .meter(caller.id(), &[model.unwrap_or_default()], fields, true)
                .await?
        }
        _ => None,
    };
    let client = &engine.providers.openai;
    let answer = client.pass(connection, call, &context).await;
    let answer = measured(meter, answer, tone.unwrap_or(Tone::Chat)).await?;
    Ok(request::reply(answer))
}
