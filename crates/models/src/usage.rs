//! Token counts of a reply: the dialects of providers brought to one form, and the counts of several
//! rounds added up.

use serde_json::{Map, Value, json};

/// Counts that add up over the rounds of a tool loop.
const SUMMED: &[&str] = &[
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost",
    "total_cost",
    "input_cost",
    "output_cost",
    "prompt_cost",
    "completion_cost",
];

/// Objects of counts that add up field by field.
const DETAILS: &[&str] = &[
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
];

fn count(usage: &Map<String, Value>, name: &str) -> Option<i64> {
    usage.get(name).and_then(|value| {
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|count| count as i64))
    })
}

fn first_positive(usage: &Map<String, Value>, names: &[&str]) -> Option<i64> {
    names
        .iter()
        .filter_map(|name| count(usage, name))
        .find(|count| *count != 0)
}

/// Adds `input_tokens`, `output_tokens` and `total_tokens` to counts in the form of OpenAI, Ollama or
/// llama.cpp. Empty in, empty out.
pub fn normalize(usage: &Value) -> Value {
    let Some(usage) = usage.as_object().filter(|usage| !usage.is_empty()) else {
        return json!({});
    };
    let input = first_positive(usage, &["input_tokens", "prompt_tokens", "prompt_eval_count"])
        .unwrap_or_else(|| count(usage, "prompt_n").unwrap_or(0) + count(usage, "cache_n").unwrap_or(0));
    let output = first_positive(
        usage,
        &["output_tokens", "completion_tokens", "eval_count", "predicted_n"],
    )
    .unwrap_or(0);
    let total = first_positive(usage, &["total_tokens"]).unwrap_or(input + output);
    let mut normal = usage.clone();
    normal.insert("input_tokens".into(), json!(input));
    normal.insert("output_tokens".into(), json!(output));
    normal.insert("total_tokens".into(), json!(total));
    Value::Object(normal)
}

/// Adds the counts of a further round; what is no sum takes the newer value.
pub fn merge(earlier: &Value, later: &Value) -> Value {
    let (Some(earlier_map), Some(later_map)) = (earlier.as_object(), later.as_object()) else {
        return if later.is_object() {
            later.clone()
        } else {
            earlier.clone()
        };
    };
    let mut merged = earlier_map.clone();
    for (name, value) in later_map {
        let sum = match merged.get(name) {
            Some(before) if SUMMED.contains(&name.as_str()) => add(before, value),
            Some(Value::Object(before)) if DETAILS.contains(&name.as_str()) => {
                value.as_object().map(|after| add_fields(before, after))
            }
            _ => None,
        };
        merged.insert(name.clone(), sum.unwrap_or_else(|| value.clone()));
    }
    Value::Object(merged)
}

fn add_fields(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let mut sums = before.clone();
    for (name, value) in after {
        let sum = sums.get(name).and_then(|earlier| add(earlier, value));
        sums.insert(name.clone(), sum.unwrap_or_else(|| value.clone()));
    }
    Value::Object(sums)
}

fn add(a: &Value, b: &Value) -> Option<Value> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(json!(a + b)),
        _ => Some(json!(a.as_f64()? + b.as_f64()?)),
    }
}

/// The counts of a stored message, normalised; older messages keep them under `info`.
pub fn of_message(message: &Value) -> Option<Value> {
    let usage = [
        message.get("usage"),
        message.get("info").and_then(|info| info.get("usage")),
    ]
    .into_iter()
    .flatten()
    .find(|usage| usage.as_object().is_some_and(|usage| !usage.is_empty()))?;
    Some(normalize(usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_gets_the_three_counts() {
        let openai = normalize(&json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}));
        assert_eq!(
            (
                &openai["input_tokens"],
                &openai["output_tokens"],
                &openai["prompt_tokens"]
            ),
            (&json!(3), &json!(4), &json!(3))
        );
        let ollama = normalize(&json!({"prompt_eval_count": 5, "eval_count": 6}));
        assert_eq!(ollama["total_tokens"], 11);
        let llama = normalize(&json!({"prompt_n": 2, "cache_n": 3, "predicted_n": 4}));
        assert_eq!(
            (&llama["input_tokens"], &llama["output_tokens"]),
            (&json!(5), &json!(4))
        );
        assert_eq!(normalize(&json!(null)), json!({}));
    }

    #[test]
    fn rounds_add_up() {
        let merged = merge(
            &json!({"input_tokens": 1, "prompt_tokens": 1, "prompt_tokens_details": {"cached": 1}}),
            &json!({"input_tokens": 2, "prompt_tokens": 2, "prompt_tokens_details": {"cached": 2}}),
        );
        assert_eq!(
            merged,
            json!({"input_tokens": 3, "prompt_tokens": 2, "prompt_tokens_details": {"cached": 3}})
        );
    }
}
