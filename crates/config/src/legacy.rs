//! Brings rows that older versions wrote into the form of today.
//!
//! Three old shapes are known: keys under `rag.web`, objects spread over one row per field, and model lists
//! stored as lists. The rules only compute the difference; the caller writes it in one transaction before
//! [`crate::Config::new`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What to change in table `config`. Empty for a database of today.
#[derive(Debug, Default, PartialEq)]
pub struct Repair {
    /// Rows to insert or replace.
    pub set: BTreeMap<String, Value>,
    /// Rows to delete.
    pub remove: Vec<String>,
}

/// Keys whose object may be spread over rows `key.field`, with the older name of the key.
const SPREAD_OBJECTS: &[(&str, &str)] = &[
    ("openai.api_configs", "OPENAI_API_CONFIGS"),
    ("ollama.api_configs", "OLLAMA_API_CONFIGS"),
    ("rag.mineru_params", "MINERU_PARAMS"),
    ("rag.docling_params", "DOCLING_PARAMS"),
    ("web.search.linkup_search_params", "LINKUP_SEARCH_PARAMS"),
    (
        "image_generation.automatic1111.api_params",
        "AUTOMATIC1111_PARAMS",
    ),
    ("image_generation.openai.params", "IMAGES_OPENAI_API_PARAMS"),
    ("audio.tts.openai.params", "AUDIO_TTS_OPENAI_PARAMS"),
    ("audio.realtime.input_params", "AUDIO_REALTIME_INPUT_PARAMS"),
    ("models.default_metadata", "DEFAULT_MODEL_METADATA"),
    ("models.default_params", "DEFAULT_MODEL_PARAMS"),
    ("task.model.params", "TASK_MODEL_PARAMS"),
    ("ui.default_interface_settings", "DEFAULT_INTERFACE_SETTINGS"),
    ("user.permissions", "USER_PERMISSIONS"),
];

/// Fields of a provider connection; they end the connection's name in a spread row.
const CONNECTION_FIELDS: &[&str] = &[
    "enable",
    "key",
    "prefix_id",
    "tags",
    "model_ids",
    "connection_type",
    "provider",
    "auth_type",
    "headers",
    "azure",
    "api_type",
    "api_version",
    "extra_params",
    "passthrough_params",
];

/// Model lists that are stored as one text with commas.
const MODEL_LISTS: &[&str] = &["ui.default_models", "ui.default_pinned_models"];

/// Compares rows with the form of today.
pub fn repair(stored: &BTreeMap<String, Value>) -> Repair {
    let mut rows = stored.clone();
    rename_web(&mut rows);
    for (key, older) in SPREAD_OBJECTS {
        collect_object(&mut rows, key, older);
    }
    for key in MODEL_LISTS {
        join_models(&mut rows, key);
    }
    Repair {
        remove: stored
            .keys()
            .filter(|key| !rows.contains_key(*key))
            .cloned()
            .collect(),
        set: rows
            .into_iter()
            .filter(|(key, value)| stored.get(key) != Some(value))
            .collect(),
    }
}

/// `rag.web.x` became `web.x`; a row that already exists under the new name wins.
fn rename_web(rows: &mut BTreeMap<String, Value>) {
    for (key, fragment) in below(rows, "rag.web") {
        if let Some(value) = rows.remove(&key) {
            rows.entry(format!("web.{fragment}")).or_insert(value);
        }
    }
}

/// Keys below a prefix, with the part behind it.
fn below(rows: &BTreeMap<String, Value>, prefix: &str) -> Vec<(String, String)> {
    let fragment = |key: &String| key.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
    rows.keys()
        .filter_map(|key| fragment(key).map(|fragment| (key.clone(), fragment)))
        .collect()
}

