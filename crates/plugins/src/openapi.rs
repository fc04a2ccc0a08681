//! OpenAPI documents as tools: which operations there are, what a model gets to know of them, and the request that a
//! call becomes. Pure; the sending is in [`servers`](crate::servers).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::tool::Object;

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Levels of schemas inside schemas that are followed; deeper ones are left open.
const DEPTH: usize = 32;

/// What a path or a query cannot hold as it is.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Replaces references by what they name. A schema that holds itself is left open where it does.
fn resolved(schema: &Value, document: &Value, seen: &[&str], depth: usize) -> Value {
    if depth == 0 {
        return json!({});
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        if seen.contains(&reference) {
            return json!({});
        }
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer));
        let seen = [seen, &[reference]].concat();
        return target.map_or_else(
            || json!({}),
            |target| resolved(target, document, &seen, depth - 1),
        );
    }
    let mut schema = schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            *property = resolved(property, document, seen, depth - 1);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        *items = resolved(items, document, seen, depth - 1);
    }
    for keyword in ["oneOf", "anyOf", "allOf"] {
        for inner in schema
            .get_mut(keyword)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            *inner = resolved(inner, document, seen, depth - 1);
        }
    }
    schema
}

/// Parameters of an operation, its path's included; its own win.
fn parameters(path: &Map<String, Value>, operation: &Value) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    let of_path = path.get("parameters");
    for list in [of_path, operation.get("parameters")] {
        for parameter in list.and_then(Value::as_array).into_iter().flatten() {
            if parameter
                .get("name")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                continue;
            }
            let same = |other: &&mut Value| {
                other["name"] == parameter["name"] && other.get("in") == parameter.get("in")
            };
            match merged.iter_mut().find(same) {
                Some(known) => *known = parameter.clone(),
                None => merged.push(parameter.clone()),
            }
        }
    }
    merged
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &Map<String, Value>, &String, &Value)> {
    let paths = document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let paths = paths.filter_map(|(route, path)| Some((route, path.as_object()?)));
    paths.flat_map(|(route, path)| {
        path.iter()
            .filter(|(method, operation)| METHODS.contains(&method.as_str()) && operation.is_object())
            .map(move |(method, operation)| (route, path, method, operation))
    })
}

fn operation_id(operation: &Value) -> Option<&str> {
    operation.get("operationId")?.as_str().filter(|id| !id.is_empty())
}

/// `{name, description, parameters}` of every operation that has a name.
pub fn specs(document: &Value) -> Vec<Value> {
    operations(document)
        .filter_map(|(_, path, _, operation)| {
            let name = operation_id(operation)?;
            let about = ["description", "summary"]
                .iter()
                .find_map(|field| operation.get(*field)?.as_str())
                .unwrap_or("No description available.");
            let schema = arguments(document, path, operation);
            Some(json!({ "name": name, "description": about, "parameters": schema }))
        })
        .collect()
}

fn arguments(document: &Value, path: &Map<String, Value>, operation: &Value) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<Value> = Vec::new();
    for parameter in parameters(path, operation) {
        let name = parameter["name"].as_str().unwrap_or_default();
        properties.insert(name.to_owned(), property(&parameter));
        if parameter.get("required") == Some(&Value::Bool(true)) {
            required.push(json!(name));
        }
    }
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    let body = body
        .map(|schema| resolved(schema, document, &[], DEPTH))
        .unwrap_or_default();
    match body.get("properties").and_then(Value::as_object) {
        Some(of_body) if !of_body.is_empty() => {
            properties.extend(of_body.clone());
            for name in body
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                if !required.contains(name) {
                    required.push(name.clone());
                }
            }
        }
        _ if body["type"] == "array" => return cleaned(body),
        _ => {}
    }
    cleaned(json!({ "type": "object", "properties": properties, "required": required }))
}

fn property(parameter: &Value) -> Value {
    let schema = parameter.get("schema").cloned().unwrap_or_default();
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let mut about = text(schema.get("description"))
        .or_else(|| text(parameter.get("description")))
        .unwrap_or_default();
    if let Some(values) = schema
        .get("enum")
        .and_then(Value::as_array)
        .filter(|values| !values.is_empty())
    {
        let values = values.iter().map(plain).collect::<Vec<_>>().join(", ");
        about.push_str(&format!(". Possible values: {values}"));
    }
    let kind = schema.get("type").filter(|kind| !kind.is_null()).cloned();
    let mut property = json!({ "type": kind.unwrap_or_else(|| json!("string")), "description": about });
    if let (true, Some(items)) = (schema["type"] == "array", schema.get("items")) {
        property["items"] = items.clone();
    }
    property
}

/// Makes a schema one that strict providers take: no `null` among alternatives, a type everywhere.
pub fn cleaned(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if let Some(Value::Array(options)) = fields.get("anyOf") {
        let real: Vec<Value> = options
            .iter()
            .filter(|option| option["type"] != "null")
            .cloned()
            .collect();
        match &real[..] {
            [Value::Object(only)] => {
                let only = only.clone();
                fields.shift_remove("anyOf");
                fields.extend(only);
            }
            _ => {
                fields.insert("anyOf".into(), Value::Array(real));
            }
        }
    }
    if fields.get("default") == Some(&Value::Null) {
        fields.shift_remove("default");
    }
    if !["type", "anyOf", "properties"]
        .iter()
        .any(|name| fields.contains_key(*name))
    {
        fields.insert("type".into(), json!("string"));
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            *property = cleaned(std::mem::take(property));
        }
    }
    if let Some(items) = fields.get_mut("items") {
        *items = cleaned(std::mem::take(items));
    }
    schema
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

