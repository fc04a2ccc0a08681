//! Lists of OpenAI-compatible connections.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{ListError, fetch_json};
use crate::anthropic;
use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::{Http, TransportError};
use crate::python::truthy;

/// Models of OpenAI's own server that are no chat models, by parts of their ids.
const UNSUPPORTED: [&str; 6] = ["babbage", "dall-e", "davinci", "embedding", "tts", "whisper"];

/// Whether a model of OpenAI's own server is no chat model.
pub(crate) fn is_unsupported(id: &str) -> bool {
    UNSUPPORTED.iter().any(|part| id.contains(part))
}

/// The models that one connection offers, as the provider lists them or as its settings fix them.
pub(crate) async fn fetch(
    http: &Http,
    connection: &Connection,
    context: &CallContext,
) -> Result<Vec<Value>, ListError> {
    let fixed = connection.model_ids();
    if !fixed.is_empty() {
        let entry = |id: &&str| {
            json!({
                "id": id,
                "name": id,
                "owned_by": "openai",
                "openai": { "id": id },
                "urlIdx": connection.index,
            })
        };
        return Ok(fixed.iter().map(entry).collect());
    }
    let answer = if anthropic::is_anthropic(&connection.url) {
        anthropic::list_models(http, connection, context)
            .await
            .map_err(|error| match error {
                TransportError::Timeout => ListError::Timeout,
                other => ListError::Failed(other.to_string()),
            })?
    } else {
        fetch_json(http, connection, "/models", context).await?
    };
    Ok(match answer {
        Value::Array(models) => models,
        Value::Object(mut fields) => match fields.shift_remove("data") {
            Some(Value::Array(models)) => models,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    })
}

/// Merges the lists: each model gets what its connection says about it, the first of an id wins.
pub(crate) fn merge<'a>(
    lists: impl IntoIterator<Item = (&'a Connection, Vec<Value>)>,
) -> IndexMap<String, Value> {
    let mut merged = IndexMap::new();
    for (connection, models) in lists {
        let official = host(&connection.url).eq_ignore_ascii_case("api.openai.com");
        for model in models {
            let Value::Object(mut model) = model else { continue };
            annotate(connection, &mut model);
            let Some(id) = text(&model, "id")
                .or_else(|| text(&model, "name"))
                .map(str::to_owned)
            else {
                continue;
            };
            if official && is_unsupported(&id) {
                continue;
            }
            if let indexmap::map::Entry::Vacant(free) = merged.entry(id) {
                let shaped = shape(connection, free.key(), model);
                free.insert(shaped);
            }
        }
    }
    merged
}

fn text<'a>(model: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    model
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// Adds prefix, tags, type and provider of the connection.
fn annotate(connection: &Connection, model: &mut Map<String, Value>) {
    if model.get("name").is_some_and(Value::is_null) {
        model.shift_remove("name");
    }
    if let Some(prefix) = connection.prefix_id() {
        let id = model
            .get("id")
            .or_else(|| model.get("name"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let id = format!("{prefix}.{id}");
        model.insert("id".to_owned(), Value::from(id));
        if let Some(name) = text(model, "name").map(|name| format!("{prefix}.{name}")) {
            model.insert("name".to_owned(), Value::from(name));
        }
    }
    if let Some(tags) = connection.tags() {
        model.insert("tags".to_owned(), tags.clone());
    }
    if let Some(kind) = connection.connection_type() {
        model.insert("connection_type".to_owned(), Value::from(kind));
    }
    if !connection.provider().is_empty() {
        model.insert("provider".to_owned(), Value::from(connection.provider()));
    }
}

/// The entry as clients see it, with the provider's own entry inside.
fn shape(connection: &Connection, id: &str, model: Map<String, Value>) -> Value {
    let loaded = loaded_state(connection, &model);
    let mut entry = model.clone();
    entry.entry("name").or_insert_with(|| Value::from(id));
    entry.insert("owned_by".to_owned(), Value::from("openai"));
    entry.insert("openai".to_owned(), Value::Object(model));
    entry
        .entry("connection_type")
        .or_insert_with(|| Value::from("external"));
    entry.entry("provider").or_insert_with(|| Value::from(""));
    entry.insert("urlIdx".to_owned(), Value::from(connection.index));
    if let Some(loaded) = loaded {
        entry.insert("loaded".to_owned(), Value::Bool(loaded));
    }
    Value::Object(entry)
}

/// Whether the model is in memory, where the provider tells.
fn loaded_state(connection: &Connection, model: &Map<String, Value>) -> Option<bool> {
    match model.get("provider").and_then(Value::as_str).unwrap_or_default() {
        "lmstudio" => {
            if model.get("loaded_instances").is_some_and(truthy) {
                return Some(true);
            }
            match model.get("state").and_then(Value::as_str) {
                Some("loaded") => Some(true),
                Some("not-loaded") => Some(false),
                _ => None,
            }
        }
        "llama.cpp" => {
            let status = model.get("status");
            match status
                .and_then(|status| status.get("value"))
                .and_then(Value::as_str)
            {
                Some("loaded" | "sleeping") => Some(true),
                Some("loading" | "unloaded") => Some(false),
                // Older servers hold one model and say nothing about it.
                _ => (status.is_none() && connection.model_ids().is_empty()).then_some(true),
            }
        }
        _ => None,
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::ProviderSettings;

    fn connections(urls: Value, configs: Value) -> Vec<Connection> {
        let values = json!({"openai.api_base_urls": urls, "openai.api_configs": configs});
        ProviderSettings::read(|key| values.get(key).cloned()).openai
    }

    #[test]
    fn entries_have_the_known_shape() {
        let found = connections(
            json!(["http://a/v1", "http://b/v1"]),
            json!({"1": {"prefix_id": "p", "tags": [{"name": "t"}], "connection_type": "local"}}),
        );
        let a = json!([{"id": "m", "object": "model", "owned_by": "x", "name": null}, {"id": "m", "dup": 1}, "junk", {}]);
        let b = json!([{"id": "m", "name": "Em"}]);
        let lists = [(&found[0], a), (&found[1], b)];
        let lists = lists.map(|(connection, list)| (connection, list.as_array().unwrap().clone()));
        let merged: Vec<_> = merge(lists).into_iter().collect();
        assert_eq!(
            merged,
            [
                (
                    "m".to_owned(),
                    json!({
                        "id": "m", "object": "model", "owned_by": "openai", "connection_type": "external", "name": "m",
                        "openai": {"id": "m", "object": "model", "owned_by": "x", "connection_type": "external"},
                        "provider": "", "urlIdx": 0,
                    })
                ),
                (
                    "p.m".to_owned(),
                    json!({
                        "id": "p.m", "name": "p.Em", "tags": [{"name": "t"}], "connection_type": "local",
                        "owned_by": "openai",
                        "openai": {"id": "p.m", "name": "p.Em", "tags": [{"name": "t"}], "connection_type": "local"},
                        "provider": "", "urlIdx": 1,
                    })
                ),
            ]
        );
    }

    #[test]
    fn only_the_official_server_is_filtered() {
        let found = connections(json!(["https://api.openai.com/v1", "http://b/v1"]), json!({}));
        let list = json!([{"id": "gpt-4o"}, {"id": "tts-1"}])
            .as_array()
            .unwrap()
            .clone();
        let merged = merge([(&found[0], list.clone()), (&found[1], list)]);
        assert_eq!(merged.keys().collect::<Vec<_>>(), ["gpt-4o", "tts-1"]);
        assert_eq!(merged["tts-1"]["urlIdx"], 1);
    }

    #[test]
    fn memory_state_is_read_where_it_is_told() {
        let found = connections(
            json!(["http://a", "http://b", "http://c"]),
            json!({"0": {"provider": "llama.cpp"}, "1": {"provider": "lmstudio"}, "2": {"provider": "llama.cpp", "model_ids": ["x"]}}),
        );
        let state = |index: usize, model: Value| {
            let merged = merge([(&found[index], vec![model])]);
            merged.values().next().unwrap().get("loaded").cloned()
        };
        assert_eq!(state(0, json!({"id": "m"})), Some(json!(true)));
        assert_eq!(
            state(0, json!({"id": "m", "status": {"value": "unloaded"}})),
            Some(json!(false))
        );
        assert_eq!(state(0, json!({"id": "m", "status": {"value": "odd"}})), None);
        assert_eq!(
            state(1, json!({"id": "m", "state": "not-loaded"})),
            Some(json!(false))
        );
        assert_eq!(
            state(1, json!({"id": "m", "loaded_instances": [1]})),
            Some(json!(true))
        );
        assert_eq!(state(2, json!({"id": "x"})), None);
    }
}
