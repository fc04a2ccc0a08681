//! Token counts under the names that every provider has for them, brought to one set of names and added
//! up over the rounds of a run.

use serde_json::{Map, Value};

use crate::python::truthy;

/// Fields that add up when rounds are merged; every other field keeps the last round's value.
const SUMMED: [&str; 9] = [
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

/// Objects of numbers that add up field by field.
const DETAILS: [&str; 4] = [
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
];

/// Adds `input_tokens`, `output_tokens` and `total_tokens` to what a provider counted (OpenAI's, Ollama's and
/// llama.cpp's names are known). Nothing in, nothing out.
pub fn normalize(usage: &Map<String, Value>) -> Map<String, Value> {
    if usage.is_empty() {
        return Map::new();
    }
    let number = |name: &str| {
        usage
            .get(name)
            .and_then(Value::as_f64)
            .map(|number| number as i64)
    };
    let first = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| number(name).filter(|count| *count != 0))
    };
    let input = first(&["input_tokens", "prompt_tokens", "prompt_eval_count"])
        .or_else(|| number("prompt_eval_count"))
        .unwrap_or_else(|| number("prompt_n").unwrap_or(0) + number("cache_n").unwrap_or(0));
    let output = first(&["output_tokens", "completion_tokens", "eval_count", "predicted_n"]).unwrap_or(0);
    let total = first(&["total_tokens"]).unwrap_or(input + output);
    let mut result = usage.clone();
    for (name, count) in [
        ("input_tokens", input),
        ("output_tokens", output),
        ("total_tokens", total),
    ] {
        result.insert(name.to_owned(), Value::from(count));
    }
    result
}

/// Usage of a run after one more round. The neutral counts and costs are sums, `prompt_tokens` and
/// `completion_tokens` are the last round's.
pub fn merge(current: &Map<String, Value>, incoming: &Map<String, Value>) -> Map<String, Value> {
    let (current, incoming) = (normalize(current), normalize(incoming));
    if incoming.is_empty() {
        return current;
    }
    if current.is_empty() {
        return incoming;
    }
    let mut result = current.clone();
    result.extend(incoming.clone());
    for name in SUMMED {
        let (before, now) = (current.get(name), incoming.get(name));
        if let Some(sum) = sum(before, now).filter(|_| before.is_some() || now.is_some()) {
            result.insert(name.to_owned(), sum);
        }
    }
    for name in DETAILS {
        let (before, now) = (object(current.get(name)), object(incoming.get(name)));
        if before.is_some() || now.is_some() {
            result.insert(name.to_owned(), Value::Object(sum_fields(before, now)));
        }
    }
    for (name, neutral) in [
        ("prompt_tokens", "input_tokens"),
        ("completion_tokens", "output_tokens"),
    ] {
        let now = [name, neutral]
            .iter()
            .find_map(|name| incoming.get(*name).filter(|count| truthy(count)));
        let count = now
            .or_else(|| current.get(name))
            .cloned()
            .unwrap_or_else(|| Value::from(0));
        result.insert(name.to_owned(), count);
    }
    result
}

fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn sum_fields(before: Option<&Map<String, Value>>, now: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut result = before.cloned().unwrap_or_default();
    result.extend(now.cloned().unwrap_or_default());
    for (name, merged) in &mut result {
        let parts = [before, now].map(|fields| fields.and_then(|fields| fields.get(name)));
        if parts.iter().flatten().any(|part| part.is_object()) {
            *merged = Value::Object(sum_fields(object(parts[0]), object(parts[1])));
        } else if let Some(sum) = sum(parts[0], parts[1]) {
            *merged = sum;
        }
    }
    result
}

/// The sum of what are numbers, an absent one being zero; `None` when neither is a number. Whole numbers stay
/// whole.
fn sum(a: Option<&Value>, b: Option<&Value>) -> Option<Value> {
    let zero = Value::from(0);
    let (a, b) = (a.unwrap_or(&zero), b.unwrap_or(&zero));
    match (a.is_number(), b.is_number()) {
        (false, false) => None,
        (true, false) => Some(a.clone()),
        (false, true) => Some(b.clone()),
        (true, true) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(Value::from(a.saturating_add(b))),
            _ => Some(Value::from(a.as_f64()? + b.as_f64()?)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn counts_get_neutral_names() {
        let counts = |usage: Value| {
            let found = normalize(&map(usage));
            ["input_tokens", "output_tokens", "total_tokens"].map(|name| found[name].as_i64().unwrap())
        };
        assert_eq!(
            counts(json!({"prompt_tokens": 3, "completion_tokens": 4})),
            [3, 4, 7]
        );
        assert_eq!(
            counts(json!({"prompt_eval_count": 3, "eval_count": 4})),
            [3, 4, 7]
        );
        assert_eq!(
            counts(json!({"prompt_n": 3, "cache_n": 10, "predicted_n": 4})),
            [13, 4, 17]
        );
        assert_eq!(
            counts(json!({"input_tokens": 1, "output_tokens": 2, "total_tokens": 9})),
            [1, 2, 9]
        );
        assert_eq!(counts(json!({"prompt_tokens": null})), [0, 0, 0]);
        assert!(normalize(&Map::new()).is_empty());
    }

    #[test]
    fn rounds_add_up() {
        let first = map(
            json!({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5, "model": "a",
            "completion_tokens_details": {"reasoning_tokens": 2, "audio": 1, "deep": {"x": 1}}}),
        );
        let second = map(
            json!({"prompt_tokens": 20, "completion_tokens": 7, "cost": 1, "model": "b",
            "completion_tokens_details": {"reasoning_tokens": 3, "deep": {"x": 4, "y": 1}}}),
        );
        assert_eq!(
            Value::Object(merge(&first, &second)),
            json!({
                "prompt_tokens": 20, "completion_tokens": 7, "cost": 1.5, "model": "b",
                "completion_tokens_details": {"reasoning_tokens": 5, "audio": 1, "deep": {"x": 5, "y": 1}},
                "input_tokens": 30, "output_tokens": 12, "total_tokens": 42,
            })
        );
        assert_eq!(merge(&Map::new(), &first), normalize(&first));
        assert_eq!(merge(&first, &Map::new()), normalize(&first));
    }
}