/// A request that a call becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Method in capitals.
    pub method: String,
    /// Path and query, to be put after the server's address.
    pub path: String,
    /// JSON body, for methods that have one.
    pub body: Option<Value>,
}

/// The request of a call. `None` when the document has no such operation.
pub fn request(document: &Value, name: &str, arguments: &Object) -> Option<Request> {
    let found = operations(document).find(|(.., operation)| operation_id(operation) == Some(name))?;
    let (route, path, method, operation) = found;
    let declared = parameters(path, operation);
    let mut target = route.clone();
    let mut query: Vec<String> = Vec::new();
    for parameter in &declared {
        let name = parameter["name"].as_str().unwrap_or_default();
        let Some(value) = arguments.get(name) else {
            continue;
        };
        let is_required = parameter.get("required") == Some(&Value::Bool(true));
        match parameter.get("in").and_then(Value::as_str) {
            Some("path") => {
                let encoded = utf8_percent_encode(&plain(value), UNSAFE).to_string();
                target = target.replace(&format!("{{{name}}}"), &encoded);
            }
            // Models fill in empty texts where they mean nothing.
            Some("query") if value.is_null() || (*value == "" && !is_required) => {}
            Some("query") => {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                query.extend(values.iter().map(|value| {
                    let value = plain(value);
                    format!(
                        "{}={}",
                        utf8_percent_encode(name, UNSAFE),
                        utf8_percent_encode(&value, UNSAFE)
                    )
                }));
            }
            _ => {}
        }
    }
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let has_body = matches!(method.as_str(), "post" | "put" | "patch" | "delete");
    Some(Request {
        method: method.to_uppercase(),
        path: target,
        body: has_body.then(|| body(document, operation, &declared, arguments)),
    })
}

fn body(document: &Value, operation: &Value, declared: &[Value], arguments: &Object) -> Value {
    let Some(content) = operation
        .pointer("/requestBody/content")
        .filter(|_| !arguments.is_empty())
    else {
        return json!({});
    };
    let schema = content.pointer("/application~1json/schema");
    let schema = schema
        .map(|schema| resolved(schema, document, &[], DEPTH))
        .unwrap_or_default();
    let is_composed = ["allOf", "anyOf", "oneOf"]
        .iter()
        .any(|word| schema.get(*word).is_some());
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .filter(|_| !is_composed);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return Value::Object(arguments.clone());
    };
    // What belongs into path and query stays out of the body, unless the body names it too.
    let elsewhere = |name: &String| {
        declared
            .iter()
            .any(|parameter| parameter["name"] == name.as_str())
    };
    let fields = arguments
        .iter()
        .filter(|(name, _)| properties.contains_key(*name) || !elsewhere(name));
    Value::Object(
        fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "paths": {
                "/birds/{id}": {
                    "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}],
                    "get": {"operationId": "bird", "summary": "One bird.", "parameters": [
                        {"name": "lang", "in": "query", "description": "Language", "schema": {"enum": ["en", "de"]}},
                        {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    ]},
                    "put": {"operationId": "rename", "description": "Renames.", "requestBody": {"content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Bird"}}}}},
                    "x-note": {},
                },
                "/nameless": {"get": {}},
            },
            "components": {"schemas": {"Bird": {"type": "object", "required": ["name"], "properties": {
                "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
                "parent": {"$ref": "#/components/schemas/Bird"},
            }}}},
        })
    }

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn operations_become_tools() {
        let specs = specs(&document());
        assert_eq!(specs.len(), 2);
        let parameters = &specs[0]["parameters"];
        assert_eq!(specs[0]["description"], "One bird.");
        assert_eq!(parameters["required"], json!(["id"]));
        assert_eq!(
            parameters["properties"]["lang"]["description"],
            "Language. Possible values: en, de"
        );
        assert_eq!(parameters["properties"]["tags"]["items"]["type"], "string");
        let body = &specs[1]["parameters"];
        assert_eq!(body["properties"]["name"], json!({"type": "string"}));
        assert_eq!(body["properties"]["parent"], json!({"type": "string"}));
        assert_eq!(body["required"], json!(["id", "name"]));
    }

    #[test]
    fn calls_become_requests() {
        let arguments = object(json!({"id": "a/b", "lang": "", "tags": ["x y", "z"]}));
        let sent = request(&document(), "bird", &arguments).unwrap();
        assert_eq!(
            (sent.method.as_str(), sent.path.as_str()),
            ("GET", "/birds/a%2Fb?tags=x%20y&tags=z")
        );
        assert_eq!(sent.body, None);
        let arguments = object(json!({"id": 7, "name": "Wren"}));
        let sent = request(&document(), "rename", &arguments).unwrap();
        assert_eq!((sent.method.as_str(), sent.path.as_str()), ("PUT", "/birds/7"));
        assert_eq!(sent.body, Some(json!({"name": "Wren"})));
        assert!(request(&document(), "none", &arguments).is_none());
    }
}
