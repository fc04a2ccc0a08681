//! Calls to Ollama servers: chats in OpenAI form and in Ollama's own, and plain calls for routes that pass
//! requests on.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oui_core::boxed;
use oui_core::{ApiError, Clock, messages};
use serde_json::{Map, Value, json};

use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::{Http, Outgoing, Patience, TransportError};
use crate::models::strip_model_prefix;
use crate::ollama_payload;
use crate::ollama_reply;
use crate::provider_error::{ProviderError, UpstreamError, upstream};
use crate::python::{text_of, truthy};
use crate::reply::{self, Body, ChatReply, UpstreamStream};

/// Client for connections of kind [`ProviderKind::Ollama`](crate::ProviderKind::Ollama).
#[derive(Clone, Debug)]
pub struct OllamaClient {
    http: Http,
    clock: Clock,
}

impl OllamaClient {
    /// A client over the pool; the clock dates completions.
    pub fn new(http: Http, clock: Clock) -> Self {
        Self { http, clock }
    }

    /// A chat completion in OpenAI form: the payload is converted to `/api/chat`, the answer back. Streams are
    /// Chat Completions events ending with `[DONE]`; an error inside a stream is an event with `error`.
    ///
    /// Errors: the provider's status and message, or 500 when it cannot be reached.
    #[boxed]
    pub async fn chat(
        &self,
        connection: &Connection,
        payload: Value,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let payload = payload.as_object().ok_or_else(no_object)?;
        let request = ollama_payload::from_openai(payload);
        match self
            .native_chat(connection, Value::Object(request), context)
            .await?
        {
            ChatReply::Json(answer @ Value::Object(_)) => {
                Ok(ChatReply::Json(ollama_reply::to_completion(&answer, &self.clock)))
            }
            ChatReply::Json(_) => Err(server_connection_error(StatusCode::INTERNAL_SERVER_ERROR).into()),
            ChatReply::Stream(UpstreamStream {
                status,
                mut headers,
                body,
            }) => {
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("text/event-stream"),
                );
                let body = ollama_reply::to_events(body, self.clock.clone());
                Ok(ChatReply::Stream(UpstreamStream {
                    status,
                    headers,
                    body,
                }))
            }
        }
    }

    /// A chat in Ollama's own form, streamed unless `stream` is false. `model` may carry the connection's
    /// prefix; nulls at the top level and in messages are dropped.
    ///
    /// Errors: as [`OllamaClient::chat`].
    #[boxed]
    pub async fn native_chat(
        &self,
        connection: &Connection,
        payload: Value,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let Value::Object(mut payload) = payload else {
            return Err(no_object().into());
        };
        let stream = truthy(payload.entry("stream").or_insert(Value::Bool(true)));
        tidy(connection, &mut payload);
        let body = Value::Object(payload);
        let reply = self.request(connection, Method::POST, "api/chat", Some(&body), stream, context);
        Ok(match reply.await? {
            ChatReply::Stream(mut stream) => {
                let kind = HeaderValue::from_static("application/x-ndjson");
                stream.headers.insert(header::CONTENT_TYPE, kind);
                ChatReply::Stream(stream)
            }
            whole => whole,
        })
    }

    /// A call to `path` below the connection's address, passed on as it is. With `stream` the answer comes
    /// back in pieces, otherwise as one value (null when it is no JSON or breaks off).
    ///
    /// Errors: the provider's status with its `error` as detail, or 500 with what went wrong.
    #[boxed]
    pub async fn request(
        &self,
        connection: &Connection,
        method: Method,
        path: &str,
        body: Option<&Value>,
        stream: bool,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let headers = self.http.headers(connection, context);
        let url = format!("{}/{}", connection.url, path.trim_start_matches('/'));
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        let request = Outgoing {
            method,
            url,
            headers,
            body: bytes,
            patience: Patience::Call,
        };
        let response = self
            .http
            .send(request)
            .await
            .map_err(|error| connection_error(&error))?;
        let status = response.status();
        if status.as_u16() >= 400 {
            let headers = response.headers().clone();
            let model = body.and_then(|body| body.get("model")).and_then(Value::as_str);
            let body = reply::read(response).await.unwrap_or(Body::Text(String::new()));
            let said = match &body {
                Body::Json(Value::Object(fields)) => fields.get("error").cloned(),
                _ => None,
            };
            let relayed = upstream(connection, model, status, &headers, body);
            self.http.tell_refused(&relayed, context);
            return Err(failure(relayed, said).into());
        }
        if stream {
            let idle = self.http.options().timeouts.stream_idle;
            return Ok(ChatReply::Stream(reply::stream(response, idle)));
        }
        // Clients of the reference get null for an answer that is no JSON or breaks off.
        Ok(ChatReply::Json(match reply::read(response).await {
            Ok(Body::Json(value)) => value,
            Ok(Body::Text(_)) => Value::Null,
            Err(error) => {
                tracing::error!(error = error.for_log(), "provider connection failed");
                Value::Null
            }
        }))
    }
}

