//! Request bodies and query strings as forms, with the reference's validation answers.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use oui_core::{ApiError, ApiResult, Form};
use serde_json::{Map, Value, json};

use crate::app::App;

/// Largest JSON body, in bytes. Imports of whole chat archives are the largest honest ones.
const MAX_JSON: usize = 512 * 1024 * 1024;

/// A JSON body read as the form `T`.
pub struct Body<T> {
    /// The form.
    pub form: T,
    /// The object as it came, for handlers that must know which fields were sent.
    pub raw: Value,
}

impl<T: Form> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        let raw = read_json(request).await?;
        let form = T::read("body", &raw).map_err(ApiError::unprocessable)?;
        Ok(Self { form, raw })
    }
}

/// A JSON body that may be left out; so may its content (`null`).
pub struct MaybeBody<T>(pub Option<Body<T>>);

impl<T: Form> FromRequest<App> for MaybeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        match read_optional_json(request).await? {
            None | Some(Value::Null) => Ok(Self(None)),
            Some(raw) => {
                let form = T::read("body", &raw).map_err(ApiError::unprocessable)?;
                Ok(Self(Some(Body { form, raw })))
            }
        }
    }
}

/// A JSON body of any shape.
pub struct AnyJson(pub Value);

impl FromRequest<App> for AnyJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        read_json(request).await.map(Self)
    }
}

/// A JSON body that must be an object.
pub struct ObjectBody(pub Map<String, Value>);

impl FromRequest<App> for ObjectBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        match read_json(request).await? {
            Value::Object(object) => Ok(Self(object)),
            other => Err(ApiError::unprocessable(vec![json!({
                "type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": other,
            })])),
        }
    }
}

async fn read_json(request: Request) -> ApiResult<Value> {
    read_optional_json(request).await?.ok_or_else(|| {
        ApiError::unprocessable(vec![
            json!({ "type": "missing", "loc": ["body"], "msg": "Field required", "input": null }),
        ])
    })
}

async fn read_optional_json(request: Request) -> ApiResult<Option<Value>> {
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_none_or(|kind| kind.contains("json"));
    let bytes = read_bytes(request).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_json {
        // The reference takes such a body for text, which then is no object.
        return Ok(Some(Value::String(String::from_utf8_lossy(&bytes).into_owned())));
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| json_invalid(&bytes, &error))
}

async fn read_bytes(request: Request) -> ApiResult<Bytes> {
    Limited::new(request.into_body(), MAX_JSON)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() {
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")
            } else {
                ApiError::bad_request("There was an error parsing the body")
            }
        })
}

fn json_invalid(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    // The validator counts characters from the start of the body.
    let position = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>()
        + error.column().saturating_sub(1);
    // Where an object ends before it says anything, the validator misses a name behind the last character.
    let (position, told) = if bytes.trim_ascii_end().ends_with(b"{") {
        let misses = "Expecting property name enclosed in double quotes";
        (bytes.trim_ascii_end().len(), misses.to_owned())
    } else {
        (position, error.to_string())
    };
    ApiError::unprocessable(vec![json!({
        "type": "json_invalid", "loc": ["body", position], "msg": "JSON decode error", "input": {},
        "ctx": { "error": told },
    })])
}

/// A query string read as the form `T`; values arrive as text and are converted as the validator does.
pub struct Query<T>(pub T);

impl<T: Form> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> ApiResult<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|query| query.0)
            .unwrap_or_default();
        let mut object = Map::new();
        for (name, value) in pairs {
            object.insert(name, Value::String(value));
        }
        let input = Value::Object(object);
        T::read("query", &input).map(Self).map_err(|issues| {
            // A missing query parameter is reported with a null input.
            let issues = issues
                .into_iter()
                .map(|mut issue| {
                    if issue["type"] == "missing" {
                        issue["input"] = Value::Null;
                    }
                    issue
                })
                .collect();
            ApiError::unprocessable(issues)
        })
    }
}
