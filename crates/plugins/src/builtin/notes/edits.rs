//! Changes of parts of a text: by offsets, or by what stands there. Offsets count characters. All operations are
//! checked before any is applied, so a refused change changes nothing.

use serde_json::{Value, json};

/// A changed text.
#[derive(Debug, PartialEq)]
pub(super) struct Edited {
    /// The new text.
    pub(super) text: String,
    /// How many operations were applied.
    pub(super) operations: usize,
    /// Ranges of the old text that were replaced.
    pub(super) ranges: Vec<(usize, usize)>,
}

impl Edited {
    /// A text that was given anew.
    pub(super) fn whole(text: String) -> Self {
        Self {
            text,
            operations: 0,
            ranges: Vec::new(),
        }
    }
}

struct Replacement {
    start: usize,
    end: usize,
    text: String,
}

fn refuse(text: &str, code: &str, index: usize) -> Value {
    json!({ "error": text, "code": code, "index": index })
}

/// Applies a list of operations. The error is for the model.
pub(super) fn apply(old: &str, operations: &Value) -> Result<Edited, Value> {
    let operations = operations.as_array().filter(|operations| !operations.is_empty());
    let operations = operations.ok_or_else(
        || json!({ "error": "operations must be a non-empty list", "code": "invalid_operations" }),
    )?;
    let characters: Vec<char> = old.chars().collect();
    let mut replacements: Vec<Replacement> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        if !operation.is_object() {
            return Err(refuse(
                "each operation must be an object",
                "invalid_operation",
                index,
            ));
        }
        let action = operation
            .get("action")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let content = operation.get("content").and_then(Value::as_str);
        match action {
            "replace" if operations.len() != 1 => {
                return Err(refuse(
                    "replace operation must be the only operation",
                    "invalid_operations",
                    index,
                ));
            }
            "replace" => {
                let text = content.ok_or_else(|| {
                    refuse(
                        "replace operation content must be a string",
                        "invalid_content",
                        index,
                    )
                })?;
                return Ok(Edited {
                    operations: 1,
                    ..Edited::whole(text.to_owned())
                });
            }
            "replace_text" | "replace_range" => {}
            _ => {
                let mut refusal = refuse("unknown operation action", "invalid_action", index);
                refusal["action"] = operation.get("action").cloned().unwrap_or_default();
                return Err(refusal);
            }
        }
        let content =
            content.ok_or_else(|| refuse("operation content must be a string", "invalid_content", index))?;
        let ranges = if action == "replace_text" && operation.get("find").is_some() {
            found(&characters, operation, index)?
        } else {
            vec![range(&characters, operation, index)?]
        };
        replacements.extend(ranges.into_iter().map(|(start, end)| Replacement {
            start,
            end,
            text: content.to_owned(),
        }));
    }
    replacements.sort_by_key(|replacement| replacement.start);
    let mut text = String::with_capacity(old.len());
    let mut end = 0;
    for (index, replacement) in replacements.iter().enumerate() {
        if replacement.start < end {
            return Err(refuse(
                "operation ranges must not overlap",
                "overlapping_operations",
                index,
            ));
        }
        text.extend(&characters[end..replacement.start]);
        text.push_str(&replacement.text);
        end = replacement.end;
    }
    text.extend(&characters[end..]);
    Ok(Edited {
        text,
        operations: replacements.len(),
        ranges: replacements
            .iter()
            .map(|replacement| (replacement.start, replacement.end))
            .collect(),
    })
}

