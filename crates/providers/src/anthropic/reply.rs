//! Whole chat completions turned into answers of Anthropic's Messages API.

use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::python::truthy;

/// Why an answer ended, in Anthropic's words.
pub(super) fn stop_reason(finish: Option<&str>) -> &'static str {
    match finish {
        Some("length") => "max_tokens",
        Some("tool_calls") => "tool_use",
        _ => "end_turn",
    }
}

/// Token counts of an answer. Each is known or not, and what is not known is left as it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counts {
    pub input: Option<Value>,
    pub output: Option<Value>,
    /// Further fields, in the order in which clients get them.
    pub more: Map<String, Value>,
}

impl Counts {
    /// Takes over what a `usage` object says.
    pub(super) fn read(&mut self, usage: &Value) {
        let given = |name: &str| usage.get(name).filter(|value| !value.is_null());
        let detail = usage
            .get("prompt_tokens_details")
            .and_then(|details| details.get("cached_tokens"))
            .filter(|value| !value.is_null());
        let written = given("cache_creation_input_tokens");
        let read = given("cache_read_input_tokens").or(detail);
        let number = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
        // What came from a cache counts apart.
        let fresh = given("prompt_tokens")
            .and_then(Value::as_i64)
            .map(|all| json!((all - number(written) - number(read)).max(0)));
        if let Some(input) = given("input_tokens").cloned().or(fresh) {
            self.input = Some(input);
        }
        if let Some(output) = given("output_tokens").or_else(|| given("completion_tokens")) {
            self.output = Some(output.clone());
        }
        let objects = |name: &str| given(name).filter(|value| value.is_object());
        let more = [
            ("cache_creation_input_tokens", written),
            ("cache_read_input_tokens", read),
            ("output_tokens_details", objects("output_tokens_details")),
            ("server_tool_use", objects("server_tool_use")),
            ("service_tier", given("service_tier")),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                self.more.insert(name.to_owned(), value.clone());
            }
        }
    }
}

/// Turns a whole chat completion into a message. `model` is the name that the caller used, `counted` the prompt's
/// tokens where they were counted before.
pub fn from_chat(answer: &Value, model: &str, counted: Option<u64>) -> Value {
    let choice = answer.get("choices").and_then(|choices| choices.get(0));
    let message = choice
        .and_then(|choice| choice.get("message"))
        .unwrap_or(&Value::Null);
    let finish = choice
        .and_then(|choice| choice.get("finish_reason"))
        .and_then(Value::as_str);
    let mut counts = Counts::default();
    counts.read(answer.get("usage").unwrap_or(&Value::Null));
    let mut usage = json!({
        "input_tokens": counts.input.unwrap_or_else(|| json!(counted.unwrap_or(0))),
        "output_tokens": counts.output.unwrap_or_else(|| json!(0)),
    });
    for (name, value) in counts.more {
        usage[name] = value;
    }
    let model = if model.is_empty() {
        answer.get("model").cloned().unwrap_or_else(|| json!(""))
    } else {
        json!(model)
    };
    let id = answer.get("id").cloned();
    json!({
        "id": id.unwrap_or_else(|| json!(ids::output_item("msg_"))),
        "type": "message",
        "role": "assistant",
        "content": content(message),
        "model": model,
        "stop_reason": stop_reason(finish),
        "stop_sequence": null,
        "usage": usage,
    })
}

fn content(message: &Value) -> Vec<Value> {
    let mut blocks = thinking(message);
    match message.get("content") {
        Some(Value::String(text)) if !text.is_empty() => blocks.push(json!({ "type": "text", "text": text })),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            blocks.extend(texts.map(|text| json!({ "type": "text", "text": text })));
        }
        _ => {}
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    blocks.extend(calls.into_iter().flatten().map(tool_use));
    blocks
}

/// Reasoning, signed blocks before plain text.
fn thinking(message: &Value) -> Vec<Value> {
    let plain = message.get("thinking");
    let listed = message
        .get("thinking_blocks")
        .filter(|blocks| truthy(blocks))
        .or_else(|| plain?.get("blocks"))
        .and_then(Value::as_array);
    let blocks: Vec<Value> = listed.into_iter().flatten().filter_map(thinking_block).collect();
    if !blocks.is_empty() {
        return blocks;
    }
    let named = ["reasoning_content", "reasoning", "thinking"];
    let text = named.iter().find_map(|name| {
        message
            .get(*name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    });
    text.map(|text| json!({ "type": "thinking", "thinking": text }))
        .into_iter()
        .collect()
}

fn thinking_block(block: &Value) -> Option<Value> {
    if block.get("type")?.as_str() == Some("redacted_thinking") {
        let mut redacted = json!({ "type": "redacted_thinking" });
        if let Some(data) = block.get("data") {
            redacted["data"] = data.clone();
        }
        return Some(redacted);
    }
    let text = block_text(block)?;
    let mut converted = json!({ "type": "thinking", "thinking": text });
    if let Some(signature) = block.get("signature").filter(|signature| truthy(signature)) {
        converted["signature"] = signature.clone();
    }
    Some(converted)
}

/// The reasoning of a block, under whichever of its names.
pub(super) fn block_text(block: &Value) -> Option<&str> {
    let named = ["thinking", "content", "text"];
    named.iter().find_map(|name| {
        block
            .get(*name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    })
}

fn tool_use(call: &Value) -> Value {
    let function = call.get("function");
    let name = function.and_then(|function| function.get("name"));
    let input = match function.and_then(|function| function.get("arguments")) {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
        Some(input @ Value::Object(_)) => input.clone(),
        _ => json!({}),
    };
    let id = call.get("id").cloned();
    json!({
        "type": "tool_use",
        "id": id.unwrap_or_else(|| json!(ids::output_item("toolu_"))),
        "name": name.cloned().unwrap_or_else(|| json!("")),
        "input": input,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_becomes_a_message() {
        let found = from_chat(
            &json!({
                "id": "c", "model": "real",
                "choices": [{"finish_reason": "tool_calls", "message": {
                    "content": "hi", "reasoning_content": "hm",
                    "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{\"a\":1}"}}, {"function": {"arguments": "no"}}],
                }}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}},
            }),
            "asked",
            Some(99),
        );
        assert_eq!(
            found["usage"],
            json!({"input_tokens": 8, "output_tokens": 7, "cache_read_input_tokens": 3})
        );
        assert_eq!(
            (&found["id"], &found["model"], &found["stop_reason"]),
            (&json!("c"), &json!("asked"), &json!("tool_use"))
        );
        let blocks = found["content"].as_array().unwrap();
        assert_eq!(blocks[0], json!({"type": "thinking", "thinking": "hm"}));
        assert_eq!(blocks[1], json!({"type": "text", "text": "hi"}));
        assert_eq!(
            blocks[2],
            json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}})
        );
        assert!(blocks[3]["id"].as_str().unwrap().starts_with("toolu_"));
        assert_eq!(blocks[3]["input"], json!({}));
    }

    #[test]
    fn signed_thinking_is_kept_and_counts_may_be_missing() {
        let found = from_chat(
            &json!({"choices": [{"message": {"content": null, "reasoning": "plain", "thinking_blocks": [
                {"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "redacted_thinking", "data": "x", "y": 1},
            ]}}]}),
            "m",
            Some(5),
        );
        assert_eq!(
            found["content"],
            json!([{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}])
        );
        assert_eq!(found["usage"], json!({"input_tokens": 5, "output_tokens": 0}));
        assert_eq!(from_chat(&json!({}), "m", None)["stop_reason"], "end_turn");
    }
}
