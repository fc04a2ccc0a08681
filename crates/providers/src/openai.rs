//! Calls to OpenAI-compatible servers: chat completions (Azure's and the Responses API's forms included)
//! and plain calls for routes that pass requests on.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use oui_core::ApiError;
use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::azure;
use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::{Http, Outgoing, Patience, TransportError};
use crate::openai_payload;
use crate::provider_error::{ProviderError, upstream};
use crate::python::text_of;
use crate::reply::{self, Body, ChatReply};
use crate::responses;

/// Client for connections of kind [`ProviderKind::OpenAi`](crate::ProviderKind::OpenAi).
#[derive(Clone, Debug)]
pub struct OpenAiClient {
    http: Http,
}

/// Why a call for bytes brought none.
#[derive(Debug)]
pub enum SpokenError {
    /// The provider refused.
    Refused {
        /// Its status.
        status: StatusCode,
        /// The `error` of its answer.
        error: Option<String>,
    },
    /// There was no answer.
    Unreachable,
}

/// A call that is passed on as it is.
#[derive(Debug)]
pub struct PassedCall<'a> {
    /// Method.
    pub method: Method,
    /// Path below the connection's address.
    pub path: &'a str,
    /// Query of the caller.
    pub query: Option<&'a str>,
    /// Body.
    pub body: Option<Bytes>,
    /// The model that it is about; Azure deployments are addressed by it.
    pub model: Option<&'a str>,
    /// Whether the caller expects a stream: decides about the time allowed between pieces.
    pub stream: bool,
}

/// A chat call ready to be sent.
struct Prepared {
    url: String,
    headers: HeaderMap,
    payload: Map<String, Value>,
}

impl OpenAiClient {
    /// A client over the pool.
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    /// A chat completion. `payload` is a finished Chat Completions request whose `model` may carry the
    /// connection's prefix; `metadata` in it is dropped.
    ///
    /// Whole answers are in Chat Completions form whatever the server spoke. Streams are the server's
    /// bytes: Chat Completions chunks, or Responses events where the connection speaks those
    /// (see [`crate::responses_stream`]). A server may answer a streaming request with a whole answer.
    ///
    /// Errors: the provider's status and body, or 500 when it cannot be reached.
    #[boxed]
    pub async fn chat(
        &self,
        connection: &Connection,
        payload: Value,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let Prepared {
            url,
            headers,
            payload,
        } = self.prepare(connection, payload, context)?;
        let model = payload.get("model").and_then(Value::as_str).map(str::to_owned);
        let streams = payload.get("stream").is_some_and(crate::python::truthy);
        let request = Outgoing::post(url, headers, &Value::Object(payload));
        let reply = self
            .exchange(connection, request, streams, model.as_deref(), true, context)
            .await?;
        Ok(match reply {
            ChatReply::Json(answer @ Value::Object(_)) if connection.speaks_responses() => {
                ChatReply::Json(responses::to_chat(&answer))
            }
            other => other,
        })
    }

    fn prepare(
        &self,
        connection: &Connection,
        payload: Value,
        context: &CallContext,
    ) -> Result<Prepared, ApiError> {
        let Value::Object(mut payload) = payload else {
            return Err(ApiError::bad_request("the request body must be an object"));
        };
        openai_payload::adjust(connection, &mut payload, context)?;
        let mut headers = self.http.headers(connection, context);
        let path = if connection.speaks_responses() {
            "responses"
        } else {
            "chat/completions"
        };
        let url = if connection.is_azure() {
            let model = payload
                .get("model")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            azure::reduce(connection, &mut payload);
            azure::target(connection, &model, path, &mut headers)?
        } else {
            format!("{}/{path}", connection.url)
        };
        if connection.speaks_responses() {
            payload = responses::from_chat(payload);
        } else {
            openai_payload::flatten_tool_messages(&mut payload);
        }
        if !payload.get("stream").is_some_and(crate::python::truthy) {
            payload.shift_remove("stream_options");
        }
        Ok(Prepared {
            url,
            headers,
            payload,
        })
    }

