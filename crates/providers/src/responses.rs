//! The Responses API: Chat Completions payloads turned into its requests, and its whole answers turned
//! back. Its streams are read in [`crate::responses_stream`].

use serde_json::{Map, Value, json};

use crate::openai_payload::rename;
use crate::python::{text_of, truthy};

/// Parameters of Chat Completions that the Responses API refuses.
const UNSUPPORTED: [&str; 5] = [
    "stream_options",
    "logit_bias",
    "frequency_penalty",
    "presence_penalty",
    "stop",
];

/// Turns a Chat Completions payload into a Responses request.
pub fn from_chat(mut payload: Map<String, Value>) -> Map<String, Value> {
    let messages = payload.shift_remove("messages").unwrap_or_default();
    let mut system = String::new();
    let mut input = Vec::new();
    for message in messages.as_array().map(Vec::as_slice).unwrap_or_default() {
        add_message(message, &mut system, &mut input);
    }
    payload.insert("input".to_owned(), Value::Array(input));
    if !payload.get("previous_response_id").is_some_and(truthy) {
        payload.shift_remove("previous_response_id");
    }
    if !system.is_empty() {
        payload.insert("instructions".to_owned(), Value::from(system));
    }
    rename(&mut payload, "max_tokens", "max_output_tokens");
    rename(&mut payload, "max_completion_tokens", "max_output_tokens");
    for name in UNSUPPORTED {
        payload.shift_remove(name);
    }
    if let Some(tools) = payload.get_mut("tools").and_then(Value::as_array_mut) {
        tools.iter_mut().for_each(flatten_tool);
    }
    if let Some(function) = payload
        .get("tool_choice")
        .and_then(|choice| choice.get("function"))
        && function.is_object()
    {
        let name = function.get("name").cloned().unwrap_or_else(|| Value::from(""));
        payload.insert(
            "tool_choice".to_owned(),
            json!({ "type": "function", "name": name }),
        );
    }
    payload
}

fn add_message(message: &Value, system: &mut String, input: &mut Vec<Value>) {
    if let Some(stored) = message
        .get("output")
        .and_then(Value::as_array)
        .filter(|items| !items.is_empty())
    {
        input.extend(stored.iter().map(replayable));
        return;
    }
    let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
    let empty = Value::from("");
    let content = message.get("content").unwrap_or(&empty);
    match role {
        "system" => match content {
            Value::String(text) => *system = text.clone(),
            Value::Array(parts) => *system = part_texts(parts),
            _ => {}
        },
        "assistant" if message.get("tool_calls").is_some_and(truthy) => {
            add_tool_calls(content, &message["tool_calls"], input);
        }
        "tool" => input.push(json!({
            "type": "function_call_output",
            "call_id": message.get("tool_call_id").unwrap_or(&empty),
            "output": content,
        })),
        _ => {
            let parts = content_parts(
                content,
                if role == "assistant" {
                    "output_text"
                } else {
                    "input_text"
                },
            );
            input.push(json!({ "type": "message", "role": role, "content": parts }));
        }
    }
}

/// The text parts of a content list, one per line.
fn part_texts(parts: &[Value]) -> String {
    let texts = parts
        .iter()
        .filter(|part| part.get("type").and_then(Value::as_str) == Some("text"));
    let texts: Vec<_> = texts
        .map(|part| part.get("text").and_then(Value::as_str).unwrap_or_default())
        .collect();
    texts.join("\n")
}

fn add_tool_calls(content: &Value, calls: &Value, input: &mut Vec<Value>) {
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => part_texts(parts),
        _ => String::new(),
    };
    if !text.trim().is_empty() {
        let part = json!({ "type": "output_text", "text": text });
        input.push(json!({ "type": "message", "role": "assistant", "content": [part] }));
    }
    for call in calls.as_array().map(Vec::as_slice).unwrap_or_default() {
        let field = |name: &str, fallback: &str| {
            let found = call.get("function").and_then(|function| function.get(name));
            found.cloned().unwrap_or_else(|| Value::from(fallback))
        };
        input.push(json!({
            "type": "function_call",
            "call_id": call.get("id").cloned().unwrap_or_else(|| Value::from("")),
            "name": field("name", ""),
            "arguments": field("arguments", "{}"),
        }));
    }
}

