//! What a caller gets instead of an answer: the provider's own error, to be relayed with its status and
//! body, or an error of ours.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode};
use oui_core::{ApiError, messages};
use serde_json::{Value, json};

use crate::connections::ProviderKind;
use crate::headers;
use crate::http::TransportError;
use crate::python::{text_of, truthy};
use crate::reply::Body;
use crate::secret::Secret;

/// An answer of a provider with status 400 or above.
#[derive(Debug, Clone)]
pub struct UpstreamError {
    /// What the provider speaks.
    pub kind: ProviderKind,
    /// Its address, fit for logs.
    pub base_url: String,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The last characters of the key that it was sent, so that administrators know which one it was.
    pub key_suffix: Option<String>,
    /// Its status.
    pub status: StatusCode,
    /// Its body: JSON as it came, or a text as a JSON string.
    pub body: Value,
    /// `retry-after` and `retry-after-ms`, if it sent them.
    pub retry: Vec<(HeaderName, String)>,
}

impl UpstreamError {
    /// Class of the failure, as logs and failure events name it.
    pub fn error_type(&self) -> &'static str {
        let (code, message) = self.code_and_message();
        let marker = format!(
            "{} {}",
            code.map(text_of).unwrap_or_default(),
            message.map(text_of).unwrap_or_default()
        )
        .to_lowercase();
        let missing = [
            "model_not_found",
            "model not found",
            "does not exist",
            "no such model",
        ];
        match self.status.as_u16() {
            404 if missing.iter().any(|text| marker.contains(text)) => "model_not_found",
            401 | 403 => "authentication_failed",
            429 => "rate_limited",
            500.. => "server_failed",
            _ => "upstream_error",
        }
    }

    fn code_and_message(&self) -> (Option<&Value>, Option<&Value>) {
        let error = match &self.body {
            Value::Object(fields) => fields.get("error"),
            other => Some(other),
        };
        let Some(Value::Object(fields)) = error else {
            return (None, error);
        };
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| fields.get(*name).filter(|value| truthy(value)))
        };
        (
            first(&["code", "type", "error_code"]),
            first(&["message", "detail"]).or(error),
        )
    }

    /// The `data` of a `model.provider_request.failed` event.
    pub fn event_data(&self) -> Value {
        let (code, message) = self.code_and_message();
        let mut data = json!({
            "error_type": self.error_type(),
            "status": self.status.as_u16(),
            "provider": self.kind.label(),
            "base_url": self.base_url,
        });
        let optional = [
            ("requested_model", self.model.clone().map(Value::from)),
            ("api_key_suffix", self.key_suffix.clone().map(Value::from)),
            ("upstream_error_code", code.cloned()),
            (
                "upstream_message",
                message.filter(|message| truthy(message)).cloned(),
            ),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                data[name] = value;
            }
        }
        data
    }

    /// Tells the log; bodies of errors are otherwise invisible to administrators. A server may repeat the key
    /// that it refuses, so that is taken out.
    pub(crate) fn log(&self, key: &Secret) {
        let (code, message) = self.code_and_message();
        let code = code.map(text_of).unwrap_or_default();
        let message: String = key
            .censor(&message.map(text_of).unwrap_or_default())
            .chars()
            .take(1000)
            .collect();
        let model = self.model.as_deref().unwrap_or("-");
        let (kind, status, class) = (self.kind.label(), self.status.as_u16(), self.error_type());
        if self.status.is_server_error() {
            tracing::error!(
                kind,
                status,
                class,
                url = self.base_url,
                model,
                code,
                message,
                "provider request failed"
            );
        } else {
            tracing::warn!(
                kind,
                status,
                class,
                url = self.base_url,
                model,
                code,
                message,
                "provider request failed"
            );
        }
    }
}

/// Why a call to a provider brought no usable answer. As a response it is what the reference sends:
/// JSON bodies as JSON, texts as plain text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// The provider's own error, relayed.
    #[error("the provider answered {}", .0.status)]
    Upstream(Box<UpstreamError>),
    /// An error in the server's own shape (`{"detail": ...}`).
    #[error("{0}")]
    Api(ApiError),
}

impl ProviderError {
    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Upstream(error) => error.status,
            Self::Api(error) => error.status(),
        }
    }

    /// The body that a client gets; a text is a JSON string here.
    pub fn body(&self) -> &Value {
        match self {
            Self::Upstream(error) => &error.body,
            Self::Api(error) => error.body(),
        }
    }

    /// The provider's own error, if it is one: for failure events.
    pub fn upstream(&self) -> Option<&UpstreamError> {
        match self {
            Self::Upstream(error) => Some(error),
            Self::Api(_) => None,
        }
    }

    /// No connection, or one that broke: the reference's status (500, or that of the begun answer) and text.
    pub(crate) fn connection(error: &TransportError, begun: Option<StatusCode>) -> Self {
        tracing::error!(error = error.for_log(), "provider connection failed");
        Self::Api(ApiError::new(
            begun.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            messages::SERVER_CONNECTION_ERROR,
        ))
    }
}

impl From<ApiError> for ProviderError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Api(error) => error,
            ProviderError::Upstream(error) => {
                let relayed = match error.body {
                    Value::String(text) => ApiError::plain(error.status, text),
                    body => ApiError::with_body(error.status, body),
                };
                error.retry.into_iter().fold(relayed, |relayed, (name, value)| {
                    relayed.with_header(name, &value)
                })
            }
        }
    }
}

impl IntoResponse for ProviderError {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}

/// The end of a key, for one that is long enough to stay a secret all the same.
fn suffix(key: &str) -> Option<String> {
    let count = key.chars().count();
    (count >= 8).then(|| format!("...{}", key.chars().skip(count - 4).collect::<String>()))
}

/// Makes the error of an answer with status 400 or above.
pub(crate) fn upstream(
    connection: &crate::Connection,
    model: Option<&str>,
    status: StatusCode,
    answer_headers: &http::HeaderMap,
    body: Body,
) -> UpstreamError {
    let error = UpstreamError {
        kind: connection.kind,
        base_url: crate::secret::loggable_url(&connection.url),
        model: model.map(str::to_owned),
        key_suffix: (connection.kind == ProviderKind::OpenAi)
            .then(|| suffix(connection.key.expose()))
            .flatten(),
        status,
        body: match body {
            Body::Json(value @ (Value::Object(_) | Value::Array(_))) => value,
            Body::Json(Value::Null) => Value::from(""),
            Body::Json(scalar) => Value::from(text_of(&scalar)),
            Body::Text(text) => Value::from(text),
        },
        retry: headers::retry_headers(answer_headers),
    };
    error.log(&connection.key);
    error
}
