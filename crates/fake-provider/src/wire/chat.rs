//! OpenAI's Chat Completions: `chat.completion.chunk` events and the whole `chat.completion`.

use serde_json::{Value, json};

use crate::{
    plan::{Ending, Part, Plan, Usage},
    text,
    wire::{CREATED, Exchange, Frames, Noise, Pace, midstream_error},
};

/// The end mark of an event stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";
/// Characters of a tool call's arguments in one chunk.
const ARGUMENT_PIECE: usize = 12;

pub(crate) fn id(serial: u64) -> String {
    format!("chatcmpl-{serial:06}")
}

pub(crate) fn frames(exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut frames = unfinished(exchange, plan);
    match plan.ending {
        Ending::Complete => finish(&mut frames, exchange),
        Ending::Error => frames.data(Pace::Now, &midstream_error().openai_body()),
        Ending::Drop | Ending::Hang => {}
    }
    frames
}

/// The frames up to the one with the finish reason, which comes last in a complete reply.
pub(crate) fn unfinished(exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut frames = Frames::default();
    let mut noise = Noise::in_events();
    let mut calls = 0;
    let opening = if text_is_null(plan) {
        Value::Null
    } else {
        json!("")
    };
    let role = json!({"role": "assistant", "content": opening, "refusal": null});
    frames.data(Pace::Now, &chunk(exchange, &role, None));
    for part in &plan.parts {
        match part {
            Part::Text(text) => frames.data(Pace::Paced, &chunk(exchange, &json!({"content": text}), None)),
            Part::Reasoning(text) => {
                frames.data(
                    Pace::Paced,
                    &chunk(exchange, &json!({"reasoning_content": text}), None),
                );
            }
            Part::ToolCall { name, arguments } => {
                push_call(&mut frames, exchange, calls, name, arguments);
                calls += 1;
            }
            Part::Noise => noise.push_to(&mut frames),
        }
    }
    if plan.ending == Ending::Complete {
        frames.data(Pace::Now, &chunk(exchange, &json!({}), Some(finish_reason(plan))));
    }
    frames
}

/// The token counts if asked for, and the end mark.
pub(crate) fn finish(frames: &mut Frames, exchange: &Exchange<'_>) {
    if exchange.include_usage {
        let mut last = chunk(exchange, &Value::Null, None);
        last["choices"] = json!([]);
        last["usage"] = usage(exchange.usage);
        frames.data(Pace::Now, &last);
    }
    frames.push(Pace::Now, &[DONE]);
}

pub(crate) fn whole(exchange: &Exchange<'_>, plan: &Plan) -> Value {
    let content = if text_is_null(plan) {
        Value::Null
    } else {
        json!(plan.text())
    };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": []});
    let reasoning = plan.reasoning();
    if !reasoning.is_empty() {
        message["reasoning_content"] = json!(reasoning);
    }
    let calls = plan.tool_calls().enumerate().map(|(index, (name, arguments))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"id": exchange.call_id(index), "type": "function", "function": function})
    });
    let calls: Vec<Value> = calls.collect();
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({
        "id": id(exchange.serial), "object": "chat.completion", "created": CREATED, "model": exchange.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(plan)}],
        "usage": usage(exchange.usage),
        "service_tier": "default", "system_fingerprint": "fp_scripted",
    })
}

/// A turn of tool calls alone has a null content.
fn text_is_null(plan: &Plan) -> bool {
    plan.tool_calls().next().is_some() && plan.text().is_empty()
}

fn finish_reason(plan: &Plan) -> &'static str {
    if plan.tool_calls().next().is_some() {
        "tool_calls"
    } else {
        "stop"
    }
}

fn chunk(exchange: &Exchange<'_>, delta: &Value, finish_reason: Option<&str>) -> Value {
    let mut chunk = json!({
        "id": id(exchange.serial), "object": "chat.completion.chunk", "created": CREATED, "model": exchange.model,
        "service_tier": "default", "system_fingerprint": "fp_scripted",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
    });
    if exchange.include_usage {
        chunk["usage"] = Value::Null;
    }
    chunk
}

/// A call's name with empty arguments, then its arguments in pieces.
fn push_call(frames: &mut Frames, exchange: &Exchange<'_>, index: usize, name: &str, arguments: &Value) {
    let function = json!({"name": name, "arguments": ""});
    let opening =
        json!({"index": index, "id": exchange.call_id(index), "type": "function", "function": function});
    frames.data(
        Pace::Paced,
        &chunk(exchange, &json!({"tool_calls": [opening]}), None),
    );
    for piece in text::pieces(&arguments.to_string(), ARGUMENT_PIECE) {
        let call = json!({"index": index, "function": {"arguments": piece}});
        frames.data(Pace::Now, &chunk(exchange, &json!({"tool_calls": [call]}), None));
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt, "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frames_as_text;

    fn exchange(include_usage: bool) -> Exchange<'static> {
        let usage = Usage {
            prompt: 2,
            completion: 1,
            cached: 0,
            reasoning: 0,
        };
        Exchange {
            serial: 7,
            model: "m",
            usage,
            include_usage,
        }
    }

    #[test]
    fn frames_are_bytes_as_openai_writes_them() {
        let head = r#"data: {"id":"chatcmpl-000007","object":"chat.completion.chunk","created":1700000000,"model":"m","service_tier":"default","system_fingerprint":"fp_scripted","choices":[{"index":0,"delta":"#;
        let tail = |reason: &str| format!(r#","logprobs":null,"finish_reason":{reason}}}]}}"#);
        assert_eq!(
            frames_as_text(&frames(&exchange(false), &Plan::texts(["hi"]))),
            [
                format!(
                    "{head}{{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}}{}\n\n",
                    tail("null")
                ),
                format!("{head}{{\"content\":\"hi\"}}{}\n\n", tail("null")),
                format!("{head}{{}}{}\n\n", tail("\"stop\"")),
                "data: [DONE]\n\n".to_owned(),
            ]
        );
    }

    #[test]
    fn usage_comes_as_the_last_chunk_without_choices() {
        let texts = frames_as_text(&frames(&exchange(true), &Plan::texts(["hi"])));
        assert!(
            texts[1].ends_with("\"finish_reason\":null}],\"usage\":null}\n\n"),
            "{}",
            texts[1]
        );
        let last: Value = serde_json::from_str(texts[3].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 3);
    }

    #[test]
    fn a_call_is_cut_into_pieces_that_join_again() {
        let arguments = json!({"city": "Köln, am Rhein"});
        let plan = Plan {
            parts: vec![Part::ToolCall {
                name: "f".to_owned(),
                arguments: arguments.clone(),
            }],
            ..Plan::default()
        };
        let mut joined = String::new();
        let texts = frames_as_text(&frames(&exchange(false), &plan));
        for text in &texts[..texts.len() - 1] {
            let event: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
            joined.push_str(
                event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
                    .as_str()
                    .unwrap_or(""),
            );
        }
        assert_eq!(serde_json::from_str::<Value>(&joined).unwrap(), arguments);
        assert!(texts[texts.len() - 2].contains(r#""finish_reason":"tool_calls""#));
    }
}
