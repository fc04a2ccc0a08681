//! Arguments of a call, read leniently: models write numbers as texts and leave optional values `null`.

use serde_json::Value;

use crate::tool::{Object, ToolError};

/// Arguments of one call.
#[derive(Debug, Clone)]
pub struct Args {
    tool: &'static str,
    values: Object,
}

impl Args {
    /// Arguments of the tool with this name, which stands in complaints.
    pub fn new(tool: &'static str, values: Object) -> Self {
        Self { tool, values }
    }

    /// The value, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// Whether the value was given as null, which some tools tell from one that was left out.
    pub fn is_null(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(Value::is_null)
    }

    /// A text that must be there; numbers and switches are taken as their text.
    pub fn text(&self, name: &str) -> Result<String, ToolError> {
        self.optional_text(name)
            .ok_or_else(|| ToolError::new(format!("{} needs the argument '{name}'", self.tool)))
    }

    /// A text that may be left out.
    pub fn optional_text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(_) | Value::Object(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// A whole number that may be left out; also one written as a text.
    pub fn optional_int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().map(|float| float as i64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A whole number, or the default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.optional_int(name).unwrap_or(default)
    }

    /// How many results are wanted: at least one and never so many that the answer floods the model.
    pub fn count(&self, name: &str, default: i64) -> i64 {
        self.int(name, default).clamp(1, 1000)
    }

    /// A switch, or the default.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => matches!(text.trim().to_lowercase().as_str(), "true" | "1" | "yes"),
            _ => default,
        }
    }

    /// A list of texts that may be left out; one text counts as a list, and so does a list written as JSON text.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let texts = |items: &[Value]| {
            items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        match self.get(name)? {
            Value::Array(items) => Some(texts(items)),
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(Value::Array(items)) => Some(texts(&items)),
                _ => match text.trim().to_lowercase().as_str() {
                    "" | "none" | "null" => None,
                    _ => Some(vec![text.clone()]),
                },
            },
            _ => None,
        }
    }

    /// A list that may be left out.
    pub fn list(&self, name: &str) -> Option<&Vec<Value>> {
        self.get(name)?.as_array()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_leniently() {
        let values =
            json!({"query": 7, "count": "3", "none": null, "on": "True", "ids": "[\"a\", \"b\"]", "id": "a"});
        let args = Args::new("t", values.as_object().cloned().unwrap());
        assert_eq!(args.text("query").unwrap(), "7");
        assert_eq!((args.int("count", 5), args.int("none", 5)), (3, 5));
        assert!(args.flag("on", false) && !args.flag("off", false));
        assert_eq!(args.texts("ids").unwrap(), ["a", "b"]);
        assert_eq!(args.texts("id").unwrap(), ["a"]);
        assert!(args.texts("none").is_none());
        assert!(
            args.text("missing").unwrap_err().0["error"]
                .as_str()
                .unwrap()
                .contains("'missing'")
        );
    }
}
