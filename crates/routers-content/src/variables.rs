//! Fields that a system prompt asks the user to fill in: `{{ chat.variables.name | select:options=["a","b"] }}`.
//! The client draws a form from the schema; putting the values in is the chat engine's business.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

/// Properties of a field that the client may see, in the order of the wire.
const SHOWN: &[&str] = &[
    "default",
    "label",
    "max",
    "maxlength",
    "min",
    "minlength",
    "options",
    "placeholder",
    "required",
    "step",
    "type",
];

/// Lists nested deeper than this stay text.
const DEEPEST: usize = 32;

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by the tests")]
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{\s*chat\.variables\.([^\s|}]+)(?:\s*\|\s*([^}]*))?\s*\}\}").expect("a good pattern")
});

/// The schema of a system prompt as `{fields: [...]}`; nothing when it asks for nothing or contradicts itself.
pub(crate) fn schema(system: &str) -> Option<Value> {
    let fields = fields(system)?;
    (!fields.is_empty())
        .then(|| json!({ "fields": fields.into_iter().map(|(_, field)| field).collect::<Vec<_>>() }))
}

fn fields(system: &str) -> Option<Map<String, Value>> {
    let (mut fields, mut typed) = (Map::new(), Map::new());
    for found in VARIABLE.captures_iter(system) {
        let key = found[1].to_owned();
        if !is_key(&key) {
            return None;
        }
        let definition = found
            .get(2)
            .map(|text| text.as_str().trim())
            .filter(|text| !text.is_empty());
        let Some(definition) = definition else {
            fields
                .entry(key.clone())
                .or_insert_with(|| field(&key, &text_type()));
            continue;
        };
        let field = field(&key, &definition_of(definition));
        let no_options = field["options"].as_array().is_none_or(Vec::is_empty);
        let differs = typed.get(&key).is_some_and(|earlier| *earlier != field);
        if (field["type"] == "select" && no_options) || differs {
            return None;
        }
        typed.insert(key.clone(), field.clone());
        fields.insert(key, field);
    }
    Some(fields)
}

fn text_type() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!("text"))])
}

fn is_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_lowercase())
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn field(key: &str, definition: &Map<String, Value>) -> Value {
    let mut field = Map::new();
    field.insert("key".into(), json!(key));
    for name in SHOWN {
        if let Some(value) = definition.get(*name) {
            field.insert((*name).to_owned(), value.clone());
        }
    }
    field.entry("type").or_insert_with(|| json!("text"));
    if field["type"] == "select" && !field.get("options").is_some_and(Value::is_array) {
        field.insert("options".into(), json!([]));
    }
    let required = field.get("required").is_some_and(|value| match value {
        Value::Bool(required) => *required,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Null => false,
    });
    field.insert("required".into(), json!(required));
    Value::Object(field)
}

fn definition_of(text: &str) -> Map<String, Value> {
    let parts = split(text, ':');
    let Some((first, properties)) = parts.split_first() else {
        return text_type();
    };
    let kind = first.strip_prefix("type=").unwrap_or(first).trim();
    let mut definition = Map::new();
    definition.insert("type".into(), json!(if kind.is_empty() { "text" } else { kind }));
    for property in properties.iter().filter(|property| !property.is_empty()) {
        let sides = split(property, '=');
        match sides.split_first() {
            Some((name, [])) => drop(definition.insert(name.clone(), json!(true))),
            Some((name, value)) => drop(definition.insert(name.clone(), value_of(value.join("=").trim()))),
            None => {}
        }
    }
    definition
}

/// Splits outside quotes and brackets; parts are trimmed and an empty last one is dropped.
fn split(text: &str, delimiter: char) -> Vec<String> {
    let (mut parts, mut current) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for character in text.chars() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        } else if !quoted {
            match character {
                '{' | '[' => depth += 1,
                '}' | ']' => depth -= 1,
                _ if character == delimiter && depth == 0 => {
                    parts.push(std::mem::take(&mut current).trim().to_owned());
                    continue;
                }
                _ => {}
            }
        }
        current.push(character);
    }
    if !current.trim().is_empty() {
        parts.push(current.trim().to_owned());
    }
    parts
}

fn value_of(text: &str) -> Value {
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        return json!(text[1..text.len() - 1]);
    }
    if text.starts_with(['[', '{'])
        && let Ok(value) = serde_json::from_str::<Value>(text)
        && depth(&value) <= DEEPEST
    {
        return value;
    }
    json!(text)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_prompt() {
        let text = r#"{{ chat.variables.topic }} {{chat.variables.tone | select:options=["a:b","c"]:label="The tone":required}}"#;
        assert_eq!(
            schema(text).unwrap(),
            json!({ "fields": [
                {"key": "topic", "type": "text", "required": false},
                {"key": "tone", "label": "The tone", "options": ["a:b", "c"], "required": true, "type": "select"},
            ]})
        );
    }

    #[test]
    fn prompts_that_contradict_themselves_have_none() {
        assert_eq!(schema("Be brief."), None);
        assert_eq!(schema("{{chat.variables.Bad}}"), None);
        assert_eq!(schema("{{chat.variables.a | select}}"), None);
        assert_eq!(
            schema("{{chat.variables.a | text}} {{chat.variables.a | number}}"),
            None
        );
    }
}
