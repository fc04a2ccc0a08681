//! OpenAI's Responses API: output items, and the typed events that build them up.

use serde_json::{Value, json};

use crate::{
    plan::{Ending, Part, Plan, Usage},
    text,
    wire::{CREATED, Exchange, Frames, Noise, Pace, midstream_error},
};

/// Characters of a function call's arguments in one event.
const ARGUMENT_PIECE: usize = 12;

/// A chunk of an item's text, or noise in its place.
type Chunk<'a> = Option<&'a str>;

/// Consecutive parts of one kind, which become one output item; noise outside of them is none.
#[derive(Debug, PartialEq)]
enum Item<'a> {
    Reasoning(Vec<Chunk<'a>>),
    Message(Vec<Chunk<'a>>),
    Call { name: &'a str, arguments: String },
    Noise,
}

pub(crate) fn whole(exchange: &Exchange<'_>, plan: &Plan) -> Value {
    let items: Vec<Item<'_>> = items(plan)
        .into_iter()
        .filter(|item| *item != Item::Noise)
        .collect();
    let output = items
        .iter()
        .enumerate()
        .map(|(index, item)| finished(exchange, index, item))
        .collect();
    response(exchange, Status::Completed, output)
}

pub(crate) fn frames(exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut events = Events {
        frames: Frames::default(),
        noise: Noise::in_events(),
        sequence: 0,
    };
    events.push(
        Pace::Now,
        "response.created",
        json!({"response": response(exchange, Status::InProgress, vec![])}),
    );
    events.push(
        Pace::Now,
        "response.in_progress",
        json!({"response": response(exchange, Status::InProgress, vec![])}),
    );
    let items = items(plan);
    let mut output = Vec::new();
    let last = items.len().saturating_sub(1);
    for (place, item) in items.iter().enumerate() {
        if *item == Item::Noise {
            events.noise.push_to(&mut events.frames);
            continue;
        }
        let open = place == last && plan.ending != Ending::Complete;
        events.item(exchange, output.len(), item, !open);
        output.push(finished(exchange, output.len(), item));
    }
    match plan.ending {
        Ending::Complete => {
            events.push(
                Pace::Now,
                "response.completed",
                json!({"response": response(exchange, Status::Completed, output)}),
            );
        }
        Ending::Error => {
            events.push(
                Pace::Now,
                "response.failed",
                json!({"response": response(exchange, Status::Failed, vec![])}),
            );
        }
        Ending::Drop | Ending::Hang => {}
    }
    events.frames
}

/// The events of one reply, numbered.
struct Events {
    frames: Frames,
    noise: Noise,
    sequence: u64,
}

impl Events {
    /// Adds an event: its `type` first and its number second, as in every event of this API.
    fn push(&mut self, pace: Pace, kind: &str, fields: Value) {
        let mut event = json!({"type": kind, "sequence_number": self.sequence});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        self.sequence += 1;
        self.frames
            .push(pace, &["event: ", kind, "\ndata: ", &event.to_string(), "\n\n"]);
    }

    /// The events of an item; those that close it only when `closed`.
    fn item(&mut self, exchange: &Exchange<'_>, index: usize, item: &Item<'_>, closed: bool) {
        let opening = opening(exchange, index, item);
        self.push(
            Pace::Now,
            "response.output_item.added",
            json!({"output_index": index, "item": opening}),
        );
        let id = item_id(exchange, index, item);
        match item {
            Item::Message(chunks) => self.message(&id, index, chunks, closed),
            Item::Reasoning(chunks) => self.reasoning(&id, index, chunks, closed),
            Item::Call { arguments, .. } => self.call(&id, index, arguments, closed),
            Item::Noise => {}
        }
        if closed {
            let item = finished(exchange, index, item);
            self.push(
                Pace::Now,
                "response.output_item.done",
                json!({"output_index": index, "item": item}),
            );
        }
    }

    fn message(&mut self, id: &str, index: usize, chunks: &[Chunk<'_>], closed: bool) {
        let place = json!({"item_id": id, "output_index": index, "content_index": 0});
        let part = |text: &str| json!({"part": output_text(text)});
        self.push(Pace::Now, "response.content_part.added", merged(&place, part("")));
        let delta = |text: &str| merged(&place, json!({"delta": text, "logprobs": []}));
        self.deltas("response.output_text.delta", chunks, delta);
        if closed {
            let text = joined(chunks);
            self.push(
                Pace::Now,
                "response.output_text.done",
                merged(&place, json!({"text": text, "logprobs": []})),
            );
            self.push(
                Pace::Now,
                "response.content_part.done",
                merged(&place, part(&text)),
            );
        }
    }

    fn reasoning(&mut self, id: &str, index: usize, chunks: &[Chunk<'_>], closed: bool) {
        let place = json!({"item_id": id, "output_index": index, "summary_index": 0});
        let part = |text: &str| json!({"part": {"type": "summary_text", "text": text}});
        self.push(
            Pace::Now,
            "response.reasoning_summary_part.added",
            merged(&place, part("")),
        );
        let delta = |text: &str| merged(&place, json!({"delta": text}));
        self.deltas("response.reasoning_summary_text.delta", chunks, delta);
        if closed {
            let text = joined(chunks);
            self.push(
                Pace::Now,
                "response.reasoning_summary_text.done",
                merged(&place, json!({"text": text})),
            );
            self.push(
                Pace::Now,
                "response.reasoning_summary_part.done",
                merged(&place, part(&text)),
            );
        }
    }

    fn deltas(&mut self, kind: &str, chunks: &[Chunk<'_>], delta: impl Fn(&str) -> Value) {
        for chunk in chunks {
            match chunk {
                Some(text) => self.push(Pace::Paced, kind, delta(text)),
                None => self.noise.push_to(&mut self.frames),
            }
        }
    }

    fn call(&mut self, id: &str, index: usize, arguments: &str, closed: bool) {
        let place = json!({"item_id": id, "output_index": index});
        for piece in text::pieces(arguments, ARGUMENT_PIECE) {
            self.push(
                Pace::Paced,
                "response.function_call_arguments.delta",
                merged(&place, json!({"delta": piece})),
            );
        }
        if closed {
            self.push(
                Pace::Now,
                "response.function_call_arguments.done",
                merged(&place, json!({"arguments": arguments})),
            );
        }
    }
}

fn items(plan: &Plan) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    for part in &plan.parts {
        match (part, items.last_mut()) {
            (Part::Text(text), Some(Item::Message(chunks)))
            | (Part::Reasoning(text), Some(Item::Reasoning(chunks))) => {
                chunks.push(Some(text));
            }
            (Part::Noise, Some(Item::Message(chunks) | Item::Reasoning(chunks))) => chunks.push(None),
            (Part::Text(text), _) => items.push(Item::Message(vec![Some(text)])),
            (Part::Reasoning(text), _) => items.push(Item::Reasoning(vec![Some(text)])),
            (Part::ToolCall { name, arguments }, _) => {
                items.push(Item::Call {
                    name,
                    arguments: arguments.to_string(),
                });
            }
            (Part::Noise, _) => items.push(Item::Noise),
        }
    }
    items
}

fn joined(chunks: &[Chunk<'_>]) -> String {
    chunks.iter().flatten().copied().collect()
}

fn item_id(exchange: &Exchange<'_>, index: usize, item: &Item<'_>) -> String {
    let prefix = match item {
        Item::Reasoning(_) => "rs",
        Item::Call { .. } => "fc",
        Item::Message(_) | Item::Noise => "msg",
    };
    format!("{prefix}_{:06}_{index}", exchange.serial)
}

/// An item as its first event shows it.
fn opening(exchange: &Exchange<'_>, index: usize, item: &Item<'_>) -> Value {
    let empty = match item {
        Item::Reasoning(_) => Item::Reasoning(vec![]),
        Item::Message(_) => Item::Message(vec![]),
        Item::Call { name, .. } => Item::Call {
            name,
            arguments: String::new(),
        },
        Item::Noise => Item::Noise,
    };
    let mut opening = finished(exchange, index, &empty);
    if opening["status"] == "completed" {
        opening["status"] = json!("in_progress");
    }
    opening
}

/// A finished item; one without chunks has no content parts.
fn finished(exchange: &Exchange<'_>, index: usize, item: &Item<'_>) -> Value {
    let id = item_id(exchange, index, item);
    let parts = |chunks: &[Chunk<'_>], part: fn(&str) -> Value| -> Vec<Value> {
        if chunks.is_empty() {
            vec![]
        } else {
            vec![part(&joined(chunks))]
        }
    };
    match item {
        Item::Reasoning(chunks) => {
            let summary = parts(chunks, |text| json!({"type": "summary_text", "text": text}));
            json!({"id": id, "type": "reasoning", "summary": summary})
        }
        Item::Message(chunks) => {
            let content = parts(chunks, output_text);
            json!({"id": id, "type": "message", "status": "completed", "content": content, "role": "assistant"})
        }
        Item::Call { name, arguments } => json!({
            "id": id, "type": "function_call", "status": "completed",
            "arguments": arguments, "call_id": exchange.call_id(index), "name": name,
        }),
        Item::Noise => Value::Null,
    }
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn merged(first: &Value, second: Value) -> Value {
    let mut merged = first.clone();
    if let (Some(fields), Value::Object(more)) = (merged.as_object_mut(), second) {
        fields.extend(more);
    }
    merged
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    InProgress,
    Completed,
    Failed,
}

fn response(exchange: &Exchange<'_>, status: Status, output: Vec<Value>) -> Value {
    let (name, error, usage) = match status {
        Status::InProgress => ("in_progress", Value::Null, Value::Null),
        Status::Completed => ("completed", Value::Null, usage(exchange.usage)),
        Status::Failed => (
            "failed",
            json!({"code": "server_error", "message": midstream_error().message}),
            Value::Null,
        ),
    };
    json!({
        "id": format!("resp_{:06}", exchange.serial), "object": "response", "created_at": CREATED,
        "status": name, "background": false, "error": error, "incomplete_details": null,
        "instructions": null, "max_output_tokens": null, "model": exchange.model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": true,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null, "metadata": {},
    })
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frames_as_text;

    const EXCHANGE: Exchange<'static> = Exchange {
        serial: 3,
        model: "m",
        usage: Usage {
            prompt: 1,
            completion: 2,
            cached: 0,
            reasoning: 1,
        },
        include_usage: false,
    };

    fn kinds(plan: &Plan) -> Vec<String> {
        let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        frames_as_text(&frames(&EXCHANGE, plan))
            .iter()
            .map(first_line)
            .collect()
    }

    #[test]
    fn events_open_fill_and_close_each_item() {
        let parts = vec![Part::Reasoning("hm".to_owned()), Part::Text("hi".to_owned())];
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(
            kinds(&Plan {
                parts,
                ..Plan::default()
            }),
            expected.map(|kind| format!("event: {kind}"))
        );
    }

    #[test]
    fn the_last_event_holds_the_whole_output() {
        let call = Part::ToolCall {
            name: "f".to_owned(),
            arguments: json!({"a": 1}),
        };
        let plan = Plan {
            parts: vec![Part::Text("hi".to_owned()), call],
            ..Plan::default()
        };
        let texts = frames_as_text(&frames(&EXCHANGE, &plan));
        let data = texts
            .last()
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .strip_prefix("data: ")
            .unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["sequence_number"], texts.len() as u64 - 1);
        assert_eq!(event["response"], whole(&EXCHANGE, &plan));
        assert_eq!(event["response"]["output"][0]["content"][0]["text"], "hi");
        assert_eq!(event["response"]["output"][1]["call_id"], "call_000003_1");
        assert_eq!(event["response"]["output"][1]["arguments"], "{\"a\":1}");
        assert_eq!(event["response"]["usage"]["total_tokens"], 3);
    }

    #[test]
    fn an_error_leaves_the_item_open_and_fails_the_response() {
        let kinds = kinds(&Plan::texts(["hi"]).ending(Ending::Error));
        assert_eq!(
            kinds[kinds.len() - 2..],
            ["event: response.output_text.delta", "event: response.failed"]
        );
    }
}
