//! Streams of Chat Completions events turned into the events of Anthropic's Messages API while they arrive.
//!
//! Each block of the message (thinking, text, one for each tool call) has an index of its own and is started, added
//! to and stopped. Tool calls are told apart by their ids, since servers exist that give parallel calls one index.

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use indexmap::IndexMap;
use oui_core::ids;
use serde_json::{Value, json};

use super::reply::{Counts, block_text, stop_reason};
use crate::python::truthy;
use crate::reply::{ByteStream, StreamError};
use crate::rewrite::transform;
use crate::sse::{SseItem, SseParser};

/// What a failed stream says when it does not say anything itself.
const FAILED: &str = "Chat completion stream failed";

/// Rewrites a stream of chat completion events. A stream that fails ends in an `error` event, and without the event
/// that says that the message is complete.
pub fn to_messages(body: ByteStream, model: &str, counted: Option<u64>) -> ByteStream {
    let mut parser = SseParser::default();
    let mut writer = Writer::new(model, counted);
    // Readers learn at once that the message has begun, however long the provider thinks.
    let mut first = String::new();
    writer.begin(&mut first);
    let first = stream::once(future::ready(Ok(Bytes::from(first))));
    let rest = transform(body, move |piece, out| {
        match piece {
            Ok(Some(piece)) => parser.feed(piece),
            Ok(None) => parser.finish(),
            Err(_) => writer.fail(FAILED, out),
        }
        loop {
            match parser.next_item() {
                Ok(None) => break,
                Ok(Some(SseItem::Event(event))) => writer.take(&event.data, out),
                Ok(Some(SseItem::Stray(_))) => {}
                Err(
                    StreamError::TooLong(_)
                    | StreamError::Broken(_)
                    | StreamError::Timeout
                    | StreamError::Stopped(_),
                ) => {
                    writer.fail(FAILED, out);
                    break;
                }
            }
        }
        if matches!(piece, Ok(None)) {
            writer.end(out);
        }
        writer.over
    });
    Box::pin(first.chain(rest))
}

/// The block that texts go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    None,
    Thinking,
    Text,
}

/// One tool call.
struct Call {
    name: String,
    arguments: String,
    block: Option<u64>,
    stopped: bool,
}

/// Writes the events of one message.
struct Writer {
    model: String,
    counts: Counts,
    over: bool,
    open: Open,
    /// Index of the open block, else of the next one.
    next: u64,
    calls: IndexMap<String, Call>,
    /// Which call a piece without an id belongs to, by the server's index.
    by_index: Vec<(Value, String)>,
    reason: &'static str,
}

fn event(out: &mut String, data: &Value) {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    out.push_str("event: ");
    out.push_str(name);
    out.push_str("\ndata: ");
    out.push_str(&data.to_string());
    out.push_str("\n\n");
}

fn delta(out: &mut String, index: u64, delta: Value) {
    event(
        out,
        &json!({ "type": "content_block_delta", "index": index, "delta": delta }),
    );
}

fn start(out: &mut String, index: u64, block: Value) {
    event(
        out,
        &json!({ "type": "content_block_start", "index": index, "content_block": block }),
    );
}

fn stop(out: &mut String, index: u64) {
    event(out, &json!({ "type": "content_block_stop", "index": index }));
}

/// A text that is there and not empty.
fn filled<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

impl Writer {
    fn new(model: &str, counted: Option<u64>) -> Self {
        Self {
            model: model.to_owned(),
            counts: Counts {
                input: counted.map(Value::from),
                ..Counts::default()
            },
            over: false,
            open: Open::None,
            next: 0,
            calls: IndexMap::new(),
            by_index: Vec::new(),
            reason: "end_turn",
        }
    }

    fn begin(&self, out: &mut String) {
        let input = self.counts.input.clone().unwrap_or_else(|| json!(0));
        event(
            out,
            &json!({
                "type": "message_start",
                "message": {
                    "id": ids::output_item("msg_"),
                    "type": "message",
                    "role": "assistant",
                    "content": [],
                    "model": self.model,
                    "stop_reason": null,
                    "stop_sequence": null,
                    "usage": { "input_tokens": input, "output_tokens": 0 },
                },
            }),
        );
    }

    fn fail(&mut self, message: &str, out: &mut String) {
        if !self.over {
            self.over = true;
            event(
                out,
                &json!({ "type": "error", "error": { "type": "api_error", "message": message } }),
            );
        }
    }

