//! Turns the events of a socket into a record that does not depend on timing: consecutive deltas
//! of one item are joined, and types that a scenario marks so are moved, thinned out or dropped.

use serde_json::{Value, json};

use crate::{scenario::Events, socket::Event};

/// The record of the events of one step.
#[must_use]
pub fn describe(events: &[Event], spec: &Events) -> Value {
    let mut rows: Vec<(String, Value)> = Vec::new();
    let mut floating: Vec<Value> = Vec::new();
    for event in events {
        let kind = event.kind().to_owned();
        if spec.drop.contains_key(&kind) {
            continue;
        }
        let row = row(event);
        if spec.float.contains_key(&kind) {
            floating.push(row);
            continue;
        }
        if let Some((last, previous)) = rows.last_mut() {
            if *last == kind && spec.last_of.contains_key(&kind) {
                *previous = row;
                continue;
            }
            if join(previous, &row) {
                continue;
            }
        }
        rows.push((kind, row));
    }
    if spec.types_only {
        let mut kinds: Vec<&String> = rows.iter().map(|(kind, _)| kind).collect();
        kinds.dedup();
        return json!(kinds);
    }
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    if floating.is_empty() {
        return json!(rows);
    }
    json!({ "in order": rows, "at any place": floating })
}

fn row(event: &Event) -> Value {
    let mut row = json!({ "event": event.name });
    match event.arguments.as_slice() {
        [payload] => row["payload"] = payload.clone(),
        arguments => row["arguments"] = json!(arguments),
    }
    if event.wants_answer {
        row["wants_answer"] = json!(true);
    }
    row
}

/// Appends a delta to the delta before it, if both continue the same item.
fn join(previous: &mut Value, next: &Value) -> bool {
    const DATA: &str = "/payload/data/data";
    let kind = next
        .pointer("/payload/data/data/type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !kind.ends_with(".delta") {
        return false;
    }
    let Some(text) = next.pointer("/payload/data/data/delta").and_then(Value::as_str) else {
        return false;
    };
    let mut same = next.clone();
    let delta = "/payload/data/data/delta";
    if let (Some(slot), Some(old)) = (same.pointer_mut(delta), previous.pointer(delta)) {
        *slot = old.clone();
    }
    if same != *previous || previous.pointer(DATA).is_none() {
        return false;
    }
    match previous.pointer_mut(delta) {
        Some(Value::String(joined)) => {
            joined.push_str(text);
            true
        }
        _ => false,
    }
}

/// Whether `value` has every member of `wanted`, at any depth that `wanted` has.
#[must_use]
pub fn matches(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(members)) => wanted
            .iter()
            .all(|(key, wanted)| members.get(key).is_some_and(|member| matches(wanted, member))),
        (Value::Array(wanted), Value::Array(items)) => {
            wanted.len() == items.len()
                && wanted
                    .iter()
                    .zip(items)
                    .all(|(wanted, item)| matches(wanted, item))
        }
        (wanted, value) => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: Value) -> Event {
        Event {
            name: "events".to_owned(),
            arguments: vec![json!({"chat_id": "c", "data": {"type": kind, "data": data}})],
            wants_answer: false,
        }
    }

    fn delta(item: &str, text: &str) -> Event {
        event(
            "response:completion",
            json!({"type": "response.output_text.delta", "item_id": item, "delta": text}),
        )
    }

    fn spec(yaml: Value) -> Events {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn deltas_of_one_item_are_joined() {
        let events = [
            delta("a", "one"),
            delta("a", " two"),
            delta("b", "x"),
            event("done", json!({})),
            delta("b", "y"),
        ];
        let record = describe(&events, &spec(json!({"tab": "t"})));
        let texts: Vec<_> = record
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["payload"]["data"]["data"]["delta"].clone())
            .collect();
        assert_eq!(texts, [json!("one two"), json!("x"), Value::Null, json!("y")]);
    }

    #[test]
    fn marked_types_float_fall_away_or_keep_the_last() {
        let events = [
            event("chat:title", json!("T")),
            event("status", json!(1)),
            event("chat:completion", json!(1)),
            event("chat:completion", json!(2)),
        ];
        let spec = spec(json!({
            "tab": "t",
            "float": {"chat:title": "why"},
            "drop": {"status": "why"},
            "last_of": {"chat:completion": "why"},
        }));
        let record = describe(&events, &spec);
        assert_eq!(record["at any place"][0]["payload"]["data"]["data"], json!("T"));
        assert_eq!(record["in order"].as_array().unwrap().len(), 1);
        assert_eq!(record["in order"][0]["payload"]["data"]["data"], json!(2));
    }

    #[test]
    fn matching_looks_only_at_what_is_wanted() {
        assert!(matches(
            &json!({"a": {"b": 1}}),
            &json!({"a": {"b": 1, "c": 2}, "d": 3})
        ));
        assert!(!matches(&json!({"a": {"b": 2}}), &json!({"a": {"b": 1}})));
    }
}