fn content_parts(content: &Value, text_type: &str) -> Vec<Value> {
    let Value::Array(parts) = content else {
        return vec![json!({ "type": text_type, "text": text_of(content) })];
    };
    parts
        .iter()
        .filter_map(|part| content_part(part, text_type))
        .collect()
}

fn content_part(part: &Value, text_type: &str) -> Option<Value> {
    match part.get("type").and_then(Value::as_str)? {
        "text" => {
            let text = part.get("text").cloned().unwrap_or_else(|| Value::from(""));
            Some(json!({ "type": text_type, "text": text }))
        }
        "image_url" => {
            let image = part.get("image_url");
            let field = |name: &str| image.and_then(|image| image.get(name)).and_then(Value::as_str);
            let url = image
                .and_then(Value::as_str)
                .or_else(|| field("url"))
                .unwrap_or_default();
            let detail = field("detail")
                .filter(|detail| !detail.is_empty())
                .unwrap_or("auto");
            Some(json!({ "type": "input_image", "image_url": url, "detail": detail }))
        }
        "file" => {
            let file = part.get("file")?.as_object()?;
            if !file.contains_key("file_id") && !file.contains_key("file_data") {
                return None;
            }
            let mut converted = json!({ "type": "input_file" });
            for name in ["file_id", "file_data", "filename"] {
                if let Some(value) = file.get(name) {
                    converted[name] = value.clone();
                }
            }
            Some(converted)
        }
        _ => None,
    }
}

/// An output item of an earlier turn, reduced to what may be sent again. Unknown types stay as they are.
fn replayable(item: &Value) -> Value {
    let kept: &[&str] = match item.get("type").and_then(Value::as_str).unwrap_or_default() {
        "message" => &["type", "role", "content"],
        "function_call" => &["type", "call_id", "name", "arguments", "id"],
        "function_call_output" => &["type", "call_id", "output"],
        "reasoning" => &["type", "id", "summary", "encrypted_content", "content"],
        _ => return item.clone(),
    };
    let mut item = item.clone();
    if item.get("type").and_then(Value::as_str) == Some("function_call") {
        // What the model called may differ from what was run and shown in its place.
        let called = item
            .get("provider_function")
            .filter(|called| called.is_object())
            .unwrap_or(&item);
        let name = called.get("name").cloned().unwrap_or_else(|| Value::from(""));
        let arguments = match called.get("arguments") {
            None => Value::from("{}"),
            Some(Value::String(text)) => Value::from(text.clone()),
            Some(other) => Value::from(other.to_string()),
        };
        item["name"] = name;
        item["arguments"] = arguments;
    }
    if let Some(fields) = item.as_object_mut() {
        fields.retain(|name, _| kept.contains(&name.as_str()));
    }
    item
}

/// `{type, function: {name, ...}}` becomes `{type, name, ...}`; `strict` is said, for the defaults differ.
fn flatten_tool(tool: &mut Value) {
    let Some(function) = tool.get("function") else {
        return;
    };
    let mut flat = Map::new();
    flat.insert(
        "type".to_owned(),
        tool.get("type")
            .cloned()
            .unwrap_or_else(|| Value::from("function")),
    );
    if let Some(function) = function.as_object() {
        flat.insert(
            "name".to_owned(),
            function.get("name").cloned().unwrap_or_else(|| Value::from("")),
        );
        for name in ["description", "parameters"] {
            if let Some(value) = function.get(name) {
                flat.insert(name.to_owned(), value.clone());
            }
        }
        flat.insert(
            "strict".to_owned(),
            function.get("strict").cloned().unwrap_or(Value::Bool(false)),
        );
    }
    *tool = Value::Object(flat);
}

