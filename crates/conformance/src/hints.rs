//! Treats a recorded answer as its step says, before it is stored or compared. The same treatment
//! on both sides keeps the two comparable.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{mask::type_name, path::Path, scenario::Hints};

/// Members of an answer that hold a body; hint paths begin inside them.
const BODIES: &[&str] = &["json", "sse", "ndjson", "events", "requests", "acknowledgement"];

/// Applies the hints of a step. `blind` masks a value so that it can be sorted by.
///
/// # Errors
/// When a hint's path is not valid.
pub fn apply(answer: &mut Value, hints: &Hints, blind: &dyn Fn(&Value) -> Value) -> Result<()> {
    let Some(body) = BODIES
        .iter()
        .find_map(|body| answer.get_mut(*body).map(Value::take))
    else {
        return Ok(());
    };
    // A refusal is short and worth recording whole.
    let refused = answer["status"].as_u64().is_some_and(|status| status >= 400);
    let body = treated(body, hints, refused, blind)?;
    for name in BODIES {
        if let Some(slot) = answer.get_mut(*name) {
            *slot = body;
            break;
        }
    }
    Ok(())
}

fn treated(mut body: Value, hints: &Hints, whole: bool, blind: &dyn Fn(&Value) -> Value) -> Result<Value> {
    for path in hints.unordered.keys() {
        Path::parse(path)?.change(&mut body, &mut |found| {
            if let Value::Array(items) = found {
                sort(items, blind);
            }
        });
    }
    for path in hints.mask.keys() {
        Path::parse(path)?.change(&mut body, &mut |found| {
            *found = json!(format!("<{}>", type_name(found)))
        });
    }
    for path in hints.ignore.keys() {
        Path::parse(path)?.change(&mut body, &mut |found| *found = json!("<any>"));
    }
    if hints.only.is_empty() || whole {
        return Ok(body);
    }
    let mut kept = serde_json::Map::new();
    for path in &hints.only {
        let found: Vec<Value> = Path::parse(path)?.select(&body).into_iter().cloned().collect();
        kept.insert(path.clone(), Value::Array(found));
    }
    Ok(Value::Object(kept))
}

/// Sorts a list by what is the same in every run.
pub fn sort(items: &mut [Value], blind: &dyn Fn(&Value) -> Value) {
    items.sort_by_cached_key(|item| sorted_text(&blind(item)));
}

/// The text of a value with its keys in order, so that it does not depend on who wrote it.
fn sorted_text(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut keys: Vec<&String> = members.keys().collect();
                keys.sort();
                keys.into_iter()
                    .map(|key| (key.clone(), sorted(&members[key])))
                    .collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Table;

    fn table(entries: &[&str]) -> Table {
        entries
            .iter()
            .map(|path| ((*path).to_owned(), "why".to_owned()))
            .collect()
    }

    #[test]
    fn masks_ignores_sorts_and_selects() {
        let mut answer = json!({"status": 200, "json": {"n": 1.5, "x": [1], "list": [{"b": 2}, {"b": 1}]}});
        let hints = Hints {
            mask: table(&["$.n"]),
            ignore: table(&["$.x"]),
            unordered: table(&["$.list"]),
            only: vec![],
        };
        apply(&mut answer, &hints, &Value::clone).unwrap();
        assert_eq!(
            answer,
            json!({"status": 200, "json": {"n": "<float>", "x": "<any>", "list": [{"b": 1}, {"b": 2}]}})
        );
        let hints = Hints {
            only: vec!["$.list[*].b".to_owned()],
            ..Hints::default()
        };
        let mut refusal = json!({"status": 404, "json": {"detail": "x"}});
        apply(&mut refusal, &hints, &Value::clone).unwrap();
        assert_eq!(refusal["json"], json!({"detail": "x"}));
        apply(&mut answer, &hints, &Value::clone).unwrap();
        assert_eq!(answer["json"], json!({"$.list[*].b": [1, 2]}));
    }

    #[test]
    fn sorting_does_not_depend_on_key_order() {
        assert_eq!(
            sorted_text(&json!({"b": 1, "a": {"d": 1, "c": 2}})),
            r#"{"a":{"c":2,"d":1},"b":1}"#
        );
    }
}
