//! The list of output items of an answer, built from stream events. Events may be incomplete or come in
//! forms of other servers: what fits nowhere is skipped.

use serde_json::{Map, Value, json};

use crate::python::{text_of, truthy};

/// Positions further behind the end than this are nonsense; they must not make us allocate.
const MAX_GAP: usize = 64;

/// The items built so far, in the order of the answer.
#[derive(Debug, Clone, Default)]
pub struct OutputItems {
    items: Vec<Value>,
}

/// What an event says besides changing the items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effect {
    /// Token counts, with the last event.
    pub usage: Option<Value>,
    /// Id of the answer, with the last event.
    pub response_id: Option<Value>,
    /// Whether the answer is complete.
    pub done: bool,
    /// What went wrong.
    pub error: Option<Value>,
}

impl OutputItems {
    /// Starts from items that exist already.
    pub fn new(items: Vec<Value>) -> Self {
        Self { items }
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// The items, to be changed by the caller.
    pub fn items_mut(&mut self) -> &mut Vec<Value> {
        &mut self.items
    }

    /// Ends building.
    pub fn into_items(self) -> Vec<Value> {
        self.items
    }

    /// Takes an event into the items. `None` for events that only changed items or say nothing.
    pub fn apply(&mut self, event: &Value) -> Option<Effect> {
        let kind = text(event, "type");
        match kind {
            "response.output_item.added" => {
                self.add_item(event);
                None
            }
            "response.content_part.added" => {
                self.add_part(event, "content", |item| text(item, "type") != "reasoning");
                None
            }
            "response.reasoning_summary_part.added" => {
                self.add_part(event, "summary", |_| true);
                None
            }
            "response.output_item.done" => {
                self.finish_item(event);
                Some(Effect::default())
            }
            "response.completed" => Some(self.complete(event)),
            "response.failed" => {
                let error = event.get("response").and_then(|response| response.get("error"));
                Some(Effect {
                    error: Some(error.cloned().unwrap_or_else(|| json!({}))),
                    ..Effect::default()
                })
            }
            "error" => Some(Effect {
                error: Some(event.clone()),
                ..Effect::default()
            }),
            _ => {
                let middle = kind.strip_prefix("response.")?;
                if let Some(what) = middle.strip_suffix(".delta") {
                    self.add_delta(event, what.split('.').next().unwrap_or(what));
                    return None;
                }
                let what = middle.strip_suffix(".done")?;
                self.finish_field(event, what.split('.').next().unwrap_or(what))
                    .then(Effect::default)
            }
        }
    }

    /// The item that an event is about: the one at `output_index`, else the last.
    fn target(&mut self, event: &Value) -> Option<&mut Value> {
        let index = index(event, "output_index").unwrap_or(self.items.len().wrapping_sub(1));
        self.items.get_mut(index).filter(|item| item.is_object())
    }

    fn add_item(&mut self, event: &Value) {
        let Some(item) = event.get("item").filter(|item| truthy(item)) else {
            return;
        };
        let same = |known: &Value| {
            let both = |name: &str| {
                item.get(name)
                    .filter(|id| truthy(id))
                    .is_some_and(|id| known.get(name) == Some(id))
            };
            both("id") || (both("call_id") && known.get("type") == item.get("type"))
        };
        match self.items.iter().position(same) {
            Some(at) => self.items[at] = item.clone(),
            None => {
                let at = index(event, "output_index")
                    .unwrap_or(self.items.len())
                    .min(self.items.len());
                self.items.insert(at, item.clone());
            }
        }
    }

    fn add_part(&mut self, event: &Value, list: &str, wanted: fn(&Value) -> bool) {
        let part = event.get("part").cloned().unwrap_or_else(|| json!({}));
        let Some(item) = self.target(event) else { return };
        let takes = wanted(item);
        if let Some(parts) = list_of(item, list)
            && takes
        {
            parts.push(part);
        }
    }

    fn finish_item(&mut self, event: &Value) {
        let Some(item) = event.get("item").filter(|item| truthy(item)) else {
            return;
        };
        match self.target(event) {
            Some(known) => *known = item.clone(),
            None => self.items.push(item.clone()),
        }
    }

    fn complete(&mut self, event: &Value) -> Effect {
        let response = event.get("response");
        let field = |name: &str| {
            response
                .and_then(|response| response.get(name))
                .filter(|value| !value.is_null())
        };
        // Some servers send an empty list here although they streamed items.
        if let Some(output) = field("output")
            .and_then(Value::as_array)
            .filter(|items| !items.is_empty())
        {
            self.items = output.clone();
        }
        for item in self
            .items
            .iter_mut()
            .filter(|item| text(item, "type") == "reasoning")
        {
            item["status"] = Value::from("completed");
        }
        Effect {
            usage: field("usage").cloned(),
            response_id: field("id").cloned(),
            done: true,
            error: None,
        }
    }

    fn add_delta(&mut self, event: &Value, what: &str) {
        let at = index(event, "output_index").unwrap_or(self.items.len().saturating_sub(1));
        // Items can begin with a delta, without having been announced.
        if at >= self.items.len() {
            if at - self.items.len() > MAX_GAP {
                return;
            }
            while self.items.len() <= at {
                self.items.push(
                    json!({"type": "message", "status": "in_progress", "role": "assistant", "content": []}),
                );
            }
            let kind = match what {
                "function_call_arguments" => "function_call",
                what if what.starts_with("reasoning") => "reasoning",
                _ => "message",
            };
            self.items[at]["id"] = event.get("item_id").cloned().unwrap_or_default();
            self.items[at]["type"] = Value::from(kind);
        }
        let empty = Value::from("");
        let delta = event.get("delta").unwrap_or(&empty);
        let item = &mut self.items[at];
        match (text(item, "type"), what) {
            ("function_call", "function_call_arguments") => {
                append(item, "arguments", &Value::from(text_of(delta)))
            }
            (_, "function_call_arguments") => {}
            ("message", "reasoning_text" | "reasoning_summary_text") => {}
            ("message", what) => {
                append_part(
                    item,
                    "content",
                    index(event, "content_index"),
                    "text",
                    field_name(what),
                    delta,
                );
            }
            ("reasoning", "reasoning_summary_text") => {
                append_part(
                    item,
                    "summary",
                    index(event, "summary_index"),
                    "summary_text",
                    "text",
                    delta,
                );
            }
            ("reasoning", "reasoning_text") => {
                append_part(
                    item,
                    "content",
                    index(event, "content_index"),
                    "text",
                    "text",
                    delta,
                );
            }
            ("reasoning", _) => {}
            (_, what) => append(item, field_name(what), delta),
        }
    }

    /// Takes the final value of a part or field; whether anything changed.
    fn finish_field(&mut self, event: &Value, what: &str) -> bool {
        let Some(item) = self.target(event) else {
            return false;
        };
        let list = match what {
            "content_part" => Some(("content", "content_index")),
            "reasoning_summary_part" => Some(("summary", "summary_index")),
            _ => None,
        };
        if let Some((list, position)) = list {
            let (Some(part), Some(parts)) = (
                event.get("part").filter(|part| truthy(part)),
                item.get_mut(list).and_then(Value::as_array_mut),
            ) else {
                return false;
            };
            let at = index(event, position).unwrap_or(parts.len().wrapping_sub(1));
            return parts.get_mut(at).map(|known| *known = part.clone()).is_some();
        }
        let field = match what {
            "function_call_arguments" => "arguments",
            "reasoning_text" | "reasoning_summary_text" => "text",
            other => field_name(other),
        };
        let Some(value) = event.get(field) else {
            return false;
        };
        match (text(item, "type"), what) {
            ("function_call", "function_call_arguments") => item["arguments"] = value.clone(),
            (_, "function_call_arguments") => {}
            ("message", _) => {
                let at = index(event, "content_index").unwrap_or(0);
                let part = item.get_mut("content").and_then(|parts| parts.get_mut(at));
                if let Some(part) = part.and_then(Value::as_object_mut) {
                    part.insert(field.to_owned(), value.clone());
                }
            }
            ("reasoning", _) => item["status"] = Value::from("completed"),
            (_, _) => item[field] = value.clone(),
        }
        true
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn index(event: &Value, name: &str) -> Option<usize> {
    event.get(name)?.as_u64()?.try_into().ok()
}

/// Events about text say `text` or `output_text`; in items both are `text`.
fn field_name(what: &str) -> &str {
    if what == "output_text" { "text" } else { what }
}

/// The list `name` of an item, made if it is missing.
fn list_of<'a>(item: &'a mut Value, name: &str) -> Option<&'a mut Vec<Value>> {
    let list = item.as_object_mut()?.entry(name).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut()
}

/// Appends to the text of the part at a position, making empty parts before it as needed.
fn append_part(item: &mut Value, list: &str, at: Option<usize>, kind: &str, field: &str, delta: &Value) {
    let Some(parts) = list_of(item, list) else { return };
    let at = at.unwrap_or(0).min(parts.len() + MAX_GAP);
    while parts.len() <= at {
        parts.push(json!({ "type": kind, "text": "" }));
    }
    append(&mut parts[at], field, delta);
}

/// Appends to a field: texts grow, objects merge, everything else is replaced.
fn append(holder: &mut Value, field: &str, delta: &Value) {
    let Some(fields) = holder.as_object_mut() else {
        return;
    };
    match (fields.get_mut(field), delta) {
        (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
        (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
        _ => {
            fields.insert(field.to_owned(), delta.clone());
        }
    }
}

fn merge(known: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (known.get_mut(name), value) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            _ => {
                known.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(events: Value) -> (Vec<Value>, Vec<Option<Effect>>) {
        let mut output = OutputItems::default();
        let effects = events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| output.apply(event))
            .collect();
        (output.into_items(), effects)
    }

    #[test]
    fn a_whole_answer_is_built() {
        let (items, effects) = reduce(json!([
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs"}},
            {"type": "response.reasoning_summary_part.added", "output_index": 0, "part": {"type": "summary_text", "text": ""}},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "think"},
            {"type": "response.reasoning_summary_text.done", "output_index": 0, "text": "think"},
            {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "m", "content": []}},
            {"type": "response.content_part.added", "output_index": 1, "part": {"type": "output_text", "text": ""}},
            {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hel"},
            {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "lo"},
            {"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "id": "f", "call_id": "c", "arguments": ""}},
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"a\""},
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
            {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"a\":1}"},
            {"type": "response.completed", "response": {"id": "r", "output": [], "usage": {"input_tokens": 1}}},
        ]));
        assert_eq!(
            items,
            [
                json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "think"}], "status": "completed"}),
                json!({"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]}),
                json!({"type": "function_call", "id": "f", "call_id": "c", "arguments": "{\"a\":1}"}),
            ]
        );
        let last = effects.last().unwrap().clone().unwrap();
        assert_eq!(
            (last.done, last.usage, last.response_id),
            (true, Some(json!({"input_tokens": 1})), Some(json!("r")))
        );
        assert_eq!(effects[7], None);
    }

