//! Anthropic's Messages API: what differs for servers that speak it among the OpenAI-compatible connections (the list
//! of models, requests passed on as they are), and its conversion from and to Chat Completions.

mod reply;
mod request;
mod stream;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::connections::{AuthType, Connection};
use crate::context::CallContext;
use crate::headers::{put, put_secret};
use crate::http::{Http, Outgoing, Patience, TransportError};
use crate::models::strip_model_prefix;
use crate::provider_error::{UpstreamError, upstream};
use crate::python::{text_of, truthy};
use crate::reply::{Body, ChatReply};

pub use reply::from_chat;
pub use request::{Passed, to_chat};
pub use stream::to_messages;

/// Version that is asked for.
pub const API_VERSION: &str = "2023-06-01";

/// Pages of a list are at most this many, so that a server that never ends cannot hold us.
const MAX_PAGES: usize = 100;

/// Whether an address is Anthropic's.
pub fn is_anthropic(url: &str) -> bool {
    url.contains("api.anthropic.com")
}

/// Headers of a client that mean something to the provider.
const FORWARDED: [&str; 2] = ["anthropic-beta", "anthropic-version"];

/// Whether Messages requests are passed on to a connection instead of being converted.
pub fn speaks_messages(connection: &Connection) -> bool {
    is_anthropic(&connection.url) || connection.provider().eq_ignore_ascii_case("litellm")
}

/// The headers of a Messages client that travel on.
pub fn client_headers(headers: &HeaderMap) -> HeaderMap {
    FORWARDED
        .into_iter()
        .filter_map(|name| Some((HeaderName::from_static(name), headers.get(name)?.clone())))
        .collect()
}

/// Why a Messages request brought no answer.
#[derive(Debug)]
pub enum MessagesError {
    /// The provider's own error.
    Upstream(Box<UpstreamError>),
    /// No answer, or one that nobody can read.
    Unreachable,
}

/// Sends a Messages request, or one of the requests beside it, to `path` below the connection's address. `model` may
/// carry the connection's prefix.
#[boxed]
pub async fn pass(
    http: &Http,
    connection: &Connection,
    path: &str,
    mut request: Map<String, Value>,
    client: &HeaderMap,
    context: &CallContext,
) -> Result<ChatReply, MessagesError> {
    if let Some(model) = request.get("model").and_then(Value::as_str) {
        let model = strip_model_prefix(model, connection.prefix_id()).to_owned();
        request.insert("model".into(), Value::from(model));
    }
    let mut headers = http.headers(connection, context);
    for (name, value) in client {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if is_anthropic(&connection.url) {
        if !headers.contains_key("anthropic-version") {
            put(&mut headers, "anthropic-version", API_VERSION);
        }
        if connection.auth_type() == AuthType::Bearer {
            // The key goes into a header of its own there.
            headers.remove(header::AUTHORIZATION);
            if !headers.contains_key("x-api-key") {
                put_secret(&mut headers, "x-api-key", connection.key.expose());
            }
        }
    }
    let streams = request.get("stream").is_some_and(truthy);
    let model = request.get("model").and_then(Value::as_str).map(str::to_owned);
    let outgoing = Outgoing {
        method: Method::POST,
        url: format!("{}/{path}", connection.url.trim_end_matches('/')),
        headers,
        body: Some(bytes::Bytes::from(Value::Object(request).to_string())),
        patience: Patience::Call,
    };
    let failed = |error: TransportError| {
        tracing::error!(error = error.for_log(), "provider connection failed");
        MessagesError::Unreachable
    };
    let response = http.send(outgoing).await.map_err(failed)?;
    let status = response.status();
    if crate::reply::is_event_stream(response.headers()) {
        let idle = http.options().timeouts.stream_idle.filter(|_| streams);
        return Ok(ChatReply::Stream(crate::reply::stream(response, idle)));
    }
    let answered = response.headers().clone();
    let body = crate::reply::read(response).await.map_err(failed)?;
    if status.as_u16() >= 400 {
        let error = upstream(connection, model.as_deref(), status, &answered, body);
        http.tell_refused(&error, context);
        return Err(MessagesError::Upstream(Box::new(error)));
    }
    Ok(ChatReply::Json(body.into_value()))
}

/// The tokens of a Messages request, as the provider counts them. `None` when its answer names no number.
#[boxed]
pub async fn count_tokens(
    http: &Http,
    connection: &Connection,
    request: Map<String, Value>,
    client: &HeaderMap,
    context: &CallContext,
) -> Result<Option<u64>, MessagesError> {
    match pass(
        http,
        connection,
        "messages/count_tokens",
        request,
        client,
        context,
    )
    .await?
    {
        ChatReply::Json(answer) => Ok(answer.get("input_tokens").and_then(Value::as_u64)),
        ChatReply::Stream(_) => Ok(None),
    }
}

impl MessagesError {
    /// Whether the provider has no such endpoint, so that there is no use in asking again soon.
    pub fn is_unsupported(&self) -> bool {
        let status = match self {
            Self::Upstream(error) => error.status,
            Self::Unreachable => return false,
        };
        matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        )
    }
}

/// All models, page by page, in OpenAI form. An error of the server is an empty list with `error`.
pub(crate) async fn list_models(
    http: &Http,
    connection: &Connection,
    context: &CallContext,
) -> Result<Value, TransportError> {
    let mut headers = HeaderMap::new();
    put_secret(&mut headers, "x-api-key", connection.key.expose());
    put(&mut headers, "anthropic-version", API_VERSION);
    http.add_user(&mut headers, context);

    let mut models: Vec<Value> = Vec::new();
    let mut after = String::new();
    for _ in 0..MAX_PAGES {
        let mut url = format!("{}/models?limit=1000", connection.url);
        if !after.is_empty() {
            url.push_str(&format!("&after_id={}", crate::python::quote(&after, b"")));
        }
        let response = http.send(Outgoing::get(url, headers.clone())).await?;
        let status = response.status();
        let body = crate::reply::read(response).await?;
        if status != 200 {
            let error = match &body {
                Body::Json(Value::Object(fields)) if fields.contains_key("error") => {
                    format!("External Error: {}", text_of(&fields["error"]))
                }
                _ => format!("HTTP Error: {}", status.as_u16()),
            };
            return Ok(json!({ "object": "list", "data": [], "error": error }));
        }
        let Body::Json(page) = body else {
            return Err(TransportError::Disconnected(
                "the list of models is no JSON".to_owned(),
            ));
        };
        let entries = page.get("data").and_then(Value::as_array);
        models.extend(entries.into_iter().flatten().map(in_openai_form));
        let more = page.get("has_more").is_some_and(crate::python::truthy);
        match page.get("last_id").and_then(Value::as_str) {
            Some(last) if more => after = last.to_owned(),
            _ => break,
        }
    }
    Ok(json!({ "object": "list", "data": models }))
}

fn in_openai_form(model: &Value) -> Value {
    let id = model.get("id").cloned().unwrap_or_default();
    json!({
        "id": id,
        "object": "model",
        "created": 0,
        "owned_by": "anthropic",
        "name": model.get("display_name").cloned().unwrap_or(id),
    })
}