    /// Takes the data of one event.
    fn take(&mut self, data: &str, out: &mut String) {
        if self.over {
            return;
        }
        // Comments and noise between the events are no reason to give up.
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            return;
        };
        if let Some(error) = chunk.get("error").filter(|error| truthy(error)) {
            let said = error
                .as_str()
                .or_else(|| filled(error, "message"))
                .filter(|said| !said.is_empty());
            self.fail(said.unwrap_or(FAILED), out);
            return;
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.counts.read(usage);
        }
        let Some(choice) = chunk.get("choices").and_then(|choices| choices.get(0)) else {
            return;
        };
        let nothing = Value::Null;
        let piece = choice.get("delta").unwrap_or(&nothing);
        // Some servers put the end of the answer into a whole message.
        let whole = choice.get("message").unwrap_or(&nothing);
        self.think(piece, whole, out);
        if let Some(text) = filled(piece, "content") {
            self.say(text, out);
        }
        let calls = [piece, whole]
            .into_iter()
            .filter_map(|from| from.get("tool_calls")?.as_array())
            .find(|calls| !calls.is_empty());
        for call in calls.into_iter().flatten() {
            self.call(call, out);
        }
        if let Some(finish) = choice.get("finish_reason").filter(|finish| !finish.is_null()) {
            self.reason = stop_reason(finish.as_str());
        }
    }

    /// Closes the open block unless it is of this kind.
    fn switch(&mut self, to: Open, out: &mut String) {
        if self.open == to {
            return;
        }
        if self.open != Open::None {
            stop(out, self.next);
            self.next += 1;
        }
        self.open = to;
        match to {
            Open::None => {}
            Open::Thinking => start(out, self.next, json!({ "type": "thinking", "thinking": "" })),
            Open::Text => start(out, self.next, json!({ "type": "text", "text": "" })),
        }
    }

    fn think(&mut self, piece: &Value, whole: &Value, out: &mut String) {
        let blocks: Vec<&Value> = [piece, whole]
            .into_iter()
            .filter_map(|from| from.get("thinking_blocks")?.as_array())
            .find(|blocks| !blocks.is_empty())
            .into_iter()
            .flatten()
            .collect();
        let named = [
            (piece, "reasoning_content"),
            (piece, "reasoning"),
            (piece, "thinking"),
            (whole, "reasoning_content"),
            (whole, "reasoning"),
        ];
        let text = named
            .into_iter()
            .find_map(|(from, name)| filled(from, name))
            .or_else(|| blocks.iter().find_map(|block| block_text(block)));
        if let Some(text) = text {
            self.switch(Open::Thinking, out);
            delta(
                out,
                self.next,
                json!({ "type": "thinking_delta", "thinking": text }),
            );
        }
        let signature = blocks.iter().find_map(|block| filled(block, "signature"));
        if let Some(signature) = signature.filter(|_| self.open == Open::Thinking) {
            delta(
                out,
                self.next,
                json!({ "type": "signature_delta", "signature": signature }),
            );
        }
    }

    fn say(&mut self, text: &str, out: &mut String) {
        self.switch(Open::Text, out);
        delta(out, self.next, json!({ "type": "text_delta", "text": text }));
    }

    /// Takes a piece of a tool call.
    fn call(&mut self, piece: &Value, out: &mut String) {
        self.switch(Open::None, out);
        let index = piece.get("index").cloned().unwrap_or_else(|| json!(0));
        let known = self.by_index.iter().position(|(known, _)| *known == index);
        let id = match (filled(piece, "id"), known) {
            (Some(id), _) => id.to_owned(),
            (None, Some(at)) => self.by_index[at].1.clone(),
            (None, None) => ids::output_item("toolu_"),
        };
        match known {
            Some(at) => self.by_index[at].1.clone_from(&id),
            None => self.by_index.push((index, id.clone())),
        }
        let function = piece.get("function").unwrap_or(&Value::Null);
        let call = self.calls.entry(id.clone()).or_insert_with(|| Call {
            name: String::new(),
            arguments: String::new(),
            block: None,
            stopped: false,
        });
        if call.name.is_empty() {
            call.name = filled(function, "name").unwrap_or_default().to_owned();
        }
        let arguments = filled(function, "arguments").unwrap_or_default();
        call.arguments.push_str(arguments);
        let (block, news) = match call.block {
            Some(block) => (block, arguments.to_owned()),
            // What came before the name is told together with it.
            None if !call.name.is_empty() => {
                let block = self.next;
                self.next += 1;
                call.block = Some(block);
                let content = json!({ "type": "tool_use", "id": id, "name": call.name, "input": {} });
                start(out, block, content);
                (block, call.arguments.clone())
            }
            None => return,
        };
        if call.stopped || news.is_empty() {
            return;
        }
        delta(
            out,
            block,
            json!({ "type": "input_json_delta", "partial_json": news }),
        );
        // A whole document is the end of the call: readers need not wait for the end of the answer.
        let text = call.arguments.trim();
        if (text.ends_with('}') || !text.starts_with('{')) && serde_json::from_str::<Value>(text).is_ok() {
            call.stopped = true;
            stop(out, block);
        }
    }

    /// Ends the message.
    fn end(&mut self, out: &mut String) {
        if self.over {
            return;
        }
        self.over = true;
        self.switch(Open::None, out);
        for call in self.calls.values() {
            if let Some(block) = call.block.filter(|_| !call.stopped) {
                stop(out, block);
            }
        }
        let mut usage = json!({ "output_tokens": self.counts.output.clone().unwrap_or_else(|| json!(0)) });
        if let Some(input) = &self.counts.input {
            usage["input_tokens"] = input.clone();
        }
        for (name, value) in std::mem::take(&mut self.counts.more) {
            usage[name] = value;
        }
        event(
            out,
            &json!({
                "type": "message_delta",
                "delta": { "stop_reason": self.reason, "stop_sequence": null },
                "usage": usage,
            }),
        );
        event(out, &json!({ "type": "message_stop" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream of these chunks, as `(name, data)`.
    async fn events(chunks: &[Value]) -> Vec<(String, Value)> {
        let pieces: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from(format!("data: {chunk}\n\n"))))
            .collect();
        read(to_messages(Box::pin(stream::iter(pieces)), "m", Some(3))).await
    }

    async fn read(body: ByteStream) -> Vec<(String, Value)> {
        let pieces: Vec<_> = body.collect().await;
        let mut parser = SseParser::default();
        let mut found = Vec::new();
        for piece in pieces {
            parser.feed(&piece.unwrap());
            while let Some(SseItem::Event(event)) = parser.next_item().unwrap() {
                found.push((
                    event.name.into_owned(),
                    serde_json::from_str(&event.data).unwrap(),
                ));
            }
        }
        found
    }

    fn piece(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn names(events: &[(String, Value)]) -> Vec<String> {
        let short = |(name, data): &(String, Value)| match data.get("index") {
            Some(index) => format!("{name} {index}"),
            None => name.clone(),
        };
        events.iter().map(short).collect()
    }

    #[tokio::test]
    async fn every_kind_of_block_has_its_life() {
        let found = events(&[
            piece(json!({"role": "assistant", "content": ""})),
            piece(json!({"reasoning_content": "hm"})),
            piece(json!({"content": "hel"})),
            piece(json!({"content": "lo"})),
            piece(json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]})),
            piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\":"}}]})),
            piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]})),
            piece(json!({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{"}}]})),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}],
                   "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}}),
        ])
        .await;
        assert_eq!(
            names(&found),
            [
                "message_start",
                "content_block_start 0",
                "content_block_delta 0",
                "content_block_stop 0",
                "content_block_start 1",
                "content_block_delta 1",
                "content_block_delta 1",
                "content_block_stop 1",
                "content_block_start 2",
                "content_block_delta 2",
                "content_block_delta 2",
                "content_block_stop 2",
                "content_block_start 3",
                "content_block_delta 3",
                "content_block_stop 3",
                "message_delta",
                "message_stop",
            ]
        );
        assert_eq!(
            found[0].1["message"]["usage"],
            json!({"input_tokens": 3, "output_tokens": 0})
        );
        assert_eq!(found[12].1["content_block"]["id"], "b");
        assert_eq!(
            found[15].1,
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                   "usage": {"output_tokens": 4, "input_tokens": 7, "cache_read_input_tokens": 2}})
        );
    }

    #[tokio::test]
    async fn nothing_is_lost_when_kinds_alternate() {
        let found = events(&[
            piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]})),
            piece(json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ":1}"}}]})),
            piece(json!({"content": "then"})),
            piece(json!({"thinking_blocks": [{"thinking": "why", "signature": "s"}]})),
        ])
        .await;
        assert_eq!(found[2].1["delta"]["partial_json"], "{\"a\":1}");
        let deltas: Vec<_> = found
            .iter()
            .filter_map(|(_, data)| data["delta"]["type"].as_str())
            .collect();
        assert_eq!(
            deltas,
            [
                "input_json_delta",
                "text_delta",
                "thinking_delta",
                "signature_delta"
            ]
        );
        let started = found
            .iter()
            .filter(|(name, _)| name == "content_block_start")
            .count();
        let stopped = found
            .iter()
            .filter(|(name, _)| name == "content_block_stop")
            .count();
        assert_eq!((started, stopped), (3, 3));
    }

    #[tokio::test]
    async fn failures_end_in_an_error_event() {
        let found = events(&[
            piece(json!({"content": "a"})),
            json!({"error": {"message": "gone"}}),
            piece(json!({"content": "b"})),
        ])
        .await;
        assert_eq!(
            names(&found),
            [
                "message_start",
                "content_block_start 0",
                "content_block_delta 0",
                "error"
            ]
        );
        assert_eq!(
            found[3].1,
            json!({"type": "error", "error": {"type": "api_error", "message": "gone"}})
        );
        let broken: ByteStream = Box::pin(stream::iter([Err(StreamError::Timeout)]));
        let found = read(to_messages(broken, "m", None)).await;
        assert_eq!(names(&found), ["message_start", "error"]);
        assert_eq!(found[1].1["error"]["message"], FAILED);
    }

    #[tokio::test]
    async fn an_empty_stream_is_an_empty_message() {
        let found = events(&[]).await;
        assert_eq!(names(&found), ["message_start", "message_delta", "message_stop"]);
    }
}