fn collect_object(rows: &mut BTreeMap<String, Value>, key: &str, older: &str) {
    let mut object = match rows.get(key) {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    let mut changed = false;
    for (row, fragment) in below(rows, key).into_iter().chain(below(rows, older)) {
        let path: Option<Vec<&str>> = if key.ends_with(".api_configs") {
            split_connection(&fragment)
                .map(|(name, rest)| std::iter::once(name).chain(rest.split('.')).collect())
        } else {
            Some(fragment.split('.').collect())
        };
        let Some(path) = path else { continue };
        let spread_over_a_value = key.ends_with(".api_configs")
            && object
                .get(path[0])
                .is_some_and(|connection| !connection.is_object());
        if spread_over_a_value {
            continue;
        }
        if let Some(value) = rows.remove(&row) {
            assign(&mut object, &path, value);
            changed = true;
        }
    }
    if changed {
        rows.insert(key.to_owned(), object.into());
    }
}

/// Splits `0.enable` or `https://host/v1.enable` into the connection and the path of its field.
fn split_connection(fragment: &str) -> Option<(&str, &str)> {
    if let Some((first, rest)) = fragment.split_once('.')
        && !first.is_empty()
        && first.bytes().all(|byte| byte.is_ascii_digit())
        && !rest.is_empty()
    {
        return Some((first, rest));
    }
    let last = CONNECTION_FIELDS
        .iter()
        .filter_map(|field| fragment.rfind(&format!(".{field}")))
        .max()?;
    (last > 0).then(|| (&fragment[..last], &fragment[last + 1..]))
}

fn assign(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        object.insert((*first).to_owned(), value);
        return;
    }
    let inner = object.entry(*first).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Value::Object(inner) = inner {
        assign(inner, rest, value);
    }
}

fn join_models(rows: &mut BTreeMap<String, Value>, key: &str) {
    let Some(Value::Array(models)) = rows.get(key) else {
        return;
    };
    let text = |model: &Value| {
        model
            .as_str()
            .map_or_else(|| model.to_string(), str::to_owned)
            .trim()
            .to_owned()
    };
    let names: Vec<String> = models.iter().map(text).filter(|name| !name.is_empty()).collect();
    rows.insert(key.to_owned(), names.join(",").into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn repaired(rows: Value) -> (Value, Vec<String>) {
        let repair = repair(&rows.as_object().unwrap().clone().into_iter().collect());
        (
            repair.set.into_iter().collect::<Map<_, _>>().into(),
            repair.remove,
        )
    }

    #[test]
    fn rows_of_today_stay() {
        let rows = json!({"openai.api_configs": {"0": {}}, "ui.default_models": "a,b", "other": 1});
        assert_eq!(repaired(rows), (json!({}), vec![]));
    }

    #[test]
    fn web_keys_move_and_newer_rows_win() {
        let rows =
            json!({"rag.web.search.enable": true, "rag.web.loader.engine": "a", "web.loader.engine": "b"});
        let gone = ["rag.web.loader.engine", "rag.web.search.enable"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(repaired(rows), (json!({"web.search.enable": true}), gone));
    }

    #[test]
    fn spread_connections_are_collected() {
        let rows = json!({
            "openai.api_configs": {"0": {"enable": false, "tags": []}},
            "openai.api_configs.0.enable": true,
            "openai.api_configs.https://a.b/v1.headers.X-Key": "1",
            "OPENAI_API_CONFIGS.1.model_ids": ["m"],
            "openai.api_configs.unknown": 1,
        });
        let (set, removed) = repaired(rows);
        let expected = json!({"openai.api_configs": {
            "0": {"enable": true, "tags": []}, "1": {"model_ids": ["m"]},
            "https://a.b/v1": {"headers": {"X-Key": "1"}}
        }});
        assert_eq!(set, expected);
        assert_eq!(removed.len(), 3);
        assert!(!removed.contains(&"openai.api_configs.unknown".to_owned()));
    }

    #[test]
    fn spread_objects_and_model_lists_are_joined() {
        let rows = json!({"user.permissions.chat.delete": false, "ui.default_models": [" a ", "", "b"]});
        let expected = json!({"user.permissions": {"chat": {"delete": false}}, "ui.default_models": "a,b"});
        assert_eq!(
            repaired(rows),
            (expected, vec!["user.permissions.chat.delete".to_owned()])
        );
    }
}
