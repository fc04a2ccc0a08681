//! Requests in the form of Anthropic's Messages API turned into Chat Completions payloads. Whatever both forms
//! can say is kept, markers for prompt caches among it.

use serde_json::{Map, Value, json};

use crate::python::{text_of, truthy};

/// Fields that the conversion reads; the others pass only where a connection lets them.
const CONVERTED: [&str; 14] = [
    "model",
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "service_tier",
    "tools",
    "tool_choice",
    "reasoning_effort",
];

/// Which of the fields that have no counterpart reach the provider all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed(Vec<String>);

impl Passed {
    /// Reads a connection's `passthrough_params`: a list of names, or a text of them with commas between; `*` is all.
    pub fn read(setting: Option<&Value>) -> Self {
        let names: Vec<String> = match setting {
            Some(Value::String(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            Some(Value::Array(list)) => list.iter().map(|name| text_of(name).trim().to_owned()).collect(),
            _ => Vec::new(),
        };
        Self(names.into_iter().filter(|name| !name.is_empty()).collect())
    }

    fn lets(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == "*" || known == name)
    }
}

/// Turns a Messages request into a Chat Completions payload.
pub fn to_chat(request: &Map<String, Value>, passed: &Passed) -> Map<String, Value> {
    let mut chat = Map::new();
    let mut messages = Vec::new();
    if let Some(system) = request.get("system").filter(|system| truthy(system)) {
        add_system(system, &mut messages);
    }
    for message in request
        .get("messages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        add_message(message, &mut messages);
    }
    chat.insert(
        "model".into(),
        request.get("model").cloned().unwrap_or_else(|| json!("")),
    );
    chat.insert("messages".into(), Value::Array(messages));
    for (name, value) in request {
        if !CONVERTED.contains(&name.as_str()) && passed.lets(name) {
            chat.insert(name.clone(), value.clone());
        }
    }
    if let Some(config) = request.get("output_config").and_then(Value::as_object) {
        add_output_config(config, &mut chat);
    }
    const COMMON: [(&str, &str); 9] = [
        ("max_tokens", "max_tokens"),
        ("reasoning_effort", "reasoning_effort"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("stop_sequences", "stop"),
        ("stream", "stream"),
        ("metadata", "metadata"),
        ("service_tier", "service_tier"),
    ];
    for (from, to) in COMMON {
        if let Some(value) = request.get(from) {
            chat.insert(to.into(), value.clone());
        }
    }
    // Servers refuse an empty list of tools, and a choice without one.
    if let Some(tools) = request
        .get("tools")
        .and_then(Value::as_array)
        .filter(|tools| !tools.is_empty())
    {
        chat.insert("tools".into(), tools.iter().map(tool).collect());
        if let Some(choice) = request.get("tool_choice").and_then(Value::as_object) {
            add_tool_choice(choice, &mut chat);
        }
    }
    chat
}

fn add_system(system: &Value, messages: &mut Vec<Value>) {
    let content = match system {
        Value::String(text) => json!(text),
        Value::Array(blocks) => {
            let part = |block: &Value| match block {
                Value::String(text) => Some(json!({ "type": "text", "text": text })),
                _ if kind(block) == "text" && block.get("type").is_some() => Some(text_part(block)),
                _ => None,
            };
            joined(blocks.iter().filter_map(part).collect())
        }
        _ => return,
    };
    messages.push(json!({ "role": "system", "content": content }));
}

fn add_message(message: &Value, messages: &mut Vec<Value>) {
    let role = message.get("role").cloned().unwrap_or_else(|| json!("user"));
    let blocks = match message.get("content") {
        Some(Value::Array(blocks)) => blocks,
        Some(Value::String(text)) => {
            messages.push(json!({ "role": role, "content": text }));
            return;
        }
        other => {
            let text = other
                .filter(|content| truthy(content))
                .map(text_of)
                .unwrap_or_default();
            messages.push(json!({ "role": role, "content": text }));
            return;
        }
    };
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        match kind(block) {
            "tool_use" => calls.push(tool_call(block)),
            // Results are messages of their own.
            "tool_result" => messages.push(json!({
                "role": "tool",
                "tool_call_id": field(block, "tool_use_id"),
                "content": tool_result(block),
            })),
            // A provider can only take back what it has signed.
            "thinking" if !block.get("signature").is_some_and(truthy) => {}
            "thinking" | "redacted_thinking" => parts.push(block.clone()),
            _ => parts.extend(part(block)),
        }
    }
    if !calls.is_empty() {
        messages.push(json!({ "role": role, "content": joined(parts), "tool_calls": calls }));
    } else if !parts.is_empty() || role == "assistant" {
        messages.push(json!({ "role": role, "content": joined(parts) }));
    }
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or("text")
}

fn field(block: &Value, name: &str) -> Value {
    block.get(name).cloned().unwrap_or_else(|| json!(""))
}

fn text_field<'a>(block: &'a Value, name: &str) -> &'a str {
    block.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The content of a message: a text where one plain text part is all there is.
