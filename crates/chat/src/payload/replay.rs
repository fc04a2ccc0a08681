//! Stored messages as providers take them: output items become assistant and tool messages, our own fields go.

use serde_json::{Map, Value, json};

use crate::catalogue::Model;
use crate::output_tags::CODE_ITEM;
use crate::turn::truthy;

/// How a provider wants to see earlier reasoning again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reasoning {
    /// Not at all.
    Dropped,
    /// In a field of this name.
    Field(&'static str),
}

fn reasoning_for(model: &Model) -> Reasoning {
    if model.owned_by() == "ollama" {
        Reasoning::Field("thinking")
    } else if model.json["provider"] == "llama.cpp" {
        Reasoning::Field("reasoning_content")
    } else {
        Reasoning::Dropped
    }
}

/// Fields of stored messages that no provider knows.
const OWN_FIELDS: &[&str] = &[
    "id",
    "output",
    "model",
    "contextSummary",
    "context_summary",
    "usage",
    "meta",
    "files",
    "parentId",
    "childrenIds",
    "timestamp",
    "user_id",
    "user",
    "models",
    "done",
    "statusHistory",
    "sources",
    "embeds",
    "error",
    "info",
    "followUps",
    "modelIdx",
    "modelName",
    "selectedModelId",
    "annotation",
    "favorite",
    "originalContent",
];

/// What a round of tool calls looks like to the model that made them.
pub(super) fn round(items: &[Value], model: &Model) -> Vec<Value> {
    paired(from_output(items, reasoning_for(model), true))
}

/// What a question names as attached: files by their ids, and chats.
fn attached(message: &Value) -> Option<String> {
    let text = |file: &Value, name: &str| {
        let value = file.get(name).and_then(Value::as_str).unwrap_or_default();
        value.to_owned()
    };
    let tag = |file: &Value| {
        let (id, url) = (text(file, "id"), text(file, "url"));
        let is_chat = file["type"] == "chat" && !id.is_empty();
        if !is_chat && (url.is_empty() || url.starts_with("data:")) {
            return None;
        }
        let kind = file.get("type").and_then(Value::as_str).unwrap_or("file");
        let mut tag = format!(
            "<file type=\"{kind}\" id=\"{}\"",
            if id.is_empty() { &url } else { &id }
        );
        for name in ["url", "content_type", "name"] {
            let value = text(file, name);
            if !value.is_empty() {
                tag.push_str(&format!(" {name}=\"{value}\""));
            }
        }
        Some(tag + "/>")
    };
    let files = message.get("files").and_then(Value::as_array)?;
    let tags: Vec<String> = files.iter().filter_map(tag).collect();
    (!tags.is_empty()).then(|| format!("<attached_files>\n{}\n</attached_files>\n\n", tags.join("\n")))
}

/// Puts the names of what is attached before the text of a question.
fn name_files(message: &mut Value) {
    let Some(names) = attached(message).filter(|_| message["role"] == "user") else {
        return;
    };
    match &mut message["content"] {
        Value::Array(parts) => parts.insert(0, json!({ "type": "text", "text": names })),
        content => *content = json!(format!("{names}{}", content.as_str().unwrap_or_default())),
    }
}

/// Turns messages into those of a Chat Completions request. With `names` questions tell what was attached to them.
pub(super) fn to_provider(messages: Vec<Value>, model: &Model, names: bool) -> Vec<Value> {
    let reasoning = reasoning_for(model);
    let mut out = Vec::with_capacity(messages.len());
    for mut message in messages {
        if names {
            name_files(&mut message);
        }
        let output = message
            .get("output")
            .and_then(Value::as_array)
            .filter(|items| !items.is_empty());
        if let Some(items) = output.filter(|_| message["role"] == "assistant") {
            let same_model = message["model"] == model.id.as_str();
            let converted = from_output(items, reasoning, same_model);
            if !converted.is_empty() {
                out.extend(converted);
                continue;
            }
            if !message.get("content").is_some_and(truthy) {
                continue;
            }
        }
        let Value::Object(mut plain) = message else {
            continue;
        };
        plain.retain(|name, _| !OWN_FIELDS.contains(&name.as_str()));
        out.push(Value::Object(plain));
    }
    paired(out)
}

struct Pending {
    text: Vec<String>,
    calls: Vec<Value>,
    reasoning: Vec<String>,
    details: Vec<Value>,
}

