//! Model management of llama.cpp and LM Studio servers: which of their endpoints does what, and the calls to them.
//! Their management lives beside the OpenAI-compatible API, under the server's root.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use oui_core::ApiError;
use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::{Http, Outgoing, Patience, TransportError};
use crate::python::{quote, truthy};
use crate::reply::{self, Body, ChatReply};

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// The models that it knows, in its own form.
    Catalog,
    /// Fetch a model; the body as clients send it.
    Download(Map<String, Value>),
    /// How a download is getting on.
    DownloadStatus(String),
    /// Load a model into memory.
    Load(Map<String, Value>),
    /// Drop a model from memory.
    Unload(Map<String, Value>),
    /// A stream of what happens to models.
    Events,
    /// Remove a model.
    Delete(String),
}

impl Operation {
    /// Name in errors.
    fn name(&self) -> &'static str {
        match self {
            Self::Catalog => "list",
            Self::Download(_) => "download",
            Self::DownloadStatus(_) => "download_status",
            Self::Load(_) => "load",
            Self::Unload(_) => "unload",
            Self::Events => "sse",
            Self::Delete(_) => "delete",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    LlamaCpp,
    LmStudio,
}

/// A server whose models can be managed.
#[derive(Debug, Clone)]
pub struct ManagedServer<'a> {
    connection: &'a Connection,
    kind: Kind,
}

struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl<'a> ManagedServer<'a> {
    /// The server of a connection.
    ///
    /// Errors: 400 when it is of a kind without model management.
    pub fn of(connection: &'a Connection) -> Result<Self, ApiError> {
        let kind = match connection.provider() {
            "llama.cpp" => Kind::LlamaCpp,
            "lmstudio" => Kind::LmStudio,
            other => {
                let other = if other.is_empty() { "default" } else { other };
                return Err(ApiError::bad_request(format!(
                    "Provider \"{other}\" does not support model management"
                )));
            }
        };
        Ok(Self { connection, kind })
    }

    /// Address of the server without the part that leads to an API.
    pub fn root(&self) -> &'a str {
        root(&self.connection.url)
    }

    /// Does what is asked. Event streams come back as such, everything else as one value.
    ///
    /// Errors: 400 where the server cannot do this, its own status with its words as detail, 500 when it cannot
    /// be reached.
    #[boxed]
    pub async fn call(
        &self,
        http: &Http,
        operation: &Operation,
        context: &CallContext,
    ) -> Result<ChatReply, ApiError> {
        let request = self.request(operation).ok_or_else(|| {
            ApiError::bad_request(format!(
                "Provider \"{}\" does not support {}",
                self.connection.provider(),
                operation.name()
            ))
        })?;
        let outgoing = Outgoing {
            method: request.method,
            url: format!("{}{}", self.root(), request.path),
            headers: http.headers(self.connection, context),
            body: request.body.map(|body| Bytes::from(body.to_string())),
            patience: Patience::Call,
        };
        send(http, outgoing, *operation == Operation::Events).await
    }

    fn request(&self, operation: &Operation) -> Option<Request> {
        let request = |method: Method, path: &str, body: Option<Value>| {
            Some(Request {
                method,
                path: path.to_owned(),
                body,
            })
        };
        let sent = |fields: &Map<String, Value>| Some(Value::Object(fields.clone()));
        match (self.kind, operation) {
            (Kind::LlamaCpp, Operation::Catalog) => request(Method::GET, "/models", None),
            (Kind::LlamaCpp, Operation::Download(fields)) => request(Method::POST, "/models", sent(fields)),
            (Kind::LlamaCpp, Operation::Load(fields)) => request(Method::POST, "/models/load", sent(fields)),
            (Kind::LlamaCpp, Operation::Unload(fields)) => {
                request(Method::POST, "/models/unload", sent(fields))
            }
            (Kind::LlamaCpp, Operation::Events) => request(Method::GET, "/models/sse", None),
            (Kind::LlamaCpp, Operation::Delete(model)) => {
                let path = format!("/models?model={}", quote(model, b""));
                request(Method::DELETE, &path, None)
            }
            (Kind::LmStudio, Operation::Catalog) => request(Method::GET, "/api/v1/models", None),
            (Kind::LmStudio, Operation::Download(fields)) => {
                request(Method::POST, "/api/v1/models/download", sent(fields))
            }
            (Kind::LmStudio, Operation::DownloadStatus(job)) => {
                let path = format!("/api/v1/models/download/status/{}", quote(job, b""));
                request(Method::GET, &path, None)
            }
            (Kind::LmStudio, Operation::Load(fields)) => {
                request(Method::POST, "/api/v1/models/load", sent(fields))
            }
            (Kind::LmStudio, Operation::Unload(fields)) => {
                // Instances are unloaded, and one has the name of its model unless told otherwise.
                let named = fields.get("instance_id").filter(|id| truthy(id));
                let instance = named.or_else(|| fields.get("model"));
                let body = json!({ "instance_id": instance });
                request(Method::POST, "/api/v1/models/unload", Some(body))
            }
            (Kind::LlamaCpp, Operation::DownloadStatus(_))
            | (Kind::LmStudio, Operation::Events | Operation::Delete(_)) => None,
        }
    }
}

