//! Chat Completions payloads turned into requests for Ollama's `/api/chat`.

use serde_json::{Map, Value, json};

use crate::python::truthy;

/// Options that Ollama takes beside its `options`, not inside.
pub(crate) const ROOT_OPTIONS: [&str; 3] = ["format", "keep_alive", "think"];

/// Parameters of Chat Completions that Ollama has under the same name among its options.
const SHARED_OPTIONS: [&str; 8] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
];

/// Turns a Chat Completions payload into an `/api/chat` request.
pub fn from_openai(payload: &Map<String, Value>) -> Map<String, Value> {
    let mut request = Map::new();
    request.insert(
        "model".to_owned(),
        payload.get("model").cloned().unwrap_or_default(),
    );
    let messages = payload
        .get("messages")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    request.insert("messages".to_owned(), messages.iter().map(message).collect());
    request.insert(
        "stream".to_owned(),
        payload.get("stream").cloned().unwrap_or(Value::Bool(false)),
    );
    if let Some(tools) = payload.get("tools").filter(|tools| !tools.is_null()) {
        request.insert("tools".to_owned(), tools.clone());
    }

    let given = payload
        .get("options")
        .and_then(Value::as_object)
        .filter(|options| !options.is_empty());
    let has_options = given.is_some();
    let mut options = given.cloned().unwrap_or_default();
    for name in ROOT_OPTIONS {
        if options.get(name).is_some_and(|value| !value.is_null())
            && let Some(value) = options.shift_remove(name)
        {
            request.insert(
                name.to_owned(),
                if name == "think" { value } else { parsed(value) },
            );
        }
    }
    if let Some(limit) = options.shift_remove("max_tokens") {
        options.insert("num_predict".to_owned(), limit);
    }
    if let Some(system) = options.shift_remove("system") {
        request.insert("system".to_owned(), system);
    }
    for (from, to) in [
        ("stop", "stop"),
        ("max_completion_tokens", "num_predict"),
        ("max_tokens", "num_predict"),
    ] {
        if let Some(value) = payload.get(from) {
            options.insert(to.to_owned(), value.clone());
        }
    }
    for name in SHARED_OPTIONS {
        if let Some(value) = payload.get(name).filter(|value| !value.is_null())
            && !options.contains_key(name)
        {
            options.insert(name.to_owned(), value.clone());
        }
    }
    if !request.contains_key("think")
        && let Some(effort) = payload.get("reasoning_effort").and_then(Value::as_str)
    {
        let think = if effort == "none" {
            json!(false)
        } else {
            json!(effort)
        };
        request.insert("think".to_owned(), think);
    }
    if has_options || !options.is_empty() {
        request.insert("options".to_owned(), Value::Object(options));
    }
    let wanted = payload.get("response_format");
    if let Some(format) = schema(wanted) {
        request.insert("format".to_owned(), format);
    } else if wanted.is_some_and(|wanted| wanted["type"] == "json_object") {
        request.insert("format".to_owned(), json!("json"));
    }
    request
}

/// Texts that hold JSON become that JSON.
pub(crate) fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

/// `{type: T, T: {schema}}` names the schema of the answer.
fn schema(format: Option<&Value>) -> Option<Value> {
    let format = format?;
    let named = format
        .get(format.get("type")?.as_str()?)
        .filter(|named| truthy(named))?;
    named.get("schema").cloned()
}

/// One message in Ollama's form: images apart from the text, tool arguments as objects, `thinking`.
fn message(message: &Value) -> Value {
    let mut converted = Map::new();
    converted.insert(
        "role".to_owned(),
        message.get("role").cloned().unwrap_or_default(),
    );
    let thinking = match message.get("thinking") {
        Some(thinking) => Some(thinking).filter(|thinking| !thinking.is_null()),
        None => ["reasoning_content", "reasoning"]
            .iter()
            .find_map(|name| message.get(*name).filter(|value| truthy(value))),
    };
    if let Some(thinking) = thinking {
        converted.insert("thinking".to_owned(), thinking.clone());
    }
    let calls = message
        .get("tool_calls")
        .and_then(Value::as_array)
        .filter(|calls| !calls.is_empty());
    match (message.get("content"), calls) {
        (content, Some(calls)) => {
            converted.insert("tool_calls".to_owned(), calls.iter().map(tool_call).collect());
            match content {
                Some(Value::Array(parts)) => add_parts(parts, &mut converted),
                Some(Value::String(text)) => {
                    converted.insert("content".to_owned(), Value::from(text.clone()));
                }
                _ => {}
            }
            // Ollama wants the field, said or not.
            converted.entry("content").or_insert_with(|| Value::from(""));
        }
        (Some(Value::String(text)), None) => {
            converted.insert("content".to_owned(), Value::from(text.clone()));
            if let Some(id) = message.get("tool_call_id").filter(|id| truthy(id)) {
                converted.insert("tool_call_id".to_owned(), id.clone());
            }
        }
        (Some(Value::Array(parts)), None) => add_parts(parts, &mut converted),
        _ => {}
    }
    Value::Object(converted)
}