impl Pending {
    fn flush(&mut self, reasoning: Reasoning, out: &mut Vec<Value>) {
        if self.text.is_empty()
            && self.calls.is_empty()
            && self.reasoning.is_empty()
            && self.details.is_empty()
        {
            return;
        }
        let mut message = Map::new();
        message.insert("role".into(), json!("assistant"));
        message.insert("content".into(), json!(self.text.join("\n")));
        if !self.calls.is_empty() {
            message.insert("tool_calls".into(), Value::Array(std::mem::take(&mut self.calls)));
        }
        if let (Reasoning::Field(name), false) = (reasoning, self.reasoning.is_empty()) {
            message.insert(name.into(), json!(self.reasoning.join("\n")));
        }
        if !self.details.is_empty() {
            message.insert(
                "reasoning_details".into(),
                Value::Array(std::mem::take(&mut self.details)),
            );
        }
        self.text.clear();
        self.reasoning.clear();
        out.push(Value::Object(message));
    }
}

/// Output items as messages: text and tool calls as assistant messages, results as tool messages. Calls without a
/// result are left out.
fn from_output(items: &[Value], reasoning: Reasoning, same_model: bool) -> Vec<Value> {
    let answered: Vec<&Value> = items
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| &item["call_id"])
        .collect();
    let mut pending = Pending {
        text: Vec::new(),
        calls: Vec::new(),
        reasoning: Vec::new(),
        details: Vec::new(),
    };
    let mut out = Vec::new();
    let mut pictures: Vec<Value> = Vec::new();
    for item in items {
        if item["type"] != "function_call_output" {
            show_pictures(&mut pictures, &mut out);
        }
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                if !pending.calls.is_empty() {
                    pending.flush(reasoning, &mut out);
                }
                let text = text_of(&item["content"]);
                if !text.is_empty() {
                    pending.text.push(text);
                }
            }
            "reasoning" => {
                if reasoning != Reasoning::Dropped {
                    pending.reasoning.push(text_of(&item["content"]));
                }
                if let Some(details) = item["reasoning_details"].as_array().filter(|_| same_model) {
                    pending.details.extend(details.iter().cloned());
                }
            }
            "function_call" if answered.contains(&&item["call_id"]) => pending.calls.push(json!({
                "id": item["call_id"], "type": "function",
                "function": called(item),
            })),
            CODE_ITEM => pending.text.extend(code_texts(item)),
            "function_call_output" => {
                pending.flush(reasoning, &mut out);
                out.push(json!({
                    "role": "tool", "tool_call_id": item["call_id"], "content": text_of(&item["output"]),
                }));
                let parts = item["output"].as_array().into_iter().flatten();
                pictures.extend(parts.filter_map(|part| part.get("image_url").cloned()));
            }
            _ => {}
        }
    }
    pending.flush(reasoning, &mut out);
    show_pictures(&mut pictures, &mut out);
    out
}

/// The call as the model wrote it.
fn called(item: &Value) -> Value {
    let written = item
        .get("provider_function")
        .filter(|written| written.is_object())
        .unwrap_or(item);
    json!({ "name": written["name"], "arguments": written["arguments"] })
}

/// Code that was run and what came of it, so that the model does not have it run again.
fn code_texts(item: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let told = |tag: &str, text: &str| format!("<{tag}>\n{text}\n</{tag}>");
    if let Some(code) = item["code"].as_str().filter(|code| !code.is_empty()) {
        texts.push(told("code_interpreter", code));
    }
    let output = &item["output"];
    let shown = match output {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).filter(|value| truthy(value));
            match field("stdout").or_else(|| field("result")) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            }
        }
        other => other.to_string(),
    };
    if !shown.is_empty() {
        texts.push(told("code_interpreter_output", &shown));
    }
    texts
}

