//! OpenAI's older text completions.

use serde_json::{Value, json};

use crate::{
    plan::{Ending, Part, Plan},
    wire::{CREATED, Exchange, Frames, Noise, Pace, chat::DONE, midstream_error},
};

pub(crate) fn frames(exchange: &Exchange<'_>, plan: &Plan) -> Frames {
    let mut frames = Frames::default();
    let mut noise = Noise::in_events();
    for part in &plan.parts {
        match part {
            Part::Text(text) => frames.data(Pace::Paced, &object(exchange, text, None)),
            Part::Noise => noise.push_to(&mut frames),
            Part::Reasoning(_) | Part::ToolCall { .. } => {}
        }
    }
    match plan.ending {
        Ending::Complete => {
            frames.data(Pace::Now, &object(exchange, "", Some("stop")));
            frames.push(Pace::Now, &[DONE]);
        }
        Ending::Error => frames.data(Pace::Now, &midstream_error().openai_body()),
        Ending::Drop | Ending::Hang => {}
    }
    frames
}

pub(crate) fn whole(exchange: &Exchange<'_>, plan: &Plan) -> Value {
    let mut whole = object(exchange, &plan.text(), Some("stop"));
    let usage = exchange.usage;
    whole["usage"] = json!({
        "prompt_tokens": usage.prompt, "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    });
    whole
}

fn object(exchange: &Exchange<'_>, text: &str, finish_reason: Option<&str>) -> Value {
    json!({
        "id": format!("cmpl-{:06}", exchange.serial), "object": "text_completion", "created": CREATED,
        "model": exchange.model,
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason}],
    })
}