fn joined(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [] => json!(""),
        [only] if kind(only) == "text" && only.get("cache_control").is_none() => field(only, "text"),
        _ => Value::Array(parts),
    }
}

/// `to` with the cache marker of `from`.
fn marked(from: &Value, mut to: Value) -> Value {
    if let Some(marker) = from.get("cache_control") {
        to["cache_control"] = marker.clone();
    }
    to
}

fn text_part(block: &Value) -> Value {
    marked(block, json!({ "type": "text", "text": field(block, "text") }))
}

/// A block of a message or of a tool's result as a content part; blocks without any counterpart are left out.
fn part(block: &Value) -> Option<Value> {
    match kind(block) {
        "text" => Some(text_part(block)),
        "image" => image(block),
        "document" => Some(marked(block, document(block))),
        "search_result" => Some(marked(
            block,
            json!({ "type": "text", "text": search_result(block) }),
        )),
        _ => None,
    }
}

fn image(block: &Value) -> Option<Value> {
    let source = block.get("source")?;
    let url = match text_field(source, "type") {
        "base64" => {
            let media = source
                .get("media_type")
                .and_then(Value::as_str)
                .unwrap_or("image/png");
            format!("data:{media};base64,{}", text_field(source, "data"))
        }
        "url" => text_field(source, "url").to_owned(),
        _ => return None,
    };
    Some(marked(
        block,
        json!({ "type": "image_url", "image_url": { "url": url } }),
    ))
}

/// A document: bytes are a file, everything else a text with its title before it.
fn document(block: &Value) -> Value {
    let source = block.get("source").unwrap_or(&Value::Null);
    let title = block.get("title").and_then(Value::as_str).unwrap_or("Document");
    if text_field(source, "type") == "base64" {
        let media = source
            .get("media_type")
            .and_then(Value::as_str)
            .unwrap_or("application/pdf");
        let data = format!("data:{media};base64,{}", text_field(source, "data"));
        return json!({ "type": "file", "file": { "filename": title, "file_data": data } });
    }
    if text_field(source, "type") == "file" {
        return json!({ "type": "file", "file": { "file_id": field(source, "file_id") } });
    }
    let mut text = format!("[Document: {title}]");
    let body = match text_field(source, "type") {
        "text" => text_field(source, "data").to_owned(),
        "url" => text_field(source, "url").to_owned(),
        "content" => texts(source.get("content")),
        _ => String::new(),
    };
    for more in [text_field(block, "context"), &body] {
        if !more.is_empty() {
            text.push('\n');
            text.push_str(more);
        }
    }
    json!({ "type": "text", "text": text })
}

fn search_result(block: &Value) -> String {
    let mut text = format!("[Search Result: {}]", text_field(block, "title"));
    let source = text_field(block, "source");
    if !source.is_empty() {
        text.push_str(&format!("\nSource: {source}"));
    }
    let body = texts(block.get("content"));
    if !body.is_empty() {
        text.push_str(&format!("\n{body}"));
    }
    text
}

