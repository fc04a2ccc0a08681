//! Asking one server about itself: what `POST /openai/verify`, `POST /ollama/verify` and
//! `GET /openai/models/{url_idx}` answer.

use http::StatusCode;
use oui_core::boxed;
use oui_core::{ApiError, messages};
use serde_json::{Value, json};

use crate::anthropic;
use crate::azure;
use crate::connections::{Connection, ProviderKind};
use crate::context::CallContext;
use crate::http::{Http, Outgoing, TransportError};
use crate::models::is_unsupported;
use crate::provider_error::{ProviderError, upstream};
use crate::python::text_of;
use crate::reply::{self, Body};

/// Lists the models of an OpenAI-compatible server and returns the list as it came.
///
/// Errors: any status but 200 is relayed with its body; 500 when the server cannot be reached.
#[boxed]
pub async fn verify_openai(
    http: &Http,
    url: &str,
    key: &str,
    config: Option<&Value>,
    context: &CallContext,
) -> Result<Value, ProviderError> {
    let connection = Connection::adhoc(ProviderKind::OpenAi, url, key, config);
    let mut headers = http.headers(&connection, context);
    let url = if connection.is_azure() {
        azure::add_key(&mut headers, &connection);
        azure::models_url(&connection)
    } else if anthropic::is_anthropic(url) {
        // The caller's identity is not forwarded here, unlike when lists are made.
        return match anthropic::list_models(http, &connection, &CallContext::default()).await {
            Ok(list) if list.get("error").is_none() => Ok(list),
            Ok(_) => Err(server_connection_error().into()),
            Err(error) => Err(ProviderError::connection(&error, None)),
        };
    } else {
        format!("{url}/models")
    };
    let failed = |error: TransportError| ProviderError::connection(&error, None);
    let response = http.send(Outgoing::get(url, headers)).await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = reply::read(response).await.map_err(failed)?;
    if status != StatusCode::OK {
        let mut error = upstream(&connection, None, status, &headers, body);
        error.retry.clear();
        return Err(ProviderError::Upstream(Box::new(error)));
    }
    Ok(body.into_value())
}

/// Asks an Ollama server for its version and returns `{"version": ...}` as it came.
///
/// Errors: 500 with the server's own words, or that it cannot be reached.
#[boxed]
pub async fn verify_ollama(
    http: &Http,
    url: &str,
    key: &str,
    config: Option<&Value>,
    context: &CallContext,
) -> Result<Value, ApiError> {
    let connection = Connection::adhoc(ProviderKind::Ollama, url, key, config);
    let headers = http.headers(&connection, context);
    let asked = async {
        let response = http
            .send(Outgoing::get(format!("{url}/api/version"), headers))
            .await?;
        let status = response.status();
        Ok((status, reply::read(response).await?))
    };
    match asked.await {
        Err(TransportError::Timeout) => Err(unexpected("")),
        Err(error) => {
            tracing::error!(error = error.for_log(), "provider connection failed");
            Err(server_connection_error())
        }
        Ok((StatusCode::OK, Body::Json(version))) => Ok(version),
        Ok((_, Body::Text(_))) => Err(server_connection_error()),
        Ok((status, Body::Json(body))) => Err(match body.get("error") {
            Some(error) => unexpected(&format!("External Error: {}", text_of(error))),
            None => unexpected(&format!("HTTP Error: {}", status.as_u16())),
        }),
    }
}

/// What one OpenAI-compatible server says of its models, as it says it; Azure's are those of the settings.
///
/// Errors: 500 with the server's own words, or that it cannot be reached.
#[boxed]
pub async fn list_models(
    http: &Http,
    connection: &Connection,
    context: &CallContext,
) -> Result<Value, ApiError> {
    if connection.is_azure() {
        return Ok(json!({ "data": connection.model_ids(), "object": "list" }));
    }
    if anthropic::is_anthropic(&connection.url) {
        let listed = anthropic::list_models(http, connection, context).await;
        return listed.map_err(|_| unexpected("Failed to connect to Anthropic API"));
    }
    let headers = http.headers(connection, context);
    let asked = async {
        let response = http
            .send(Outgoing::get(format!("{}/models", connection.url), headers))
            .await?;
        Ok((response.status(), reply::read(response).await?))
    };
    let failed = |error: TransportError| match error {
        TransportError::Timeout => unexpected(""),
        other => {
            tracing::error!(error = other.for_log(), "provider connection failed");
            server_connection_error()
        }
    };
    let (status, body) = asked.await.map_err(failed)?;
    if status != StatusCode::OK {
        return Err(match body {
            Body::Json(Value::Object(fields)) if fields.contains_key("error") => {
                unexpected(&format!("External Error: {}", text_of(&fields["error"])))
            }
            _ => unexpected(&format!("HTTP Error: {}", status.as_u16())),
        });
    }
    let Body::Json(mut listed) = body else {
        return Err(server_connection_error());
    };
    if connection.url.contains("api.openai.com")
        && let Some(models) = listed.get_mut("data").and_then(Value::as_array_mut)
    {
        models.retain(|model| {
            let id = model.get("id").and_then(Value::as_str).unwrap_or_default();
            !is_unsupported(id)
        });
    }
    Ok(listed)
}

fn unexpected(what: &str) -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("Unexpected error: {what}"),
    )
}

fn server_connection_error() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        messages::SERVER_CONNECTION_ERROR,
    )
}
