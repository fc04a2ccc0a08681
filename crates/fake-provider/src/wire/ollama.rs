//! Ollama's `/api/chat` and `/api/generate`: lines of JSON, and the same as one object.

use serde_json::{Value, json};

use crate::{
    plan::{Ending, Part, Plan, Usage},
    wire::{CREATED_AT, Exchange, Frames, Noise, Pace, midstream_error},
};

/// Nanoseconds that are reported for the loading of a model, a prompt token and a reply token.
const LOAD: u64 = 1_000_000;
const PROMPT_TOKEN: u64 = 1_000_000;
const REPLY_TOKEN: u64 = 10_000_000;

/// Which of the two endpoints is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text stands in a `message`, and tools can be called.
    Chat,
    /// Text stands in `response`; tool calls do not exist and are left out.
    Generate,
}

pub(crate) fn frames(shape: Shape, exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut frames = Frames::default();
    let mut noise = Noise::in_lines();
    let mut calls = 0;
    for part in &plan.parts {
        let said = match part {
            Part::Text(text) => said(shape, text, "", vec![]),
            Part::Reasoning(text) => said(shape, "", text, vec![]),
            Part::ToolCall { name, arguments } => {
                let call = tool_call(exchange, calls, name, arguments);
                calls += 1;
                said(shape, "", "", vec![call])
            }
            Part::Noise => {
                noise.push_to(&mut frames);
                continue;
            }
        };
        frames.line(Pace::Paced, &object(exchange, said, json!({"done": false})));
    }
    match plan.ending {
        Ending::Complete => {
            let last = object(
                exchange,
                said(shape, "", "", vec![]),
                counts(shape, exchange.usage),
            );
            frames.line(Pace::Now, &last);
        }
        Ending::Error => frames.line(Pace::Now, &midstream_error().ollama_body()),
        Ending::Drop | Ending::Hang => {}
    }
    frames
}

pub(crate) fn whole(shape: Shape, exchange: &Exchange<'_>, plan: &Plan) -> Value {
    let calls = plan.tool_calls().enumerate();
    let calls = calls.map(|(index, (name, arguments))| tool_call(exchange, index, name, arguments));
    let said = said(shape, &plan.text(), &plan.reasoning(), calls.collect());
    object(exchange, said, counts(shape, exchange.usage))
}

/// The answer to a request without a prompt, which only loads or unloads the model.
pub(crate) fn nothing_said(shape: Shape, model: &str, reason: &str) -> Value {
    let exchange = Exchange {
        serial: 0,
        model,
        usage: Usage {
            prompt: 0,
            completion: 0,
            cached: 0,
            reasoning: 0,
        },
        include_usage: false,
    };
    object(
        &exchange,
        said(shape, "", "", vec![]),
        json!({"done": true, "done_reason": reason}),
    )
}

fn object(exchange: &Exchange<'_>, said: Value, state: Value) -> Value {
    let mut object = json!({"model": exchange.model, "created_at": CREATED_AT});
    if let (Some(fields), Value::Object(said), Value::Object(state)) = (object.as_object_mut(), said, state) {
        fields.extend(said);
        fields.extend(state);
    }
    object
}

fn said(shape: Shape, text: &str, thinking: &str, calls: Vec<Value>) -> Value {
    let mut said = match shape {
        Shape::Chat => json!({"message": {"role": "assistant", "content": text}}),
        Shape::Generate => json!({"response": text}),
    };
    let target = if shape == Shape::Chat {
        &mut said["message"]
    } else {
        &mut said
    };
    if !thinking.is_empty() {
        target["thinking"] = json!(thinking);
    }
    if !calls.is_empty() && shape == Shape::Chat {
        target["tool_calls"] = json!(calls);
    }
    said
}

fn tool_call(exchange: &Exchange<'_>, index: usize, name: &str, arguments: &Value) -> Value {
    let function = json!({"index": index, "name": name, "arguments": arguments});
    json!({"id": exchange.call_id(index), "function": function})
}

fn counts(shape: Shape, usage: Usage) -> Value {
    let (prompt, reply) = (usage.prompt * PROMPT_TOKEN, usage.completion * REPLY_TOKEN);
    let mut counts = json!({"done": true, "done_reason": "stop"});
    if shape == Shape::Generate {
        counts["context"] = json!([1, 2, 3]);
    }
    counts["total_duration"] = json!(LOAD + prompt + reply);
    counts["load_duration"] = json!(LOAD);
    counts["prompt_eval_count"] = json!(usage.prompt);
    counts["prompt_eval_duration"] = json!(prompt);
    counts["eval_count"] = json!(usage.completion);
    counts["eval_duration"] = json!(reply);
    counts
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
            reasoning: 0,
        },
        include_usage: false,
    };

    #[test]
    fn chat_lines_are_bytes_as_ollama_writes_them() {
        assert_eq!(
            frames_as_text(&frames(Shape::Chat, &EXCHANGE, &Plan::texts(["hi"]))),
            [
                "{\"model\":\"m\",\"created_at\":\"2023-11-14T22:13:20Z\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":false}\n",
                "{\"model\":\"m\",\"created_at\":\"2023-11-14T22:13:20Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":22000000,\"load_duration\":1000000,\"prompt_eval_count\":1,\"prompt_eval_duration\":1000000,\"eval_count\":2,\"eval_duration\":20000000}\n",
            ]
        );
    }

    #[test]
    fn thinking_and_calls_stand_in_the_message() {
        let parts = vec![
            Part::Reasoning("hm".to_owned()),
            Part::ToolCall {
                name: "f".to_owned(),
                arguments: json!({"a": 1}),
            },
        ];
        let whole = whole(
            Shape::Chat,
            &EXCHANGE,
            &Plan {
                parts,
                ..Plan::default()
            },
        );
        assert_eq!(
            whole["message"],
            json!({"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"id": "call_000003_0", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
            ]})
        );
    }

    #[test]
    fn generate_answers_in_response() {
        let whole = whole(Shape::Generate, &EXCHANGE, &Plan::texts(["h", "i"]));
        assert_eq!(whole["response"], "hi");
        assert_eq!(whole["context"], json!([1, 2, 3]));
        assert_eq!(
            nothing_said(Shape::Generate, "m", "unload")["done_reason"],
            "unload"
        );
    }
}