/// The texts of a content field, one per line.
fn texts(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let found: Vec<_> = blocks
                .iter()
                .filter(|block| kind(block) == "text")
                .map(|block| text_field(block, "text"))
                .collect();
            found.join("\n")
        }
        _ => String::new(),
    }
}

fn tool_call(block: &Value) -> Value {
    let arguments = match block.get("input") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(input) => input.to_string(),
    };
    json!({
        "id": field(block, "id"),
        "type": "function",
        "function": { "name": field(block, "name"), "arguments": arguments },
    })
}

/// The content of a tool's message: a text where the result is nothing but texts.
fn tool_result(block: &Value) -> Value {
    let failed = block.get("is_error").is_some_and(truthy);
    let mut content = match block.get("content") {
        Some(Value::String(text)) => json!(text),
        Some(Value::Array(blocks)) => {
            let parts: Vec<Value> = blocks
                .iter()
                .filter(|block| block.is_object())
                .filter_map(part)
                .collect();
            let plain = parts
                .iter()
                .all(|part| kind(part) == "text" && part.get("cache_control").is_none());
            if plain {
                let lines: Vec<_> = parts.iter().map(|part| text_field(part, "text")).collect();
                json!(lines.join("\n"))
            } else {
                Value::Array(parts)
            }
        }
        _ => json!(""),
    };
    if failed {
        match &mut content {
            Value::Array(parts) => parts.insert(0, json!({ "type": "text", "text": "Error: " })),
            text => *text = json!(format!("Error: {}", text.as_str().unwrap_or_default())),
        }
    }
    content
}

