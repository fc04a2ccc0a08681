//! Lists of Ollama connections: installed models and those in memory.

use indexmap::IndexMap;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ListError, fetch_json};
use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::Http;

/// The models installed on one server, with prefix, tags and type of the connection.
pub(crate) async fn fetch_tags(
    http: &Http,
    connection: &Connection,
    context: &CallContext,
) -> Result<Vec<Value>, ListError> {
    let mut models = entries(fetch_json(http, connection, "/api/tags", context).await?);
    let allowed = connection.model_ids();
    if !allowed.is_empty() {
        models.retain(|model| model["model"].as_str().is_some_and(|id| allowed.contains(&id)));
    }
    for model in &mut models {
        prefix(connection, model, "model");
        if model
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| !name.is_empty())
        {
            prefix(connection, model, "name");
        }
        if let Some(tags) = connection.tags() {
            model["tags"] = tags.clone();
        }
        if let Some(kind) = connection.connection_type() {
            model["connection_type"] = Value::from(kind);
        }
    }
    Ok(models)
}

/// The models that one server holds in memory.
pub(crate) async fn fetch_loaded(
    http: &Http,
    connection: &Connection,
    context: &CallContext,
) -> Result<Vec<Value>, ListError> {
    let mut models = entries(fetch_json(http, connection, "/api/ps", context).await?);
    models
        .iter_mut()
        .for_each(|model| prefix(connection, model, "model"));
    Ok(models)
}

/// Objects that name a model; everything else in the answer is of no use.
fn entries(answer: Value) -> Vec<Value> {
    let Value::Object(mut fields) = answer else {
        return Vec::new();
    };
    let Some(Value::Array(mut models)) = fields.shift_remove("models") else {
        return Vec::new();
    };
    models.retain(|model| model.get("model").is_some_and(Value::is_string));
    models
}

fn prefix(connection: &Connection, model: &mut Value, field: &str) {
    if let (Some(prefix), Some(text)) = (connection.prefix_id(), model[field].as_str()) {
        model[field] = Value::from(format!("{prefix}.{text}"));
    }
}

/// Merges the lists: one entry per model, `urls` holding the positions of all servers that have it.
pub(crate) fn merge(lists: impl IntoIterator<Item = (usize, Vec<Value>)>) -> IndexMap<String, Value> {
    let mut merged: IndexMap<String, Value> = IndexMap::new();
    for (index, models) in lists {
        for mut model in models {
            let Some(id) = model["model"].as_str().map(str::to_owned) else {
                continue;
            };
            match merged.get_mut(&id).and_then(|known| known["urls"].as_array_mut()) {
                Some(urls) => urls.push(Value::from(index)),
                None => {
                    model["urls"] = json!([index]);
                    merged.insert(id, model);
                }
            }
        }
    }
    merged
}

/// Notes when models leave memory (`expires_at`, seconds), as the servers tell of loaded ones.
pub(crate) fn add_expiry(models: &mut IndexMap<String, Value>, loaded: &IndexMap<String, Value>) {
    for (id, model) in models {
        let until = loaded
            .get(id)
            .and_then(|loaded| loaded.get("expires_at"))
            .and_then(Value::as_str);
        if let Some(until) = until.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()) {
            model["expires_at"] = Value::from(until.unix_timestamp());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_on_two_servers_is_one_entry() {
        let entry = |id: &str, size: u32| json!({"model": id, "name": id, "size": size});
        let mut merged = merge([(0, vec![entry("a", 1)]), (2, vec![entry("a", 2), entry("b", 3)])]);
        assert_eq!(
            merged["a"],
            json!({"model": "a", "name": "a", "size": 1, "urls": [0, 2]})
        );
        assert_eq!(merged["b"]["urls"], json!([2]));

        let loaded = merge([(
            0,
            vec![json!({"model": "b", "expires_at": "2024-06-04T14:38:31.837537537-07:00"})],
        )]);
        add_expiry(&mut merged, &loaded);
        assert_eq!(merged["b"]["expires_at"], 1_717_537_111);
        assert!(merged["a"].get("expires_at").is_none());
    }

    #[test]
    fn answers_without_models_are_empty_lists() {
        for answer in [
            json!({"error": "x"}),
            json!({"models": null}),
            json!([]),
            json!(null),
        ] {
            assert!(entries(answer).is_empty());
        }
        assert_eq!(
            entries(json!({"models": [{"name": "x"}, {"model": "y"}]})),
            [json!({"model": "y"})]
        );
    }
}
