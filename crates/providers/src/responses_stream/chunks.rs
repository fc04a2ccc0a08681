//! Responses events as Chat Completions chunks.

use oui_core::{Clock, ids};
use serde_json::{Value, json};

use crate::python::truthy;
use crate::reply::ByteStream;
use crate::rewrite::{append_event, rewrite};
use crate::sse::{SseItem, SseParser};

/// Turns the events of one answer into chunks. Text, reasoning and tool calls are carried over; events about
/// anything else say nothing in the other form.
pub struct EventConverter {
    id: String,
    model: Value,
    clock: Clock,
    started: bool,
    /// Tool calls in the order of their chunks: position in the answer, and whether arguments were sent.
    calls: Vec<(u64, bool)>,
}

impl EventConverter {
    /// For one answer.
    pub fn new(clock: Clock) -> Self {
        let id = format!("chatcmpl-{}", ids::uuid());
        Self {
            id,
            model: Value::from(""),
            clock,
            started: false,
            calls: Vec::new(),
        }
    }

    /// The chunk for an event, if it has one.
    pub fn chunk(&mut self, event: &Value) -> Option<Value> {
        let delta = event.get("delta").filter(|delta| truthy(delta));
        let position = event.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        match event.get("type")?.as_str()? {
            "response.created" => {
                let response = event.get("response")?;
                if let Some(id) = response.get("id").and_then(Value::as_str) {
                    self.id = id.to_owned();
                }
                self.model = response
                    .get("model")
                    .cloned()
                    .unwrap_or_else(|| self.model.clone());
                None
            }
            "response.output_text.delta" => Some(self.delta(json!({ "content": delta? }))),
            "response.refusal.delta" => Some(self.delta(json!({ "refusal": delta? }))),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                Some(self.delta(json!({ "reasoning_content": delta? })))
            }
            "response.output_item.added" => self.begin_call(event.get("item")?, position),
            "response.function_call_arguments.delta" => {
                let delta = delta?;
                Some(self.arguments(position, delta))
            }
            "response.output_item.done" => self.finish_call(event.get("item")?, position),
            "response.completed" | "response.incomplete" => Some(self.finish(event.get("response"))),
            "response.failed" => {
                let error = event.get("response").and_then(|response| response.get("error"));
                Some(json!({ "error": error.cloned().unwrap_or_else(|| json!({})) }))
            }
            "error" => Some(json!({ "error": event.get("error").unwrap_or(event) })),
            _ => None,
        }
    }

    fn begin_call(&mut self, item: &Value, position: u64) -> Option<Value> {
        if item.get("type")?.as_str()? != "function_call"
            || self.calls.iter().any(|(known, _)| *known == position)
        {
            return None;
        }
        let given = item.get("arguments").and_then(Value::as_str).unwrap_or_default();
        self.calls.push((position, !given.is_empty()));
        let call = json!({
            "index": self.calls.len() - 1,
            "id": item.get("call_id").cloned().unwrap_or_default(),
            "type": "function",
            "function": { "name": item.get("name").cloned().unwrap_or_default(), "arguments": given },
        });
        Some(self.delta(json!({ "tool_calls": [call] })))
    }

    fn arguments(&mut self, position: u64, piece: &Value) -> Value {
        let index = self
            .calls
            .iter()
            .position(|(known, _)| *known == position)
            .unwrap_or_else(|| {
                self.calls.push((position, true));
                self.calls.len() - 1
            });
        self.calls[index].1 = true;
        self.delta(json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }))
    }

    /// A call whose arguments were never streamed comes as a whole at its end.
    fn finish_call(&mut self, item: &Value, position: u64) -> Option<Value> {
        if let Some(begun) = self.begin_call(item, position) {
            return Some(begun);
        }
        let unsent = self.calls.iter().any(|(known, sent)| *known == position && !sent);
        let arguments = item
            .get("arguments")
            .filter(|arguments| truthy(arguments))?
            .clone();
        unsent.then(|| self.arguments(position, &arguments))
    }

    fn finish(&mut self, response: Option<&Value>) -> Value {
        let field = |name: &str| response.and_then(|response| response.get(name));
        let reason = field("incomplete_details")
            .and_then(|details| details.get("reason"))
            .and_then(Value::as_str);
        let finish = match reason {
            Some("max_output_tokens") => "length",
            Some("content_filter") => "content_filter",
            _ if !self.calls.is_empty() => "tool_calls",
            _ => "stop",
        };
        let mut chunk = self.delta(json!({}));
        chunk["choices"][0]["finish_reason"] = Value::from(finish);
        if let Some(usage) = field("usage").and_then(Value::as_object) {
            let mut usage = usage.clone();
            for (name, neutral) in [
                ("prompt_tokens", "input_tokens"),
                ("completion_tokens", "output_tokens"),
            ] {
                if let Some(count) = usage.get(neutral).cloned() {
                    usage.entry(name).or_insert(count);
                }
            }
            chunk["usage"] = Value::Object(usage);
        }
        chunk
    }

    fn delta(&mut self, mut delta: Value) -> Value {
        if !self.started {
            self.started = true;
            delta["role"] = Value::from("assistant");
        }
        json!({
            "id": self.id,
            "created": self.clock.seconds(),
            "model": self.model,
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": null, "delta": delta }],
            "object": "chat.completion.chunk",
        })
    }
}