fn tidy(connection: &Connection, payload: &mut Map<String, Value>) {
    payload.shift_remove("metadata");
    payload.retain(|_, value| !value.is_null());
    for message in payload
        .get_mut("messages")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(fields) = message.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
    if let Some(model) = payload.get("model").and_then(Value::as_str) {
        let model = strip_model_prefix(model, connection.prefix_id()).to_owned();
        payload.insert("model".to_owned(), Value::from(model));
    }
}

/// The provider's error with its own words as detail, where it has any.
fn failure(relayed: UpstreamError, said: Option<Value>) -> ApiError {
    let error = match said {
        Some(said) => ApiError::new(relayed.status, said),
        None => server_connection_error(relayed.status),
    };
    relayed
        .retry
        .into_iter()
        .fold(error, |error, (name, value)| error.with_header(name, &value))
}

fn connection_error(error: &TransportError) -> ApiError {
    tracing::error!(error = error.for_log(), "provider connection failed");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match error.to_string() {
        text if text.is_empty() => server_connection_error(status),
        text => ApiError::new(status, format!("Ollama: {text}")),
    }
}

fn server_connection_error(status: StatusCode) -> ApiError {
    ApiError::new(status, messages::SERVER_CONNECTION_ERROR)
}

fn no_object() -> ApiError {
    ApiError::bad_request("the request body must be an object")
}

/// An OpenAI-compatible request for embeddings in the form of `/api/embed`.
pub fn embed_request(request: &Map<String, Value>) -> Map<String, Value> {
    let mut converted = Map::new();
    for name in [
        "model",
        "input",
        "truncate",
        "options",
        "keep_alive",
        "dimensions",
    ] {
        if let Some(value) = request.get(name) {
            converted.insert(name.to_owned(), value.clone());
        }
    }
    converted
}

/// An answer of `/api/embed` or `/api/embeddings` in OpenAI's form. Anything else stays as it is.
pub fn embed_reply(answer: Value) -> Value {
    let entry = |index: Value, embedding: Value| json!({ "object": "embedding", "embedding": embedding, "index": index });
    let data: Vec<Value> = match (answer.get("embeddings"), answer.get("embedding")) {
        (Some(Value::Array(vectors)), _) => vectors
            .iter()
            .enumerate()
            .filter_map(|(place, vector)| match vector {
                Value::Array(_) => Some(entry(json!(place), vector.clone())),
                Value::Object(fields) => Some(entry(
                    fields.get("index").cloned().unwrap_or_else(|| json!(place)),
                    fields.get("embedding").cloned().unwrap_or_default(),
                )),
                _ => None,
            })
            .collect(),
        (None, Some(vector)) => vec![entry(json!(0), vector.clone())],
        _ => return answer,
    };
    let mut converted = json!({ "object": "list", "data": data, "model": answer.get("model") });
    if let Some(tokens) = answer.get("prompt_eval_count").filter(|count| count.is_number()) {
        converted["usage"] = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    }
    converted
}

/// The lowest of several servers' versions, compared number by number; `None` when there is none to compare.
pub fn lowest_version<'a>(versions: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    let parsed = |answer: &Value| {
        let text = text_of(answer.get("version")?);
        let plain = text
            .strip_prefix('v')
            .unwrap_or(&text)
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned();
        let numbers: Option<Vec<u64>> = plain.split('.').map(|part| part.parse().ok()).collect();
        Some((numbers?, text))
    };
    versions
        .into_iter()
        .filter_map(parsed)
        .min_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_find_their_counterparts() {
        let request = json!({"model": "m", "input": ["a"], "encoding_format": "float", "dimensions": 3});
        assert_eq!(
            Value::Object(embed_request(request.as_object().unwrap())),
            json!({"model": "m", "input": ["a"], "dimensions": 3})
        );
        assert_eq!(
            embed_reply(
                json!({"model": "m", "embeddings": [[1.0], {"embedding": [2.0], "index": 7}], "prompt_eval_count": 4})
            ),
            json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}, "data": [
                {"object": "embedding", "embedding": [1.0], "index": 0},
                {"object": "embedding", "embedding": [2.0], "index": 7},
            ]})
        );
        assert_eq!(embed_reply(json!({"embedding": [1.0]}))["data"][0]["index"], 0);
        assert_eq!(embed_reply(json!({"data": []})), json!({"data": []}));
    }

    #[test]
    fn versions_compare_by_number() {
        let versions = [
            json!({"version": "0.10.1"}),
            json!({"version": "v0.9.3-rc1"}),
            json!({}),
            json!({"version": "x"}),
        ];
        assert_eq!(lowest_version(&versions).as_deref(), Some("v0.9.3-rc1"));
        assert_eq!(lowest_version([]), None);
    }
}