    /// A call passed on as it is. On Azure deployments the model becomes part of the address. Event streams come
    /// back as such, everything else as one value.
    ///
    /// Errors: the provider's status and body, or 500 when it cannot be reached.
    #[boxed]
    pub async fn pass(
        &self,
        connection: &Connection,
        call: PassedCall<'_>,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let mut headers = self.http.headers(connection, context);
        let path = call.path.trim_start_matches('/');
        let mut url = if connection.is_azure() {
            azure::target(connection, call.model.unwrap_or_default(), path, &mut headers)?
        } else {
            format!("{}/{path}", connection.url)
        };
        if let Some(query) = call.query.filter(|query| !query.is_empty()) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        let request = Outgoing {
            method: call.method,
            url,
            headers,
            body: call.body,
            patience: Patience::Call,
        };
        self.exchange(connection, request, call.stream, call.model, false, context)
            .await
    }

    /// A call whose answer is no text.
    ///
    /// Errors: the provider's status and the `error` of its answer, if it has one.
    #[boxed]
    pub async fn bytes(
        &self,
        connection: &Connection,
        call: PassedCall<'_>,
        context: &CallContext,
    ) -> Result<Bytes, SpokenError> {
        let unreachable = |error: TransportError| {
            tracing::error!(error = error.for_log(), "provider connection failed");
            SpokenError::Unreachable
        };
        let outgoing = Outgoing {
            method: call.method,
            url: format!("{}/{}", connection.url, call.path),
            headers: self.http.headers(connection, context),
            body: call.body,
            patience: Patience::Call,
        };
        let response = self.http.send(outgoing).await.map_err(unreachable)?;
        let (status, url) = (response.status(), response.url().clone());
        if status.as_u16() >= 400 {
            let error = match reply::read(response).await {
                Ok(Body::Json(Value::Object(fields))) => fields.get("error").map(text_of),
                _ => None,
            };
            return Err(SpokenError::Refused { status, error });
        }
        let bytes = response.bytes().await;
        bytes.map_err(|error| unreachable(TransportError::from_reqwest(&error, &url)))
    }

    /// As [`OpenAiClient::pass`], with a JSON body or none.
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
        let call = PassedCall {
            method,
            path,
            query: None,
            body: body.map(|body| Bytes::from(body.to_string())),
            model: body.and_then(|body| body.get("model")).and_then(Value::as_str),
            stream,
        };
        self.pass(connection, call, context).await
    }

    async fn exchange(
        &self,
        connection: &Connection,
        request: Outgoing,
        streams: bool,
        model: Option<&str>,
        unwrap_failed_streams: bool,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        let response = self
            .http
            .send(request)
            .await
            .map_err(|error| ProviderError::connection(&error, None))?;
        let status = response.status();
        let event_stream = reply::is_event_stream(response.headers());
        let failed = status.as_u16() >= 400;
        if event_stream && !(failed && unwrap_failed_streams) {
            let idle = self.http.options().timeouts.stream_idle.filter(|_| streams);
            return Ok(ChatReply::Stream(reply::stream(response, idle)));
        }
        let headers = response.headers().clone();
        let body = reply::read(response)
            .await
            .map_err(|error| ProviderError::connection(&error, Some(status)))?;
        if failed {
            let body = if event_stream {
                failed_stream(body, status)
            } else {
                body
            };
            let error = upstream(connection, model, status, &headers, body);
            self.http.tell_refused(&error, context);
            return Err(ProviderError::Upstream(Box::new(error)));
        }
        Ok(ChatReply::Json(body.into_value()))
    }
}

/// An error that came with the content type of a stream: its JSON, or its text in an error object.
fn failed_stream(body: Body, status: StatusCode) -> Body {
    let Body::Text(text) = body else { return body };
    Body::Json(
        serde_json::from_str(&text)
            .unwrap_or_else(|_| json!({ "error": { "message": text, "code": status.as_u16() } })),
    )
}