/// An address without its API's part.
fn root(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    ["/api/v1", "/api/v0", "/v1"]
        .iter()
        .find_map(|suffix| url.strip_suffix(suffix))
        .unwrap_or(url)
}

async fn send(http: &Http, outgoing: Outgoing, stream: bool) -> Result<ChatReply, ApiError> {
    let failed = |error: TransportError, status: StatusCode| {
        tracing::error!(error = error.for_log(), "provider connection failed");
        ApiError::new(status, error.to_string())
    };
    let unreachable = |error| failed(error, StatusCode::INTERNAL_SERVER_ERROR);
    let response = http.send(outgoing).await.map_err(unreachable)?;
    let status = response.status();
    if status.as_u16() < 400 && stream {
        let idle = http.options().timeouts.stream_idle;
        return Ok(ChatReply::Stream(reply::stream(response, idle)));
    }
    match reply::read(response).await {
        Ok(body) if status.as_u16() >= 400 => Err(ApiError::new(status, body.into_value())),
        Ok(Body::Json(answer)) => Ok(ChatReply::Json(answer)),
        // Servers confirm with all kinds of texts.
        Ok(Body::Text(_)) => Ok(ChatReply::Json(json!({ "success": true }))),
        Err(error) => Err(failed(error, status)),
    }
}

/// Drops a model from the memory of a llama.cpp server; the server's answer comes back.
///
/// Errors: the server's status with its body as a text, 500 when it cannot be reached.
#[boxed]
pub async fn unload_llama_cpp(
    http: &Http,
    connection: &Connection,
    model: &str,
    context: &CallContext,
) -> Result<Value, ApiError> {
    let url = connection.url.trim_end_matches('/');
    let root = url.strip_suffix("/v1").unwrap_or(url);
    let outgoing = Outgoing::post(
        format!("{root}/models/unload"),
        http.headers(connection, context),
        &json!({ "model": model }),
    );
    let failed = |error: TransportError| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let response = http.send(outgoing).await.map_err(failed)?;
    let status = response.status();
    let text = body_text(response).await.map_err(failed)?;
    if status.as_u16() >= 400 {
        return Err(ApiError::new(status, text));
    }
    serde_json::from_str(&text)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Drops a model from the memory of an Ollama server.
///
/// Errors: the server's answer as a text, or why there was none.
#[boxed]
pub async fn unload_ollama(
    http: &Http,
    connection: &Connection,
    model: &str,
    context: &CallContext,
) -> Result<(), String> {
    let outgoing = Outgoing::post(
        format!("{}/api/generate", connection.url),
        http.headers(connection, context),
        &json!({ "model": model, "keep_alive": 0, "prompt": "" }),
    );
    let response = http.send(outgoing).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let text = body_text(response).await.map_err(|error| error.to_string())?;
    if status.as_u16() >= 400 { Err(text) } else { Ok(()) }
}

async fn body_text(mut response: reqwest::Response) -> Result<String, TransportError> {
    // The words matter here, whatever the type says.
    response.headers_mut().remove(header::CONTENT_TYPE);
    match reply::read(response).await? {
        Body::Text(text) => Ok(text),
        Body::Json(value) => Ok(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::ProviderKind;

    fn connection(provider: &str) -> Connection {
        let config = json!({ "provider": provider });
        Connection::adhoc(ProviderKind::OpenAi, "http://h:1/v1/", "k", Some(&config))
    }

    #[test]
    fn roots_have_no_api_part() {
        assert_eq!(root("http://h:1/api/v1"), "http://h:1");
        assert_eq!(root("http://h:1/v1/"), "http://h:1");
        assert_eq!(root("http://h:1/lm"), "http://h:1/lm");
    }

    #[test]
    fn other_servers_are_refused() {
        let error = ManagedServer::of(&connection("")).unwrap_err();
        assert_eq!(
            error.detail(),
            "Provider \"default\" does not support model management"
        );
    }

    #[test]
    fn operations_have_their_paths() {
        let fields = json!({"model": "m"}).as_object().unwrap().clone();
        let llama = connection("llama.cpp");
        let llama = ManagedServer::of(&llama).unwrap();
        let request = llama.request(&Operation::Delete("a/b c".into())).unwrap();
        assert_eq!(
            (request.method, request.path.as_str()),
            (Method::DELETE, "/models?model=a%2Fb%20c")
        );
        assert!(llama.request(&Operation::DownloadStatus("1".into())).is_none());
        let studio = connection("lmstudio");
        let studio = ManagedServer::of(&studio).unwrap();
        let request = studio.request(&Operation::Unload(fields)).unwrap();
        assert_eq!(request.body, Some(json!({"instance_id": "m"})));
        let request = studio.request(&Operation::DownloadStatus("../x".into())).unwrap();
        assert_eq!(request.path, "/api/v1/models/download/status/..%2Fx");
        assert!(studio.request(&Operation::Events).is_none());
    }
}