fn tool(tool: &Value) -> Value {
    let mut function = json!({
        "name": field(tool, "name"),
        "description": field(tool, "description"),
        "parameters": tool.get("input_schema").cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(strict) = tool.get("strict") {
        function["strict"] = strict.clone();
    }
    marked(tool, json!({ "type": "function", "function": function }))
}

fn add_tool_choice(choice: &Map<String, Value>, chat: &mut Map<String, Value>) {
    let named = match choice.get("type").and_then(Value::as_str).unwrap_or("auto") {
        "auto" => json!("auto"),
        "any" => json!("required"),
        "none" => json!("none"),
        "tool" => {
            let name = choice.get("name").cloned().unwrap_or_else(|| json!(""));
            json!({ "type": "function", "function": { "name": name } })
        }
        _ => return,
    };
    chat.insert("tool_choice".into(), named);
    if choice.get("disable_parallel_tool_use").is_some_and(truthy) {
        chat.insert("parallel_tool_calls".into(), json!(false));
    }
}

/// `output_config`: how hard to think, and the schema of the answer.
fn add_output_config(config: &Map<String, Value>, chat: &mut Map<String, Value>) {
    if let Some(effort) = config.get("effort") {
        chat.insert("reasoning_effort".into(), effort.clone());
    }
    let Some(format) = config.get("format") else {
        return;
    };
    match format.get("type").and_then(Value::as_str) {
        Some("json_schema") => {
            let or = |name: &str, fallback: Value| format.get(name).cloned().unwrap_or(fallback);
            let mut schema = json!({
                "name": or("name", json!("response_schema")),
                "schema": or("schema", json!({})),
            });
            for name in ["description", "strict"] {
                if let Some(value) = format.get(name) {
                    schema[name] = value.clone();
                }
            }
            let wanted = json!({ "type": "json_schema", "json_schema": schema });
            chat.insert("response_format".into(), wanted);
        }
        Some("json_object") => {
            chat.insert("response_format".into(), json!({ "type": "json_object" }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(request: Value) -> Value {
        Value::Object(to_chat(request.as_object().unwrap(), &Passed::default()))
    }

    #[test]
    fn messages_and_parameters_find_their_counterparts() {
        let found = converted(json!({
            "model": "m", "max_tokens": 9, "stop_sequences": ["x"], "top_k": 3, "stream": true, "thinking": {"type": "enabled"},
            "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, "b"],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "unsigned"},
                    {"type": "thinking", "thinking": "kept", "signature": "s"},
                    {"type": "text", "text": "calling"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "way"}]},
                    {"type": "text", "text": "go on"},
                ]},
            ],
        }));
        assert_eq!(
            found,
            json!({
                "model": "m", "max_tokens": 9, "stop": ["x"], "top_k": 3, "stream": true,
                "messages": [
                    {"role": "system", "content": [
                        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"},
                    ]},
                    {"role": "user", "content": "hi"},
                    {"role": "assistant",
                     "content": [{"type": "thinking", "thinking": "kept", "signature": "s"}, {"type": "text", "text": "calling"}],
                     "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                    {"role": "tool", "tool_call_id": "t1", "content": "Error: no\nway"},
                    {"role": "user", "content": "go on"},
                ],
            })
        );
    }

    #[test]
    fn pictures_documents_and_findings_are_parts() {
        let found = converted(json!({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "QQ=="}},
            {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}, "cache_control": {"type": "ephemeral"}},
            {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "D"}},
            {"type": "document", "title": "p.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}},
            {"type": "search_result", "title": "S", "source": "http://s", "content": [{"type": "text", "text": "found"}]},
            {"type": "unheard_of"},
        ]}]}));
        assert_eq!(
            found["messages"][0]["content"],
            json!([
                {"type": "image_url", "image_url": {"url": "data:image/gif;base64,QQ=="}},
                {"type": "image_url", "image_url": {"url": "http://x/y.png"}, "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "[Document: T]\nC\nD"},
                {"type": "file", "file": {"filename": "p.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
                {"type": "text", "text": "[Search Result: S]\nSource: http://s\nfound"},
            ])
        );
    }

    #[test]
    fn results_with_pictures_stay_lists() {
        let found = converted(json!({"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": [
                {"type": "image", "source": {"type": "url", "url": "u"}},
            ]},
            {"type": "tool_result", "tool_use_id": "u"},
        ]}]}));
        assert_eq!(
            found["messages"],
            json!([
                {"role": "tool", "tool_call_id": "t", "content": [
                    {"type": "text", "text": "Error: "}, {"type": "image_url", "image_url": {"url": "u"}},
                ]},
                {"role": "tool", "tool_call_id": "u", "content": ""},
            ])
        );
    }

    #[test]
    fn tools_and_choices_are_converted() {
        let tools = json!([{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]);
        let choice = |choice: Value| converted(json!({"tools": tools, "tool_choice": choice}));
        let found = choice(json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}));
        assert_eq!(
            found["tools"],
            json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
                    "cache_control": {"type": "ephemeral"}}])
        );
        assert_eq!(
            found["tool_choice"],
            json!({"type": "function", "function": {"name": "f"}})
        );
        assert_eq!(found["parallel_tool_calls"], json!(false));
        for (kind, expected) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
            assert_eq!(choice(json!({"type": kind}))["tool_choice"], expected);
        }
        let found = converted(json!({"tools": [], "tool_choice": {"type": "auto"}}));
        assert_eq!(found, json!({"model": "", "messages": []}));
    }

    #[test]
    fn schemas_and_effort_are_converted() {
        let found = converted(json!({"output_config": {
            "effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}, "strict": true},
        }}));
        assert_eq!(found["reasoning_effort"], "low");
        assert_eq!(
            found["response_format"],
            json!({"type": "json_schema", "json_schema": {"name": "response_schema", "schema": {"type": "object"}, "strict": true}})
        );
    }

    #[test]
    fn connections_say_which_other_fields_pass() {
        let request = json!({"thinking": {"type": "enabled"}, "betas": ["b"], "top_k": 1});
        let with = |setting: Value| {
            Value::Object(to_chat(
                request.as_object().unwrap(),
                &Passed::read(Some(&setting)),
            ))
        };
        assert!(with(json!([])).get("thinking").is_none());
        let found = with(json!("betas, "));
        assert_eq!((&found["betas"], found.get("thinking")), (&json!(["b"]), None));
        assert_eq!(with(json!(["*"]))["thinking"], json!({"type": "enabled"}));
    }
}
