//! Anthropic's Messages: the events of a message, and the whole message.

use serde_json::{Value, json};

use crate::{
    plan::{Ending, Part, Plan, Refusal, Usage},
    text,
    wire::{Exchange, Frames, Noise, Pace, midstream_error},
};

/// Characters of a tool call's arguments in one event.
const ARGUMENT_PIECE: usize = 12;

/// The kind of block that parts go into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
}

pub(crate) fn frames(exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut frames = Frames::default();
    let mut noise = Noise::in_events();
    let mut start = message(exchange, Vec::new());
    start["usage"] = json!({"input_tokens": exchange.usage.prompt, "output_tokens": 1});
    event(
        &mut frames,
        Pace::Now,
        &json!({"type": "message_start", "message": start}),
    );
    event(&mut frames, Pace::Now, &json!({"type": "ping"}));
    let (mut index, mut calls, mut open) = (0, 0, None);
    for part in &plan.parts {
        let (kind, content) = match part {
            Part::Text(text) => (Block::Text, json!({"type": "text_delta", "text": text})),
            Part::Reasoning(text) => (
                Block::Thinking,
                json!({"type": "thinking_delta", "thinking": text}),
            ),
            Part::ToolCall { name, arguments } => {
                close(&mut frames, &mut open, &mut index);
                push_call(&mut frames, index, &exchange.call_id(calls), name, arguments);
                calls += 1;
                index += 1;
                continue;
            }
            Part::Noise => {
                noise.push_to(&mut frames);
                continue;
            }
        };
        if open != Some(kind) {
            close(&mut frames, &mut open, &mut index);
            let empty = match kind {
                Block::Text => json!({"type": "text", "text": ""}),
                Block::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            };
            let start = json!({"type": "content_block_start", "index": index, "content_block": empty});
            event(&mut frames, Pace::Now, &start);
            open = Some(kind);
        }
        let delta = json!({"type": "content_block_delta", "index": index, "delta": content});
        event(&mut frames, Pace::Paced, &delta);
    }
    match plan.ending {
        Ending::Complete => {
            close(&mut frames, &mut open, &mut index);
            let usage = usage(exchange.usage);
            let delta = json!({"stop_reason": stop_reason(plan), "stop_sequence": null});
            let last = json!({"type": "message_delta", "delta": delta, "usage": usage});
            event(&mut frames, Pace::Now, &last);
            event(&mut frames, Pace::Now, &json!({"type": "message_stop"}));
        }
        Ending::Error => event(&mut frames, Pace::Now, &error_body(&midstream_error())),
        Ending::Drop | Ending::Hang => {}
    }
    frames
}

pub(crate) fn whole(exchange: &Exchange<'_>, plan: &Plan) -> Value {
    let mut content = Vec::new();
    let reasoning = plan.reasoning();
    if !reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reasoning, "signature": "scripted"}));
    }
    let said = plan.text();
    if !said.is_empty() {
        content.push(json!({"type": "text", "text": said}));
    }
    for (index, (name, arguments)) in plan.tool_calls().enumerate() {
        content.push(
            json!({"type": "tool_use", "id": exchange.call_id(index), "name": name, "input": arguments}),
        );
    }
    let mut message = message(exchange, content);
    message["stop_reason"] = json!(stop_reason(plan));
    message["usage"] = usage(exchange.usage);
    message
}

/// The body of an error.
pub(crate) fn error_body(refusal: &Refusal) -> Value {
    let kind = match refusal.status {
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": refusal.message}})
}

fn message(exchange: &Exchange<'_>, content: Vec<Value>) -> Value {
    json!({
        "id": format!("msg_{:06}", exchange.serial), "type": "message", "role": "assistant", "model": exchange.model,
        "content": content, "stop_reason": null, "stop_sequence": null,
    })
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt - usage.cached.min(usage.prompt), "output_tokens": usage.completion,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.cached,
    })
}

fn stop_reason(plan: &Plan) -> &'static str {
    if plan.tool_calls().next().is_some() {
        "tool_use"
    } else {
        "end_turn"
    }
}

fn event(frames: &mut Frames, pace: Pace, data: &Value) {
    let name = data["type"].as_str().unwrap_or_default();
    frames.push(pace, &["event: ", name, "\ndata: ", &data.to_string(), "\n\n"]);
}

fn close(frames: &mut Frames, open: &mut Option<Block>, index: &mut usize) {
    if open.take().is_some() {
        let stop = json!({"type": "content_block_stop", "index": *index});
        event(frames, Pace::Now, &stop);
        *index += 1;
    }
}

fn push_call(frames: &mut Frames, index: usize, id: &str, name: &str, arguments: &Value) {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let start = json!({"type": "content_block_start", "index": index, "content_block": block});
    event(frames, Pace::Paced, &start);
    for piece in text::pieces(&arguments.to_string(), ARGUMENT_PIECE) {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
        event(frames, Pace::Now, &data);
    }
    event(
        frames,
        Pace::Now,
        &json!({"type": "content_block_stop", "index": index}),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frames_as_text;

    #[test]
    fn every_block_is_started_and_stopped() {
        let usage = Usage {
            prompt: 5,
            completion: 2,
            cached: 1,
            reasoning: 0,
        };
        let exchange = Exchange {
            serial: 7,
            model: "m",
            usage,
            include_usage: false,
        };
        let plan = Plan {
            parts: vec![
                Part::Reasoning("hm".into()),
                Part::Text("hi".into()),
                Part::ToolCall {
                    name: "f".into(),
                    arguments: json!({"a": 1}),
                },
            ],
            ..Plan::default()
        };
        let texts = frames_as_text(&frames(&exchange, &plan));
        let names: Vec<_> = texts
            .iter()
            .map(|text| text.lines().next().unwrap().trim_start_matches("event: "))
            .collect();
        let block = ["content_block_start", "content_block_delta", "content_block_stop"];
        let expected = [
            &["message_start", "ping"][..],
            &block,
            &block,
            &block,
            &["message_delta", "message_stop"],
        ];
        assert_eq!(names, expected.concat());
        let whole = whole(&exchange, &plan);
        assert_eq!(whole["stop_reason"], "tool_use");
        assert_eq!(whole["content"][2]["id"], "call_000007_0");
        assert_eq!(whole["usage"]["input_tokens"], 4);
    }
}
