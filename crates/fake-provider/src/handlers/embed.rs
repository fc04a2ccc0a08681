//! The embedding endpoints. Every model name embeds, but those that refuse every request refuse.

use axum::response::Response;
use serde_json::{Value, json};

use crate::{
    catalogue::Behaviour,
    handlers::{Call, listing::ok},
    plan::Refusal,
    wire::embeddings::{DIMENSIONS, embed},
};

/// Nanoseconds that Ollama's shapes report.
const DURATION: u64 = 1_000_000;

/// `POST /v1/embeddings`, as numbers or as base64 of 32-bit floats.
pub(super) async fn openai(call: Call) -> Response {
    with_body(&call, |body, model| {
        let texts = texts(&body["input"]);
        let base64 = body["encoding_format"] == "base64";
        let data = texts.iter().enumerate().map(|(index, text)| {
            let vector = embed(text, dimensions(body));
            let embedding = if base64 {
                json!(as_base64(&vector))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        });
        let data: Vec<Value> = data.collect();
        let tokens = words(&texts);
        json!({
            "object": "list", "data": data, "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        })
    })
}

/// `POST /api/embed`.
pub(super) async fn ollama(call: Call) -> Response {
    with_body(&call, |body, model| {
        let texts = texts(&body["input"]);
        let vectors: Vec<Vec<f64>> = texts.iter().map(|text| embed(text, dimensions(body))).collect();
        json!({
            "model": model, "embeddings": vectors, "total_duration": 2 * DURATION,
            "load_duration": DURATION, "prompt_eval_count": words(&texts),
        })
    })
}

/// `POST /api/embeddings`, Ollama's older endpoint for one prompt.
pub(super) async fn ollama_single(call: Call) -> Response {
    with_body(
        &call,
        |body, _model| json!({"embedding": embed(body["prompt"].as_str().unwrap_or_default(), dimensions(body))}),
    )
}

fn with_body(call: &Call, answer: impl FnOnce(&Value, &str) -> Value) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let Some(model) = body["model"].as_str() else {
        return *call.refuse(&Refusal::bad_request("the request names no model"));
    };
    let listed = call.shared.behaviour(call.family(), model);
    if let Behaviour::Refuse(status) = listed.unwrap_or_else(|| Behaviour::of_name(model)) {
        return *call.refuse(&Refusal::of_status(status));
    }
    ok(&answer(&body, model))
}

/// A text, a list of texts, a list of tokens, or a list of those; tokens count as their numbers.
fn texts(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_number) && !items.is_empty() => vec![tokens(items)],
        Value::Array(items) => items.iter().map(text_of).collect(),
        _ => Vec::new(),
    }
}

fn text_of(item: &Value) -> String {
    match item {
        Value::String(text) => text.clone(),
        Value::Array(items) => tokens(items),
        _ => String::new(),
    }
}

fn tokens(items: &[Value]) -> String {
    let numbers: Vec<String> = items.iter().map(Value::to_string).collect();
    numbers.join(" ")
}

fn dimensions(body: &Value) -> usize {
    let asked = body["dimensions"]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok());
    asked.unwrap_or(DIMENSIONS)
}

fn words(texts: &[String]) -> usize {
    texts.iter().map(|text| text.split_whitespace().count()).sum()
}

/// Base64 (RFC 4648) of the vector's values as little-endian 32-bit floats.
fn as_base64(vector: &[f64]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    #[expect(clippy::cast_possible_truncation, reason = "the format is 32-bit floats")]
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|value| (*value as f32).to_le_bytes())
        .collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_input_is_read() {
        assert_eq!(texts(&json!("a b")), ["a b"]);
        assert_eq!(texts(&json!(["a", "b"])), ["a", "b"]);
        assert_eq!(texts(&json!([1, 2])), ["1 2"]);
        assert_eq!(texts(&json!([[1, 2], [3]])), ["1 2", "3"]);
        assert_eq!(texts(&json!([])), Vec::<String>::new());
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(as_base64(&[1.0]), "AACAPw==");
        assert_eq!(as_base64(&[1.0, -2.0]), "AACAPwAAAMA=");
        assert_eq!(as_base64(&[1.0, -2.0, 0.5]), "AACAPwAAAMAAAAA/");
    }
}
