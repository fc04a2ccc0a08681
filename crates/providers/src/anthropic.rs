//! What differs for Anthropic's own servers among the OpenAI-compatible connections: the list of models.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::connections::Connection;
use crate::context::CallContext;
use crate::headers::{put, put_secret};
use crate::http::{Http, Outgoing, TransportError};
use crate::python::text_of;
use crate::reply::{self, Body};

/// Version that is asked for.
pub const API_VERSION: &str = "2023-06-01";

/// Pages of a list are at most this many, so that a server that never ends cannot hold us.
const MAX_PAGES: usize = 100;

/// Whether an address is Anthropic's.
pub fn is_anthropic(url: &str) -> bool {
    url.contains("api.anthropic.com")
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
        let body = reply::read(response).await?;
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
