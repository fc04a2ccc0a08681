//! Parameters of workspace models and requests laid over a payload: names that are ours alone are taken
//! out, custom ones are merged in, values get the types that providers expect.

use serde_json::{Map, Value};

use crate::ollama_payload::{ROOT_OPTIONS, parsed};
use crate::python::{text_of, truthy};

/// Parameters that steer this server and never reach a provider.
const OURS: [&str; 9] = [
    "stream_response",
    "stream_delta_chunk_size",
    "function_calling",
    "reasoning_tags",
    "compact_token_threshold",
    "system",
    "note_id",
    "tool_approval_mode",
    "model_controls",
];

/// The type that a provider expects.
#[derive(Clone, Copy)]
enum Cast {
    Float,
    Int,
    Text,
    Bool,
    StopWords,
}

const OPENAI: [(&str, Cast); 8] = [
    ("temperature", Cast::Float),
    ("top_p", Cast::Float),
    ("min_p", Cast::Float),
    ("max_tokens", Cast::Int),
    ("frequency_penalty", Cast::Float),
    ("presence_penalty", Cast::Float),
    ("reasoning_effort", Cast::Text),
    ("stop", Cast::StopWords),
];

const OLLAMA: [(&str, Cast); 20] = [
    ("temperature", Cast::Float),
    ("top_p", Cast::Float),
    ("mirostat", Cast::Int),
    ("mirostat_eta", Cast::Float),
    ("mirostat_tau", Cast::Float),
    ("num_ctx", Cast::Int),
    ("num_batch", Cast::Int),
    ("num_keep", Cast::Int),
    ("num_predict", Cast::Int),
    ("repeat_last_n", Cast::Int),
    ("top_k", Cast::Int),
    ("min_p", Cast::Float),
    ("repeat_penalty", Cast::Float),
    ("presence_penalty", Cast::Float),
    ("frequency_penalty", Cast::Float),
    ("stop", Cast::StopWords),
    ("num_gpu", Cast::Int),
    ("use_mmap", Cast::Bool),
    ("use_mlock", Cast::Bool),
    ("num_thread", Cast::Int),
];

/// What of `params` concerns providers: without our own names, `custom_params` merged in (texts that hold
/// JSON become that JSON).
pub fn for_provider(mut params: Map<String, Value>) -> Map<String, Value> {
    params.retain(|name, _| !OURS.contains(&name.as_str()));
    if let Some(Value::Object(custom)) = params.shift_remove("custom_params") {
        let custom = custom
            .into_iter()
            .map(|(name, value)| (name, parsed(value)))
            .collect();
        deep_update(&mut params, custom);
    }
    params
}

/// Lays a model's parameters over a Chat Completions payload; what the payload says wins.
pub fn apply_openai(params: Map<String, Value>, payload: &mut Map<String, Value>) {
    lay_over(for_provider(params), payload, &OPENAI);
}

/// Puts parameters into the `options` of a Chat Completions payload that is meant for Ollama, where
/// [`crate::ollama_payload`] finds them; what is there wins.
pub fn into_options(params: Map<String, Value>, payload: &mut Map<String, Value>) {
    let mut options = match payload.shift_remove("options") {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    lay_over(for_provider(params), &mut options, &OLLAMA);
    if !options.is_empty() {
        payload.insert("options".to_owned(), Value::Object(options));
    }
}

/// Lays a model's parameters over an `/api/chat` request: into its `options`, but for the few that Ollama
/// takes beside them; those replace what the request says.
pub fn apply_ollama(params: Map<String, Value>, request: &mut Map<String, Value>) {
    let mut params = for_provider(params);
    if params.get("max_tokens").is_some_and(|limit| !limit.is_null())
        && let Some(limit) = params.shift_remove("max_tokens")
    {
        params.insert("num_predict".to_owned(), limit);
    }
    for name in ROOT_OPTIONS {
        if params.get(name).is_some_and(|value| !value.is_null())
            && let Some(value) = params.shift_remove(name)
        {
            request.insert(
                name.to_owned(),
                if name == "think" { value } else { parsed(value) },
            );
        }
    }
    let mut options = match request.shift_remove("options") {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    lay_over(params, &mut options, &OLLAMA);
    request.insert("options".to_owned(), Value::Object(options));
}

fn lay_over(params: Map<String, Value>, target: &mut Map<String, Value>, casts: &[(&str, Cast)]) {
    for (name, value) in params {
        if value.is_null() || target.contains_key(&name) {
            continue;
        }
        let cast = casts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, cast)| *cast);
        let value = cast.map_or_else(|| value.clone(), |cast| cast.apply(&value));
        target.insert(name, value);
    }
}

