//! Parameters of built-in tools and the JSON schema that models get of them.

use serde_json::{Map, Value, json};

/// What a parameter takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Int,
    /// A switch.
    Flag,
    /// A list of texts.
    Texts,
    /// A list of objects.
    Objects,
    /// A JSON schema, written as JSON.
    Schema(&'static str),
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    name: &'static str,
    shape: Shape,
    required: bool,
    default: Option<&'static str>,
    about: &'static str,
}

/// A parameter that must be given.
pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter {
        name,
        shape,
        required: true,
        default: None,
        about,
    }
}

/// A parameter that may be left out.
pub(super) const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter {
        required: false,
        ..required(name, shape, about)
    }
}

/// A parameter with a default, written as JSON.
pub(super) const fn default(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter {
        default: Some(default),
        ..optional(name, shape, about)
    }
}

impl Parameter {
    fn schema(&self) -> Value {
        let mut schema = match self.shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Int => json!({ "type": "integer" }),
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Shape::Objects => {
                json!({ "type": "array", "items": { "type": "object", "additionalProperties": true } })
            }
            Shape::Schema(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({ "type": "object" })),
        };
        if let Some(default) = self.default {
            schema["default"] = serde_json::from_str(default).unwrap_or_default();
        }
        schema["description"] = json!(self.about);
        schema
    }
}

/// `{name, description, parameters}` of a tool.
pub(super) fn of(name: &str, about: &str, parameters: &[Parameter]) -> Value {
    let mut properties = Map::new();
    for parameter in parameters {
        properties.insert(parameter.name.to_owned(), parameter.schema());
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    let required: Vec<&str> = parameters
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| parameter.name)
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    json!({ "name": name, "description": about, "parameters": schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_schema() {
        const PARAMETERS: &[Parameter] = &[
            required("query", Shape::Text, "What."),
            default("count", Shape::Int, "5", "How many."),
            optional("ids", Shape::Texts, "Where."),
        ];
        assert_eq!(
            of("look", "Looks.", PARAMETERS),
            json!({"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {
                "query": {"type": "string", "description": "What."},
                "count": {"type": "integer", "default": 5, "description": "How many."},
                "ids": {"type": "array", "items": {"type": "string"}, "description": "Where."},
            }, "required": ["query"]}})
        );
    }
}
