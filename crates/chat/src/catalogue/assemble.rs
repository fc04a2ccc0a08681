//! Lays arena models, overrides and workspace models over the providers' models, with the metadata and
//! parameters that the client is shown.

use std::sync::Arc;

use oui_config::Snapshot;
use oui_config::models as keys;
use oui_models::models::Registered;
use serde_json::{Map, Value, json};

use super::offers::Offers;
use super::{Model, Models};

/// Puts the list together. Without base models it is empty, as in the reference.
pub(super) fn assemble(
    base: &[Value],
    registry: &[Registered],
    config: &Snapshot,
    offers: &Offers,
) -> Models {
    let mut list: Vec<Model> = base.iter().filter_map(plain).collect();
    if list.is_empty() {
        return Models::new();
    }
    list.extend(arena(config));
    let known: Vec<String> = list.iter().map(|model| model.id.clone()).collect();
    for registered in registry {
        match &registered.row.base_model_id {
            None => override_base(&mut list, registered),
            Some(base) if registered.row.is_active && !known.contains(&registered.row.id) => {
                let model = preset(&list, registered, base);
                list.push(model);
            }
            Some(_) => {}
        }
    }
    let defaults = config.get(&keys::DEFAULT_MODEL_METADATA);
    let params = config.get(&keys::DEFAULT_MODEL_PARAMS);
    for model in &mut list {
        apply_defaults(&mut model.json, &defaults);
        apply_threshold(&mut model.json, params.get("compact_token_threshold"));
        offers.put_into(&mut model.json);
    }
    let mut models = Models::new();
    for model in list {
        models.insert(model.id.clone(), Arc::new(model));
    }
    models
}

fn plain(json: &Value) -> Option<Model> {
    let id = json.get("id")?.as_str()?.to_owned();
    let mut json = json.clone();
    // Only browsers say this of their own models.
    if let Some(fields) = json.as_object_mut() {
        fields.shift_remove("direct");
    }
    Some(Model {
        id,
        json,
        registered: None,
    })
}

fn arena(config: &Snapshot) -> Vec<Model> {
    if !config.get(&keys::ENABLE_EVALUATION_ARENA_MODELS) {
        return Vec::new();
    }
    let configured = config.get(&keys::EVALUATION_ARENA_MODELS);
    let listed = configured.as_array().filter(|list| !list.is_empty()).cloned();
    let listed = listed.unwrap_or_else(|| vec![default_arena()]);
    let entry = |model: &Value| {
        plain(&json!({
            "id": model.get("id")?, "name": model.get("name")?, "info": { "meta": model.get("meta")? },
            "object": "model", "created": 0, "owned_by": "arena", "arena": true,
        }))
    };
    listed.iter().filter_map(entry).collect()
}

/// The arena model that is offered when none is configured; its id and name are part of the wire.
fn default_arena() -> Value {
    json!({
        "id": "arena-model",
        "name": "Arena Model",
        "meta": {
            "profile_image_url": "/favicon.png",
            "description": "Answers come from models that stay anonymous until you have rated them.",
            "model_ids": null,
        },
    })
}

/// A row without base model changes the base model of the same id, or of the same name without tag for Ollama;
/// an inactive one hides it.
fn override_base(list: &mut Vec<Model>, registered: &Registered) {
    let exact = list.iter().position(|model| model.id == registered.row.id);
    let by_name = || {
        list.iter().position(|model| {
            model.owned_by() == "ollama" && model.id.split(':').next() == Some(registered.row.id.as_str())
        })
    };
    let Some(index) = exact.or_else(by_name) else {
        return;
    };
    if !registered.row.is_active {
        list.remove(index);
        return;
    }
    let model = &mut list[index];
    let arena_meta = model.is_arena().then(|| model.meta().cloned()).flatten();
    model.json["name"] = json!(registered.row.name);
    let mut info = info(registered);
    if let Some(arena) = arena_meta {
        for name in ["access_grants", "model_ids", "filter_mode"] {
            if let Some(value) = arena.get(name) {
                info["meta"][name] = value.clone();
            }
        }
    }
    model.json["info"] = info;
    model.registered = Some(Arc::new(registered.clone()));
}