fn tool_call(call: &Value) -> Value {
    let function = call.get("function");
    let field = |name: &str| function.and_then(|function| function.get(name)).cloned();
    json!({
        "index": call.get("index").cloned().unwrap_or_else(|| Value::from(0)),
        "id": call.get("id").cloned().unwrap_or_default(),
        "function": {
            "name": field("name").unwrap_or_else(|| Value::from("")),
            "arguments": arguments(field("arguments")),
        },
    })
}

/// Arguments as an object. A model may have written some that are none; Ollama then gets an empty object.
fn arguments(given: Option<Value>) -> Value {
    match given {
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "tool call arguments are no JSON");
            json!({})
        }),
        Some(Value::Null) | None => json!({}),
        Some(other) => other,
    }
}

fn add_parts(parts: &[Value], converted: &mut Map<String, Value>) {
    let mut text = String::new();
    let mut images = Vec::new();
    for part in parts {
        match part.get("type").and_then(Value::as_str) {
            Some("text") => text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
            Some("image_url") => {
                let url = part
                    .get("image_url")
                    .and_then(|image| image.get("url"))
                    .and_then(Value::as_str);
                images.extend(
                    url.filter(|url| !url.is_empty())
                        .map(|url| Value::from(image_data(url))),
                );
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        converted.insert("content".to_owned(), Value::from(text.trim()));
    }
    if !images.is_empty() {
        converted.insert("images".to_owned(), Value::Array(images));
    }
}

/// Ollama wants the base64 text of a data address alone.
fn image_data(url: &str) -> &str {
    if url.starts_with("data:") {
        url.rsplit(',').next().unwrap_or(url)
    } else {
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(payload: Value) -> Value {
        Value::Object(from_openai(payload.as_object().unwrap()))
    }

    #[test]
    fn options_find_their_places() {
        let found = converted(json!({
            "model": "m", "messages": [], "stream": true, "stop": ["x"], "max_tokens": 7, "temperature": 1, "top_p": null, "reasoning_effort": "low",
            "options": {"think": true, "keep_alive": "5m", "format": "{\"a\": 1}", "max_tokens": 3, "system": "s", "num_ctx": 4096},
        }));
        assert_eq!(
            found,
            json!({
                "model": "m", "messages": [], "stream": true, "format": {"a": 1}, "keep_alive": "5m", "think": true,
                "system": "s", "options": {"num_ctx": 4096, "num_predict": 7, "stop": ["x"], "temperature": 1},
            })
        );
        assert_eq!(
            converted(json!({"model": "m"})),
            json!({"model": "m", "messages": [], "stream": false})
        );
    }

    #[test]
    fn a_schema_becomes_the_format() {
        let format = json!({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}});
        assert_eq!(
            converted(json!({"response_format": format}))["format"],
            json!({"type": "object"})
        );
        let found = converted(json!({"response_format": {"type": "json_object"}}));
        assert_eq!(found["format"], "json");
        let found = converted(json!({"response_format": {"type": "text"}, "reasoning_effort": "none"}));
        assert_eq!((found.get("format"), &found["think"]), (None, &json!(false)));
    }

    #[test]
    fn messages_are_taken_apart() {
        let found = converted(json!({"messages": [
            {"role": "user", "content": [
                {"type": "text", "text": " see "},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
            ]},
            {"role": "assistant", "content": "x", "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"index": 1, "function": {"name": "g", "arguments": "broken"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ]}));
        assert_eq!(
            found["messages"],
            json!([
                {"role": "user", "content": "see", "images": ["QUJD", "http://x/y.png"]},
                {"role": "assistant", "thinking": "hm", "content": "x", "tool_calls": [
                    {"index": 0, "id": "c1", "function": {"name": "f", "arguments": {"a": 1}}},
                    {"index": 1, "id": null, "function": {"name": "g", "arguments": {}}},
                ]},
                {"role": "tool", "content": "r", "tool_call_id": "c1"},
            ])
        );
    }
}
