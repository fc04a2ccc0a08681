//! Azure's form of the OpenAI API: deployments in the path, the version in the query, the key in a
//! header of its own, and a closed list of parameters.

use http::HeaderMap;
use oui_core::ApiError;
use serde_json::{Map, Value};

use crate::connections::{AuthType, Connection};
use crate::headers::{put, put_secret};
use crate::openai_payload::{is_new_model, rename};
use crate::python::quote;

/// The version that is sent where a connection names none.
pub const DEFAULT_API_VERSION: &str = "2023-03-15-preview";

/// From this version on, `stream_options` is understood.
const STREAM_OPTIONS_SINCE: &str = "2024-09-01-preview";

const ALLOWED: [&str; 27] = [
    "messages",
    "temperature",
    "role",
    "content",
    "contentPart",
    "contentPartImage",
    "enhancements",
    "dataSources",
    "n",
    "stream",
    "stop",
    "max_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "function_call",
    "functions",
    "tools",
    "tool_choice",
    "top_p",
    "log_probs",
    "top_logprobs",
    "response_format",
    "seed",
    "max_completion_tokens",
    "reasoning_effort",
];

/// Whether the address is of the newer kind (`.../openai/v1`), which takes plain OpenAI requests.
pub fn is_v1(url: &str) -> bool {
    url.match_indices("/openai/v1")
        .any(|(at, found)| matches!(url.as_bytes().get(at + found.len()), None | Some(b'/')))
}

/// Adds Azure's key header, unless the connection signs in with Entra tokens.
pub(crate) fn add_key(headers: &mut HeaderMap, connection: &Connection) {
    if connection.auth_type() != AuthType::EntraId {
        put_secret(headers, "api-key", connection.key.expose());
    }
}

/// The address of `path` for a model, and the header that goes with it.
///
/// Errors: 400 when the model's name cannot be one path segment.
pub(crate) fn target(
    connection: &Connection,
    model: &str,
    path: &str,
    headers: &mut HeaderMap,
) -> Result<String, ApiError> {
    add_key(headers, connection);
    if is_v1(&connection.url) {
        return Ok(format!("{}/{path}", connection.url.trim_end_matches('/')));
    }
    let version = connection.api_version().unwrap_or(DEFAULT_API_VERSION);
    put(headers, "api-version", version);
    let deployment = segment(model)?;
    Ok(format!(
        "{}/openai/deployments/{deployment}/{path}?api-version={version}",
        connection.url
    ))
}

/// The address of the list of models.
pub(crate) fn models_url(connection: &Connection) -> String {
    if is_v1(&connection.url) {
        return format!("{}/models", connection.url.trim_end_matches('/'));
    }
    let version = connection
        .api_version()
        .filter(|version| !version.is_empty())
        .unwrap_or(DEFAULT_API_VERSION);
    format!("{}/openai/models?api-version={version}", connection.url)
}

/// Reduces a payload to what deployments accept. The newer kind of address takes it as it is.
pub fn reduce(connection: &Connection, payload: &mut Map<String, Value>) {
    if is_v1(&connection.url) {
        return;
    }
    let version = connection.api_version().unwrap_or(DEFAULT_API_VERSION);
    if is_new_model(payload.get("model").and_then(Value::as_str).unwrap_or_default()) {
        rename(payload, "max_tokens", "max_completion_tokens");
        if payload
            .get("temperature")
            .is_some_and(|value| value.as_f64() != Some(1.0))
        {
            payload.shift_remove("temperature");
        }
    }
    let streams = version >= STREAM_OPTIONS_SINCE;
    payload.retain(|name, _| ALLOWED.contains(&name.as_str()) || (streams && name == "stream_options"));
}

fn segment(model: &str) -> Result<String, ApiError> {
    if model.is_empty() || model.contains("..") || model.contains(['/', '\\']) {
        return Err(ApiError::bad_request(
            "Invalid model name: must not be empty or contain path separators or traversal sequences",
        ));
    }
    Ok(quote(model, b""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connections::ProviderKind;

    fn connection(url: &str, config: Value) -> Connection {
        Connection::adhoc(ProviderKind::OpenAi, url, "sk", Some(&config))
    }

    #[test]
    fn deployments_are_addressed_by_model_and_version() {
        let mut headers = HeaderMap::new();
        let azure = connection("https://x.azure.com", json!({"api_version": "2024-10-21"}));
        let url = target(&azure, "gpt 4", "chat/completions", &mut headers).unwrap();
        assert_eq!(
            url,
            "https://x.azure.com/openai/deployments/gpt%204/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(headers["api-version"], "2024-10-21");
        assert_eq!(headers["api-key"], "sk");
        assert_eq!(
            target(&azure, "../x", "p", &mut headers).unwrap_err().status(),
            400
        );
    }

    #[test]
    fn the_newer_kind_is_plain() {
        let mut headers = HeaderMap::new();
        let azure = connection("https://x.azure.com/openai/v1/", json!({"auth_type": "azure_ad"}));
        assert_eq!(
            target(&azure, "a/b", "responses", &mut headers).unwrap(),
            "https://x.azure.com/openai/v1/responses"
        );
        assert!(headers.is_empty());
        assert!(!is_v1("https://x/openai/v10") && is_v1("https://x/openai/v1"));
    }

    #[test]
    fn verification_lists_models() {
        let azure = connection("https://x.azure.com", json!({"api_version": ""}));
        assert_eq!(
            models_url(&azure),
            "https://x.azure.com/openai/models?api-version=2023-03-15-preview"
        );
    }

    #[test]
    fn payloads_are_reduced() {
        let mut payload = json!({
            "model": "o3-mini", "messages": [], "max_tokens": 5, "temperature": 0.5, "stream_options": {}, "top_k": 1,
        });
        let fields = payload.as_object_mut().unwrap();
        reduce(&connection("https://x", json!({})), fields);
        assert_eq!(payload, json!({"messages": [], "max_completion_tokens": 5}));
        let mut payload =
            json!({"model": "gpt-4", "max_tokens": 5, "temperature": 0.5, "stream_options": {}});
        reduce(
            &connection("https://x", json!({"api_version": "2025-01-01"})),
            payload.as_object_mut().unwrap(),
        );
        assert_eq!(
            payload,
            json!({"max_tokens": 5, "temperature": 0.5, "stream_options": {}})
        );
    }
}