/// Providers take no pictures in results of tools, so they come as a message of the user.
fn show_pictures(pictures: &mut Vec<Value>, out: &mut Vec<Value>) {
    if pictures.is_empty() {
        return;
    }
    let mut parts = vec![json!({ "type": "text", "text": "The tools above answered with these pictures." })];
    for url in pictures.drain(..) {
        parts.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    out.push(json!({ "role": "user", "content": parts }));
}

fn text_of(parts: &Value) -> String {
    let parts = parts.as_array().into_iter().flatten();
    parts
        .filter_map(|part| part["text"].as_str())
        .collect::<Vec<_>>()
        .concat()
}

/// Drops tool calls without result and results without call: providers refuse them.
fn paired(messages: Vec<Value>) -> Vec<Value> {
    let calls: Vec<Value> = messages
        .iter()
        .flat_map(|message| message["tool_calls"].as_array().into_iter().flatten())
        .map(|call| call["id"].clone())
        .collect();
    let results: Vec<Value> = messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["tool_call_id"].clone())
        .collect();
    let mut out = Vec::with_capacity(messages.len());
    for mut message in messages {
        if message["role"] == "tool" && !calls.contains(&message["tool_call_id"]) {
            continue;
        }
        if let Some(list) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
            list.retain(|call| results.contains(&call["id"]));
            if list.is_empty() {
                if let Some(fields) = message.as_object_mut() {
                    fields.shift_remove("tool_calls");
                }
                if !message.get("content").is_some_and(truthy) {
                    continue;
                }
            }
        }
        out.push(message);
    }
    out
}

/// Drops empty text parts and joins system messages into the first.
pub(super) fn normalize(messages: Vec<Value>) -> Vec<Value> {
    let mut systems: Vec<String> = Vec::new();
    let mut rest = Vec::with_capacity(messages.len());
    for mut message in messages {
        if let Some(parts) = message.get_mut("content").and_then(Value::as_array_mut) {
            parts.retain(|part| {
                part["type"] != "text" || part["text"].as_str().is_some_and(|t| !t.trim().is_empty())
            });
        }
        match (message["role"] == "system", message["content"].as_str()) {
            (true, Some(text)) => systems.push(text.to_owned()),
            (true, None) => systems.push(text_of(&message["content"])),
            _ => rest.push(message),
        }
    }
    if !systems.is_empty() {
        rest.insert(0, json!({ "role": "system", "content": systems.join("\n") }));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(owned_by: &str) -> Model {
        Model {
            id: "m".into(),
            json: json!({"id": "m", "owned_by": owned_by}),
            registered: None,
        }
    }

    #[test]
    fn output_becomes_messages_with_tool_pairs() {
        let message = json!({"role": "assistant", "content": "x", "output": [
            {"type": "reasoning", "content": [{"text": "hm"}]},
            {"type": "message", "content": [{"text": "let me see"}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "42"}]},
            {"type": "message", "content": [{"text": "it is 42"}]},
        ]});
        let sent = to_provider(vec![message.clone()], &model("openai"), false);
        assert_eq!(
            Value::Array(sent),
            json!([
                {"role": "assistant", "content": "let me see",
                 "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "42"},
                {"role": "assistant", "content": "it is 42"},
            ])
        );
        assert_eq!(
            to_provider(vec![message], &model("ollama"), false)[0]["thinking"],
            "hm"
        );
    }

    #[test]
    fn own_fields_do_not_travel() {
        let sent = to_provider(
            vec![json!({"id": "1", "role": "user", "content": "hi", "parentId": null, "files": []})],
            &model("openai"),
            false,
        );
        assert_eq!(sent, [json!({"role": "user", "content": "hi"})]);
    }

    #[test]
    fn attached_files_are_named() {
        let files = json!([
            {"type": "file", "id": "f", "url": "f", "name": "a.txt", "content_type": "text/plain"},
            {"type": "image", "url": "data:image/png;base64,A"}, {"type": "chat", "id": "c", "name": "Old"},
        ]);
        let message = json!({"role": "user", "content": "hi", "files": files});
        let sent = to_provider(vec![message.clone()], &model("openai"), true);
        assert_eq!(
            sent[0]["content"],
            "<attached_files>\n<file type=\"file\" id=\"f\" url=\"f\" content_type=\"text/plain\" name=\"a.txt\"/>\n\
             <file type=\"chat\" id=\"c\" name=\"Old\"/>\n</attached_files>\n\nhi"
        );
        assert_eq!(
            to_provider(vec![message], &model("openai"), false)[0]["content"],
            "hi"
        );
    }

    #[test]
    fn system_messages_are_joined() {
        let messages = vec![
            json!({"role": "system", "content": "a"}),
            json!({"role": "user", "content": "q"}),
            json!({"role": "system", "content": "b"}),
        ];
        assert_eq!(
            normalize(messages)[0],
            json!({"role": "system", "content": "a\nb"})
        );
    }
}
