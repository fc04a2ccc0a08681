//! Compares an answer with a golden one: structure, types and values, object key order aside. Ids
//! are compared by what they stand for, so that one difference does not drag others behind it.

use std::{fmt, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value};

use crate::{mask::type_name, names::Names, vars::pattern};

static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"<id:([^>]+)>"));

/// One place where an answer is not what the reference gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// JSON pointer below the step, for example `/json/data/0/name`.
    pub pointer: String,
    /// What the golden file has; nothing when the place should not exist.
    pub expected: Option<Value>,
    /// What was answered; nothing when it is absent.
    pub actual: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        match (&self.expected, &self.actual) {
            (Some(expected), None) => write!(out, "{pointer}: missing, expected {}", shown(expected)),
            (None, Some(actual)) => write!(out, "{pointer}: not in the reference: {}", shown(actual)),
            (Some(expected), Some(actual)) if type_name(expected) != type_name(actual) => write!(
                out,
                "{pointer}: expected {} {}, got {} {}",
                type_name(expected),
                shown(expected),
                type_name(actual),
                shown(actual)
            ),
            (expected, actual) => {
                let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), shown);
                write!(
                    out,
                    "{pointer}: expected {}, got {}",
                    show(expected),
                    show(actual)
                )
            }
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Every difference between `golden` and `actual`, which was masked by [`crate::Masker::compare`].
/// Ids seen for the first time are learned into `names`.
pub fn differences(golden: &Value, actual: &Value, names: &mut Names) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(golden, actual, "", names, &mut found);
    found
}

fn walk(golden: &Value, actual: &Value, pointer: &str, names: &mut Names, found: &mut Vec<Difference>) {
    match (golden, actual) {
        (Value::Object(expected), Value::Object(actual)) => objects(expected, actual, pointer, names, found),
        (Value::Array(expected), Value::Array(actual)) => lists(expected, actual, pointer, names, found),
        (Value::String(expected), Value::String(text)) if texts(expected, text, names) => {}
        (expected, actual) if expected == actual => {}
        _ => found.push(difference(pointer, Some(golden), Some(actual))),
    }
}

fn difference(pointer: &str, expected: Option<&Value>, actual: Option<&Value>) -> Difference {
    Difference {
        pointer: pointer.to_owned(),
        expected: expected.cloned(),
        actual: actual.cloned(),
    }
}

fn lists(
    expected: &[Value],
    actual: &[Value],
    pointer: &str,
    names: &mut Names,
    found: &mut Vec<Difference>,
) {
    for index in 0..expected.len().max(actual.len()) {
        let pointer = format!("{pointer}/{index}");
        match (expected.get(index), actual.get(index)) {
            (Some(golden), Some(value)) => walk(golden, value, &pointer, names, found),
            (golden, value) => found.push(difference(&pointer, golden, value)),
        }
    }
}

fn objects(
    expected: &Map<String, Value>,
    actual: &Map<String, Value>,
    pointer: &str,
    names: &mut Names,
    found: &mut Vec<Difference>,
) {
    let mut left: Vec<&String> = actual.keys().collect();
    for (key, golden) in expected {
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        // An exact key first; only then a key whose ids are still to be learned.
        let place = left.iter().position(|candidate| *candidate == key).or_else(|| {
            left.iter()
                .position(|candidate| ID.is_match(key) && texts(key, candidate, names))
        });
        match place.map(|place| left.remove(place)) {
            Some(candidate) => walk(golden, &actual[candidate], &pointer, names, found),
            None => found.push(difference(&pointer, Some(golden), None)),
        }
    }
    for key in left {
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(difference(&pointer, None, Some(&actual[key])));
    }
}

/// Whether two masked texts agree, learning the ids in them.
fn texts(golden: &str, actual: &str, names: &mut Names) -> bool {
    if golden == actual {
        return true;
    }
    let plain = |text: &str| ID.replace_all(text, "<id:>").into_owned();
    if plain(golden) != plain(actual) {
        return false;
    }
    let pairs: Vec<_> = ID.captures_iter(golden).zip(ID.captures_iter(actual)).collect();
    pairs.into_iter().all(|(expected, actual)| {
        let (name, given) = (&expected[1], &actual[1]);
        match given.strip_prefix('?') {
            Some(id) => names.unify(name, id),
            None => name == given,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers(golden: &Value, actual: &Value) -> Vec<String> {
        differences(golden, actual, &mut Names::default())
            .into_iter()
            .map(|found| found.pointer)
            .collect()
    }

    #[test]
    fn key_order_does_not_matter_and_types_do() {
        assert!(pointers(&json!({"a": 1, "b": null}), &json!({"b": null, "a": 1})).is_empty());
        assert_eq!(
            pointers(&json!({"a": 1, "b": null}), &json!({"a": 1.0})),
            ["/a", "/b"]
        );
        assert_eq!(
            pointers(&json!({"a": [1]}), &json!({"a": [1, 2], "c/d": 0})),
            ["/a/1", "/c~1d"]
        );
    }

    #[test]
    fn ids_are_learned_and_then_held_to() {
        let mut names = Names::default();
        let golden = json!({"id": "<id:1>", "url": "/x/<id:1>", "other": "<id:2>"});
        assert!(
            differences(
                &golden,
                &json!({"id": "<id:?a>", "url": "/x/<id:?a>", "other": "<id:?b>"}),
                &mut names
            )
            .is_empty()
        );
        assert_eq!(
            differences(&json!("<id:1>"), &json!("<id:2>"), &mut names).len(),
            1
        );
        assert_eq!(
            differences(&json!("<id:1>"), &json!("<id:?c>"), &mut names).len(),
            1
        );
        assert_eq!(
            differences(&json!("<id:1>"), &json!("plain"), &mut names).len(),
            1
        );
    }

    #[test]
    fn keys_may_be_ids() {
        assert!(
            pointers(
                &json!({"<id:1>": {"id": "<id:1>"}}),
                &json!({"<id:?a>": {"id": "<id:?a>"}})
            )
            .is_empty()
        );
        assert_eq!(
            pointers(
                &json!({"<id:1>": {"id": "<id:1>"}}),
                &json!({"<id:?a>": {"id": "<id:?b>"}})
            ),
            ["/<id:1>/id"]
        );
    }

    #[test]
    fn a_difference_reads_like_a_sentence() {
        let found = differences(&json!({"n": 1}), &json!({"n": "1"}), &mut Names::default());
        assert_eq!(found[0].to_string(), "/n: expected int 1, got string \"1\"");
        let found = differences(&json!({"n": 1}), &json!({}), &mut Names::default());
        assert_eq!(found[0].to_string(), "/n: missing, expected 1");
    }
}