/// Merges objects field by field; everything else replaces.
pub fn deep_update(target: &mut Map<String, Value>, update: Map<String, Value>) {
    for (name, value) in update {
        match (target.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(fields)) => deep_update(known, fields),
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

impl Cast {
    /// The value in the expected type; as it is when it cannot be read so.
    fn apply(self, value: &Value) -> Value {
        let number = || match value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
            other => other.as_f64(),
        };
        match self {
            Self::Float => number().map_or_else(|| value.clone(), Value::from),
            Self::Int if value.is_i64() || value.is_u64() => value.clone(),
            Self::Int => number().map_or_else(|| value.clone(), |number| Value::from(number.trunc() as i64)),
            Self::Text => Value::from(text_of(value)),
            Self::Bool => Value::Bool(truthy(value)),
            Self::StopWords => match value {
                Value::Array(words) => words
                    .iter()
                    .map(|word| Value::from(unescape(&text_of(word))))
                    .collect(),
                Value::String(text) => text
                    .chars()
                    .map(|letter| Value::from(letter.to_string()))
                    .collect(),
                other => other.clone(),
            },
        }
    }
}

/// Resolves the escapes that people type into a form field: `\n`, `\t`, `\xNN`, `\uNNNN` and the like.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let (resolved, used) = match escape.chars().next() {
            Some('n') => (Some('\n'), 1),
            Some('t') => (Some('\t'), 1),
            Some('r') => (Some('\r'), 1),
            Some('0') => (Some('\0'), 1),
            Some(same @ ('\\' | '\'' | '"')) => (Some(same), 1),
            Some('x') => (code_point(escape, 2), 3),
            Some('u') => (code_point(escape, 4), 5),
            _ => (None, 0),
        };
        match resolved {
            Some(letter) => {
                out.push(letter);
                rest = &escape[used..];
            }
            None => {
                out.push('\\');
                rest = escape;
            }
        }
    }
    out.push_str(rest);
    out
}

fn code_point(escape: &str, digits: usize) -> Option<char> {
    char::from_u32(u32::from_str_radix(escape.get(1..=digits)?, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn openai_parameters_fill_gaps() {
        let mut payload = map(json!({"model": "m", "temperature": 0.1}));
        let params = json!({
            "temperature": 2, "top_p": "0.5", "max_tokens": "64", "seed": 1, "system": "s", "function_calling": "native",
            "stop": ["\\n", "é\\u0041\\q"], "response_format": {"type": "json_object"}, "min_p": null,
            "custom_params": {"provider": "{\"only\": [\"x\"]}", "note": "plain", "response_format": {"strict": true}},
        });
        apply_openai(map(params), &mut payload);
        assert_eq!(
            Value::Object(payload),
            json!({
                "model": "m", "temperature": 0.1, "top_p": 0.5, "max_tokens": 64, "seed": 1,
                "stop": ["\n", "éA\\q"], "response_format": {"type": "json_object", "strict": true},
                "provider": {"only": ["x"]}, "note": "plain",
            })
        );
    }

    #[test]
    fn ollama_parameters_go_into_options() {
        let mut request = map(json!({"model": "m", "options": {"top_k": 5}, "think": false}));
        let params = json!({"max_tokens": 9, "top_k": 7, "num_ctx": 4096.0, "use_mmap": 1, "think": true,
            "keep_alive": "10", "format": "json", "temperature": 1});
        apply_ollama(map(params), &mut request);
        assert_eq!(
            Value::Object(request),
            json!({
                "model": "m", "think": true, "keep_alive": 10, "format": "json",
                "options": {"top_k": 5, "num_predict": 9, "num_ctx": 4096, "use_mmap": true, "temperature": 1.0},
            })
        );
    }
}