    #[test]
    fn unannounced_items_begin_with_their_delta() {
        let (items, _) = reduce(json!([
            {"type": "response.reasoning_text.delta", "item_id": "r1", "output_index": 0, "delta": "a"},
            {"type": "response.output_text.delta", "item_id": "m1", "output_index": 1, "delta": "b"},
            {"type": "response.output_text.delta", "item_id": "m1", "output_index": 4_000_000_000_u64, "delta": "x"},
        ]));
        assert_eq!(
            items,
            [
                json!({"type": "reasoning", "status": "in_progress", "role": "assistant", "content": [{"type": "text", "text": "a"}], "id": "r1"}),
                json!({"type": "message", "status": "in_progress", "role": "assistant", "content": [{"type": "text", "text": "b"}], "id": "m1"}),
            ]
        );
    }

    #[test]
    fn finished_items_replace_and_completion_wins() {
        let (items, effects) = reduce(json!([
            {"type": "response.output_item.added", "item": {"type": "message", "id": "m"}},
            {"type": "response.output_item.added", "item": {"type": "message", "id": "m", "again": true}},
            {"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "id": "m", "final": true}},
        ]));
        assert_eq!(items, [json!({"type": "message", "id": "m", "final": true})]);
        assert_eq!(effects[2], Some(Effect::default()));
        let (items, _) =
            reduce(json!([{"type": "response.completed", "response": {"output": [{"type": "message"}]}}]));
        assert_eq!(items, [json!({"type": "message"})]);
    }

    #[test]
    fn parts_are_finished_where_they_are() {
        let (items, effects) = reduce(json!([
            {"type": "response.output_text.delta", "output_index": 0, "item_id": "m", "delta": "x"},
            {"type": "response.reasoning_summary_part.done", "output_index": 0, "part": {"type": "summary_text", "text": "no"}},
            {"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "xy"}},
            {"type": "response.refusal.delta", "output_index": 0, "content_index": 1, "delta": "z"},
        ]));
        let parts =
            json!([{"type": "output_text", "text": "xy"}, {"type": "text", "text": "", "refusal": "z"}]);
        assert_eq!(
            items,
            [
                json!({"type": "message", "status": "in_progress", "role": "assistant", "content": parts, "id": "m"})
            ]
        );
        assert_eq!(effects, [None, None, Some(Effect::default()), None]);
    }

    #[test]
    fn errors_are_effects() {
        let (_, effects) = reduce(json!([
            {"type": "response.failed", "response": {"error": {"message": "x"}}},
            {"type": "error", "message": "y"},
            {"type": "response.output_text.done", "text": "nobody"},
            {"type": "response.in_progress"},
        ]));
        assert_eq!(effects[0].as_ref().unwrap().error, Some(json!({"message": "x"})));
        assert_eq!(
            effects[1].as_ref().unwrap().error,
            Some(json!({"type": "error", "message": "y"}))
        );
        assert_eq!(effects[2..], [None, None]);
    }
}