fn preset(list: &[Model], registered: &Registered, base_id: &str) -> Model {
    let exact = |id: &str| list.iter().find(|model| model.id == id);
    let named = |id: &str| {
        list.iter()
            .find(|model| model.owned_by() == "ollama" && model.id.split(':').next() == Some(id))
    };
    let first = base_id.split(':').next().unwrap_or(base_id);
    let base = exact(base_id)
        .or_else(|| named(base_id))
        .or_else(|| exact(first))
        .or_else(|| named(first));
    let field = |name: &str| {
        base.and_then(|base| base.json.get(name))
            .cloned()
            .filter(|value| !value.is_null())
    };
    let row = &registered.row;
    let mut json = json!({
        "id": row.id,
        "name": row.name,
        "object": "model",
        "created": row.created_at,
        "owned_by": base.map_or("openai", |base| if base.owned_by().is_empty() { "unknown" } else { base.owned_by() }),
        "connection_type": field("connection_type"),
        "preset": true,
    });
    for name in ["pipe", "provider", "loaded"] {
        if let Some(value) = field(name).filter(|value| *value != json!("")) {
            json[name] = value;
        }
    }
    json["info"] = info(registered);
    Model {
        id: row.id.clone(),
        json,
        registered: Some(Arc::new(registered.clone())),
    }
}

/// The row as clients see it: parameters are kept back, but for what the client needs to draw its controls.
fn info(registered: &Registered) -> Value {
    let mut info = registered.row.to_json(&registered.grants);
    let params = registered.row.params_object();
    if let Some(meta) = info["meta"].as_object_mut() {
        meta.shift_remove("chat_variables_schema");
    }
    info["params"] = Value::Object(public_params(&params));
    info
}

fn public_params(params: &Map<String, Value>) -> Map<String, Value> {
    let mut public = Map::new();
    if let Some(controls) = params
        .get("model_controls")
        .and_then(Value::as_object)
        .filter(|c| !c.is_empty())
    {
        let shown: Map<String, Value> = controls
            .iter()
            .map(|(key, control)| (key.clone(), public_control(control)))
            .collect();
        public.insert("model_controls".into(), Value::Object(shown));
    }
    if let Some(threshold) = params.get("compact_token_threshold") {
        public.insert("compact_token_threshold".into(), threshold.clone());
    }
    public
}

fn public_control(control: &Value) -> Value {
    let mut shown = Map::new();
    for field in ["label", "description", "default", "display"] {
        if let Some(value) = control.get(field) {
            shown.insert(field.into(), value.clone());
        }
    }
    let options = control
        .get("options")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let labels: Map<String, Value> = options
        .map(|(key, option)| (key.clone(), json!({ "label": option.get("label") })))
        .collect();
    shown.insert("options".into(), Value::Object(labels));
    Value::Object(shown)
}

fn apply_defaults(model: &mut Value, defaults: &Value) {
    let Some(defaults) = defaults.as_object().filter(|defaults| !defaults.is_empty()) else {
        return;
    };
    if model.get("info").is_none_or(Value::is_null) {
        model["info"] = json!({ "meta": defaults });
        return;
    }
    let info = &mut model["info"];
    if !info.get("meta").is_some_and(Value::is_object) {
        info["meta"] = json!({});
    }
    let Some(meta) = info["meta"].as_object_mut() else {
        return;
    };
    for (key, value) in defaults {
        if key == "capabilities" {
            let mut merged = value.as_object().cloned().unwrap_or_default();
            let own = meta
                .get(key)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            merged.extend(own);
            meta.insert(key.clone(), Value::Object(merged));
        } else if meta.get(key).is_none_or(Value::is_null) {
            meta.insert(key.clone(), value.clone());
        }
    }
}

fn apply_threshold(model: &mut Value, threshold: Option<&Value>) {
    let Some(threshold) = threshold.filter(|value| !value.is_null()) else {
        return;
    };
    if model.get("info").is_none_or(Value::is_null) {
        model["info"] = json!({});
    }
    let info = &mut model["info"];
    if !info.get("params").is_some_and(Value::is_object) {
        info["params"] = json!({});
    }
    if info["params"].get("compact_token_threshold").is_none() {
        info["params"]["compact_token_threshold"] = threshold.clone();
    }
}
