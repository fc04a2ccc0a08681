//! Lists of models: fetching them from every connection at once and shaping them as clients know them.
//! Caching is the business of [`crate::catalogue`]; workspace models are added by other crates.

mod ollama;
mod openai;

use serde_json::{Value, json};

use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::{Http, Outgoing};
use crate::reply::{self, Body};

pub(crate) use ollama::{add_expiry, fetch_loaded, fetch_tags, merge as merge_ollama};
pub(crate) use openai::{fetch as fetch_openai, is_unsupported, merge as merge_openai};

/// A model's id without the connection's prefix.
pub fn strip_model_prefix<'a>(model: &'a str, prefix: Option<&str>) -> &'a str {
    prefix
        .filter(|prefix| !prefix.is_empty())
        .and_then(|prefix| model.strip_prefix(prefix)?.strip_prefix('.'))
        .unwrap_or(model)
}

/// Ollama models as base models: `{id, name, object, created, owned_by, ollama, loaded, connection_type, tags}`.
pub fn ollama_base_models<'a>(models: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    let base = |model: &Value| {
        let id = model.get("model").cloned().unwrap_or_default();
        json!({
            "id": id,
            "name": model.get("name").cloned().unwrap_or(id),
            "object": "model",
            "created": 0,
            "owned_by": "ollama",
            "ollama": model,
            "loaded": model.get("expires_at").is_some(),
            "connection_type": model.get("connection_type").cloned().unwrap_or_else(|| Value::from("local")),
            "tags": model.get("tags").cloned().unwrap_or_else(|| json!([])),
        })
    };
    models.into_iter().map(base).collect()
}

/// Why a list did not come. The text holds no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListError {
    /// The time for lists ran out.
    Timeout,
    /// Anything else.
    Failed(String),
}

/// The JSON at `url`, whatever its status: error objects simply hold no models.
pub(crate) async fn fetch_json(
    http: &Http,
    connection: &Connection,
    path: &str,
    context: &CallContext,
) -> Result<Value, ListError> {
    let headers = http.headers(connection, context);
    let request = Outgoing::get(format!("{}{path}", connection.url), headers);
    let answered = async { reply::read(http.send(request).await?).await };
    match answered.await {
        Ok(Body::Json(value)) => Ok(value),
        Ok(Body::Text(_)) => Err(ListError::Failed("the answer is no JSON".to_owned())),
        Err(crate::http::TransportError::Timeout) => Err(ListError::Timeout),
        Err(error) => Err(ListError::Failed(error.to_string())),
    }
}