/// Ranges of a text that is looked for.
fn found(text: &[char], operation: &Value, index: usize) -> Result<Vec<(usize, usize)>, Value> {
    if operation.get("start").is_some() || operation.get("end").is_some() {
        return Err(refuse(
            "use either find or start/end, not both",
            "invalid_operation",
            index,
        ));
    }
    let find: Vec<char> = operation["find"].as_str().unwrap_or_default().chars().collect();
    if find.is_empty() {
        return Err(refuse("find must be a non-empty string", "invalid_find", index));
    }
    let all = match operation.get("replace_all") {
        None => Some(false),
        Some(value) => value.as_bool(),
    };
    let occurrence = operation.get("occurrence").filter(|value| !value.is_null());
    let wanted = occurrence.map(|value| value.as_u64().and_then(|number| usize::try_from(number).ok()));
    let bad = all.is_none() || wanted == Some(None) || (all == Some(true) && wanted.is_some());
    if bad {
        return Err(refuse(
            "use a non-negative occurrence or replace_all boolean",
            "invalid_occurrence",
            index,
        ));
    }
    let mut matches = Vec::new();
    let mut at = 0;
    while at + find.len() <= text.len() {
        if text[at..at + find.len()] == find[..] {
            matches.push((at, at + find.len()));
            at += find.len();
        } else {
            at += 1;
        }
    }
    if matches.is_empty() {
        return Err(refuse("Text not found", "text_not_found", index));
    }
    match wanted.flatten() {
        Some(number) => match matches.get(number) {
            Some(range) => Ok(vec![*range]),
            None => Err(refuse("occurrence is out of bounds", "invalid_occurrence", index)),
        },
        None if matches.len() > 1 && all != Some(true) => {
            let places: Vec<Value> = matches
                .iter()
                .map(|(start, end)| {
                    let around = start.saturating_sub(50)..(end + 50).min(text.len());
                    json!({ "start": start, "end": end, "context": text[around].iter().collect::<String>() })
                })
                .collect();
            let mut refusal = refuse(
                "Multiple matches; specify occurrence or replace_all",
                "ambiguous_match",
                index,
            );
            refusal["matches"] = Value::Array(places);
            Err(refusal)
        }
        None => Ok(matches),
    }
}

/// The range that an operation names.
fn range(text: &[char], operation: &Value, index: usize) -> Result<(usize, usize), Value> {
    let offset = |name: &str| operation.get(name).and_then(Value::as_i64);
    let (Some(start), Some(end)) = (offset("start"), offset("end")) else {
        return Err(refuse(
            "operation start and end must be integers",
            "invalid_range",
            index,
        ));
    };
    let inside = match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end && end <= text.len() => Some((start, end)),
        _ => None,
    };
    let (start, end) =
        inside.ok_or_else(|| refuse("operation range is out of bounds", "range_out_of_bounds", index))?;
    let expected = operation.get("expected").filter(|expected| !expected.is_null());
    if expected.is_some_and(|expected| *expected != text[start..end].iter().collect::<String>().as_str()) {
        return Err(refuse(
            "operation expected text does not match current content",
            "expected_mismatch",
            index,
        ));
    }
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(old: &str, operations: Value) -> String {
        apply(old, &operations).unwrap().text
    }

    fn code(old: &str, operations: Value) -> String {
        let refusal = apply(old, &operations).unwrap_err();
        refusal["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn parts_are_replaced_by_the_offsets_of_the_old_text() {
        let operations = json!([
            {"action": "replace_text", "start": 4, "end": 5, "content": "XX", "expected": "e"},
            {"action": "replace_range", "start": 0, "end": 2, "content": ""},
        ]);
        assert_eq!(text("äbcdefg", operations), "cdXXfg");
        let all = json!([{"action": "replace_text", "find": "a", "content": "o", "replace_all": true}]);
        assert_eq!(text("banana", all), "bonono");
        let second = json!([{"action": "replace_text", "find": "a", "content": "o", "occurrence": 1}]);
        assert_eq!(text("banana", second), "banona");
        assert_eq!(text("x", json!([{"action": "replace", "content": "y"}])), "y");
    }

    #[test]
    fn unclear_operations_change_nothing() {
        let find = |more: Value| {
            let mut operation = json!({"action": "replace_text", "find": "a", "content": "o"});
            operation
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().cloned().unwrap());
            json!([operation])
        };
        assert_eq!(code("banana", find(json!({}))), "ambiguous_match");
        assert_eq!(
            code("banana", find(json!({"occurrence": 9}))),
            "invalid_occurrence"
        );
        assert_eq!(code("banana", find(json!({"start": 1}))), "invalid_operation");
        assert_eq!(code("none", find(json!({}))), "text_not_found");
        assert_eq!(code("x", json!([])), "invalid_operations");
        assert_eq!(code("x", json!([{"action": "drop"}])), "invalid_action");
        let range = |start: i64, end: i64| json!({"action": "replace_text", "start": start, "end": end, "content": ""});
        assert_eq!(code("abc", json!([range(0, 9)])), "range_out_of_bounds");
        assert_eq!(
            code("abc", json!([range(0, 2), range(1, 3)])),
            "overlapping_operations"
        );
    }
}