/// Turns a body of Responses events into one of Chat Completions events, ending with `[DONE]` when the body
/// ended well.
pub fn to_chat_events(body: ByteStream, clock: Clock) -> ByteStream {
    let (mut parser, mut converter) = (SseParser::default(), EventConverter::new(clock));
    rewrite(body, move |piece, out| {
        match piece {
            Some(piece) => parser.feed(piece),
            None => parser.finish(),
        }
        while let Some(item) = parser.next_item()? {
            let chunk = match &item {
                SseItem::Event(event) => serde_json::from_str(&event.data)
                    .ok()
                    .and_then(|event| converter.chunk(&event)),
                SseItem::Stray(line) => stray_error(line),
            };
            if let Some(chunk) = chunk {
                append_event(out, &chunk);
            }
        }
        Ok(())
    })
}

/// The error that a line outside of all events reports.
fn stray_error(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    line.get("error").map(|error| json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_stream_is_converted() {
        let events = [
            json!({"type": "response.created", "response": {"id": "resp", "model": "m"}}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"}),
            json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Grüße"}),
            json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"}),
            json!({"type": "response.output_item.done", "output_index": 2, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}}),
            json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call", "call_id": "d", "name": "g", "arguments": "{\"x\":1}"}}),
            json!({"type": "response.completed", "response": {"usage": {"input_tokens": 2, "output_tokens": 3}}}),
        ];
        let text: String = events
            .iter()
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"]))
            .collect();
        let pieces: Vec<_> = text
            .as_bytes()
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let converted = to_chat_events(Box::pin(stream::iter(pieces)), Clock::fixed(5));
        let bytes: Vec<Bytes> = converted.map(Result::unwrap).collect().await;
        let text = String::from_utf8(bytes.concat()).unwrap();
        let mut data: Vec<_> = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .collect();
        assert_eq!(data.pop(), Some("[DONE]"));
        let chunks: Vec<Value> = data
            .into_iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        let deltas: Vec<_> = chunks
            .iter()
            .map(|chunk| chunk["choices"][0]["delta"].clone())
            .collect();
        assert_eq!(
            deltas,
            [
                json!({"reasoning_content": "hm", "role": "assistant"}),
                json!({"content": "Grüße"}),
                json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
                json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
                json!({"tool_calls": [{"index": 1, "id": "d", "type": "function", "function": {"name": "g", "arguments": "{\"x\":1}"}}]}),
                json!({}),
            ]
        );
        let last = &chunks[5];
        assert_eq!(
            (&last["id"], &last["model"], &last["created"]),
            (&json!("resp"), &json!("m"), &json!(5))
        );
        assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            last["usage"],
            json!({"input_tokens": 2, "output_tokens": 3, "prompt_tokens": 2, "completion_tokens": 3})
        );
    }

    #[test]
    fn ends_have_reasons() {
        let reason = |event: Value| EventConverter::new(Clock::fixed(0)).chunk(&event).unwrap();
        let cut = reason(
            json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}),
        );
        assert_eq!(cut["choices"][0]["finish_reason"], "length");
        let failed = reason(json!({"type": "response.failed", "response": {"error": {"code": "x"}}}));
        assert_eq!(failed, json!({"error": {"code": "x"}}));
    }
}
