//! The one error type of the HTTP surface. Its body is FastAPI's: `{"detail": ...}` where the
//! detail is a sentence or, for validation errors, a list of issues.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// An HTTP error answer: status, `detail` and extra headers.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    body: Value,
    plain: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An answer with the given status and `detail`.
    pub fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self {
            status,
            body: json!({ "detail": detail.into() }),
            plain: false,
            headers: Vec::new(),
        }
    }

    /// An answer whose whole body is given: relayed upstream errors keep their own shape.
    pub fn with_body(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body,
            plain: false,
            headers: Vec::new(),
        }
    }

    /// An answer that is a plain text: what the reference's server says itself when a handler fails, and relayed
    /// errors that are no JSON.
    pub fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            plain: true,
            ..Self::with_body(status, Value::String(text.into()))
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401.
    pub fn unauthorized(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409.
    pub fn conflict(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422 with a list of issues (see [`crate::form`]).
    pub fn unprocessable(issues: Vec<Value>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Value::Array(issues))
    }

    /// 500 for faults of ours. The cause goes to the log, never to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(error = %cause, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    }

    /// Adds a response header; values that are not legal header text are left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// JSON body of the answer.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The `detail` of the body, or the whole body where it has none.
    pub fn detail(&self) -> &Value {
        self.body.get("detail").unwrap_or(&self.body)
    }

    /// The detail as text, for logs and for errors stored on messages.
    pub fn detail_text(&self) -> String {
        match self.detail() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail_text())
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Value::String(text) if self.plain => (self.status, text).into_response(),
            body => (self.status, axum::Json(body)).into_response(),
        };
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn body_has_the_fastapi_shape() {
        let error = ApiError::bad_request("nope");
        assert_eq!(error.body(), &json!({ "detail": "nope" }));
        assert_eq!(error.detail_text(), "nope");
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn plain_texts_are_no_json() {
        let response = ApiError::plain(StatusCode::BAD_GATEWAY, "gone").into_response();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
    }

    #[test]
    fn headers_are_kept() {
        let error =
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "slow down").with_header(header::RETRY_AFTER, "3");
        assert_eq!(error.into_response().headers()[header::RETRY_AFTER], "3");
    }
}
