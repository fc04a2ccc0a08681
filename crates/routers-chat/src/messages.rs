//! Anthropic's Messages API over every model: passed on to connections that speak it, for all others converted into a
//! chat completion and back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use oui_chat::Completion;
use oui_chat::gateway::measured;
use oui_chat::quota::meter::Tone;
use oui_core::{ApiError, ApiResult, messages as texts};
use oui_providers::anthropic::{self, MessagesError, Passed};
use oui_providers::python::truthy;
use oui_providers::{CallContext, Connection, ProviderKind};
use oui_web::body::ObjectBody;
use oui_web::{Area, Caller, Verified, endpoints};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::request;

/// How long a provider that cannot count tokens is not asked to again.
const NO_COUNT: Duration = Duration::from_secs(600);

/// How long an answer that is there waits for the count of the request's tokens.
const COUNT_WAIT: Duration = Duration::from_secs(1);

/// The tables.
pub(crate) fn areas() -> Vec<Area> {
    vec![endpoints! { "messages" at "/api/v1/messages", "/api/message";
        POST "" Verified => generate,
        POST "/count_tokens" Verified => count_tokens,
    }]
}

/// Addresses of providers that cannot count, and when that was found out.
#[derive(Default)]
struct Uncounting(Mutex<HashMap<String, Instant>>);

impl Uncounting {
    fn knows(&self, url: &str) -> bool {
        self.0.lock().get(url).is_some_and(|at| at.elapsed() < NO_COUNT)
    }

    fn note(&self, url: &str) {
        self.0.lock().insert(url.to_owned(), Instant::now());
    }
}

/// The connection of a request's model under the name that the provider knows, if the caller may use it.
async fn target(
    caller: &Caller<Verified>,
    body: &Map<String, Value>,
    context: &CallContext,
) -> ApiResult<(Connection, Map<String, Value>)> {
    let model = body.get("model").filter(|model| truthy(model));
    let model = model.ok_or_else(|| ApiError::bad_request("model is required"))?;
    let engine = &caller.app().chat;
    let opened = engine
        .open(caller.user(), model.as_str().unwrap_or_default())
        .await?;
    let index = engine.openai_index(&opened.base, context).await;
    let settings = engine.catalogue.connections();
    let connection = index.and_then(|index| settings.get(ProviderKind::OpenAi, index));
    let connection = connection.ok_or_else(|| ApiError::not_found(texts::model_not_found("")))?;
    let mut request = body.clone();
    request.insert("model".into(), json!(opened.base));
    Ok((connection.clone(), request))
}

/// Whether a request would be passed on as it is, if its model were open to the caller.
async fn passes(caller: &Caller<Verified>, body: &Map<String, Value>) -> ApiResult<bool> {
    let engine = &caller.app().chat;
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let base = engine.base_of(model).await?;
    let settings = engine.catalogue.connections();
    let index = engine.catalogue.snapshot().openai_index(&base);
    let connection = index.and_then(|index| settings.get(ProviderKind::OpenAi, index));
    Ok(connection.is_some_and(anthropic::speaks_messages))
}

fn bad_gateway(text: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, text)
}

async fn count_tokens(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Json<Value>> {
    let context = request::call_context(&caller, &headers).await?;
    let (connection, request) = target(&caller, &body, &context).await?;
    let http = &caller.app().chat.providers.http;
    let client = anthropic::client_headers(&headers);
    match anthropic::count_tokens(http, &connection, request, &client, &context).await {
        Ok(Some(count)) => Ok(Json(json!({ "input_tokens": count }))),
        Ok(None) => Err(bad_gateway("Invalid token-count response from upstream provider")),
        Err(MessagesError::Unreachable) => Err(bad_gateway(texts::SERVER_CONNECTION_ERROR)),
        Err(MessagesError::Upstream(error)) => Err(ApiError::new(error.status, error.body)),
    }
}

async fn generate(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    let context = request::call_context(&caller, &headers).await?;
    let found = match target(&caller, &body, &context).await {
        Ok((connection, request)) if anthropic::speaks_messages(&connection) => {
            let asked = body.get("model").and_then(Value::as_str).unwrap_or_default();
            return pass(&caller, &connection, request, &headers, &context, asked).await;
        }
        Ok(found) => Some(found),
        // The pipeline refuses in its own words, a provider that is asked directly in these.
        Err(error) if error.status() == StatusCode::FORBIDDEN && passes(&caller, &body).await? => {
            return Err(error);
        }
        Err(_) => None,
    };
    let passed = found
        .as_ref()
        .map(|(connection, _)| Passed::read(connection.config().get("passthrough_params")));
    let chat = anthropic::to_chat(&body, &passed.unwrap_or_default());
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let user = request::run_user(&caller, &headers).await?;
    let engine = caller.app().chat.clone();
    // Both go out at once, and a count that does not come holds nothing up.
    let mut counting = tokio::spawn(count(caller.app().clone(), found, headers, context));
    let completion = engine.complete(user, chat).await;
    if completion.is_err() {
        counting.abort();
    }
    let completion = completion?;
    let counted = tokio::time::timeout(COUNT_WAIT, &mut counting).await;
    let counted = counted.ok().and_then(Result::ok).flatten();
    Ok(match completion {
        Completion::Json(answer) => Json(anthropic::from_chat(&answer, model, counted)).into_response(),
        Completion::Stream { body, .. } => {
            let events = anthropic::to_messages(body, model, counted);
            let headers = [
                (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            (headers, ResponseBody::from_stream(events)).into_response()
        }
    })
}

/// The tokens of a request as its provider counts them, if it does.
async fn count(
    app: oui_web::App,
    found: Option<(Connection, Map<String, Value>)>,
    headers: HeaderMap,
    context: CallContext,
) -> Option<u64> {
    let (connection, request) = found?;
    let uncounting = app.memo::<Uncounting>();
    if uncounting.knows(&connection.url) {
        return None;
    }
    let http = &app.chat.providers.http;
    let client = anthropic::client_headers(&headers);
    match anthropic::count_tokens(http, &connection, request, &client, &context).await {
        Ok(count) => count,
        Err(error) => {
            if error.is_unsupported() {
                uncounting.note(&connection.url);
            }
            None
        }
    }
}

async fn pass(
    caller: &Caller<Verified>,
    connection: &Connection,
    body: Map<String, Value>,
    headers: &HeaderMap,
    context: &CallContext,
    asked: &str,
) -> ApiResult<Response> {
    let base = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let engine = &caller.app().chat;
    let meter = engine.meter(caller.id(), &[asked, base], &body, true).await?;
    let http = &caller.app().chat.providers.http;
    let client = anthropic::client_headers(headers);
    let answer = anthropic::pass(http, connection, "messages", body, &client, context).await;
    match measured(meter, answer, Tone::Messages).await {
        Ok(reply) => Ok(request::reply(reply)),
        Err(MessagesError::Upstream(error)) => Err(oui_providers::ProviderError::Upstream(error).into()),
        Err(MessagesError::Unreachable) => Err(bad_gateway(texts::SERVER_CONNECTION_ERROR)),
    }
}