/// Turns a whole Responses answer into a chat completion.
pub fn to_chat(response: &Value) -> Value {
    let mut content = String::new();
    let mut calls = Vec::new();
    for item in response
        .get("output")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        match item.get("type").and_then(Value::as_str) {
            Some("message") => {
                let parts = item.get("content").and_then(Value::as_array);
                let texts = parts.into_iter().flatten();
                let texts =
                    texts.filter(|part| part.get("type").and_then(Value::as_str) == Some("output_text"));
                content.extend(texts.filter_map(|part| part.get("text").and_then(Value::as_str)));
            }
            Some("function_call") => calls.push(tool_call(item)),
            _ => {}
        }
    }
    let field = |name: &str, fallback: Value| response.get(name).cloned().unwrap_or(fallback);
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let mut message = json!({ "role": "assistant", "content": content });
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    json!({
        "id": field("id", Value::from("")),
        "object": "chat.completion",
        "model": field("model", Value::from("")),
        "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        "usage": field("usage", json!({})),
    })
}

fn tool_call(item: &Value) -> Value {
    let arguments = match item.get("arguments") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = |name: &str| item.get(name).cloned().unwrap_or_else(|| Value::from(""));
    json!({
        "id": text("call_id"),
        "type": "function",
        "function": { "name": text("name"), "arguments": arguments },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(payload: Value) -> Value {
        let Value::Object(payload) = payload else {
            panic!("an object")
        };
        Value::Object(from_chat(payload))
    }

    #[test]
    fn messages_become_input_items() {
        let found = converted(json!({
            "model": "m", "stream": true, "max_tokens": 9, "stop": ["x"], "stream_options": {}, "previous_response_id": null,
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:x"}},
                    {"type": "file", "file": {"file_id": "f", "other": 1}},
                    {"type": "file", "file": {"filename": "f"}},
                ]},
                {"role": "assistant", "content": " ", "tool_calls": [{"id": "c", "function": {"name": "n", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
                {"role": "assistant", "content": "done"},
            ],
        }));
        assert_eq!(
            found,
            json!({
                "model": "m", "stream": true, "instructions": "a\nb", "max_output_tokens": 9,
                "input": [
                    {"type": "message", "role": "user", "content": [
                        {"type": "input_text", "text": "look"},
                        {"type": "input_image", "image_url": "data:x", "detail": "auto"},
                        {"type": "input_file", "file_id": "f"},
                    ]},
                    {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "r"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
                ],
            })
        );
    }

    #[test]
    fn stored_items_are_replayed_without_bookkeeping() {
        let found = converted(json!({"messages": [{"role": "assistant", "output": [
            {"type": "reasoning", "id": "r", "status": "completed", "summary": [], "started_at": 1},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "shown", "arguments": {}, "status": "x",
             "provider_function": {"name": "called", "arguments": {"a": 1}}},
            {"type": "web_search_call", "status": "completed"},
        ]}]}));
        assert_eq!(
            found["input"],
            json!([
                {"type": "reasoning", "id": "r", "summary": []},
                {"type": "function_call", "id": "f", "call_id": "c", "name": "called", "arguments": "{\"a\":1}"},
                {"type": "web_search_call", "status": "completed"},
            ])
        );
    }

    #[test]
    fn tools_are_flattened() {
        let found = converted(json!({
            "tools": [
                {"type": "function", "function": {"name": "n", "description": "d", "parameters": {}}},
                {"type": "web_search"},
            ],
            "tool_choice": {"type": "function", "function": {"name": "n"}},
        }));
        assert_eq!(
            found,
            json!({
                "tools": [
                    {"type": "function", "name": "n", "description": "d", "parameters": {}, "strict": false},
                    {"type": "web_search"},
                ],
                "tool_choice": {"type": "function", "name": "n"},
                "input": [],
            })
        );
    }

    #[test]
    fn answers_become_completions() {
        let found = to_chat(&json!({
            "id": "resp", "model": "m", "usage": {"input_tokens": 1},
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal"}, {"type": "output_text", "text": "b"}]},
                {"type": "function_call", "call_id": "c", "name": "n", "arguments": {"x": 1}},
            ],
        }));
        let choice = &found["choices"][0];
        assert_eq!(
            (&found["id"], &found["usage"], &choice["finish_reason"]),
            (&json!("resp"), &json!({"input_tokens": 1}), &json!("tool_calls"))
        );
        assert_eq!(choice["message"]["content"], "ab");
        assert_eq!(
            choice["message"]["tool_calls"][0]["function"],
            json!({"name": "n", "arguments": "{\"x\":1}"})
        );
        assert_eq!(
            to_chat(&json!({}))["choices"][0],
            json!({"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"})
        );
    }
}
