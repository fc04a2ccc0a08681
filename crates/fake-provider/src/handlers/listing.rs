//! What the provider says about itself and its models, in both APIs.

use std::sync::Arc;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    catalogue::Behaviour,
    handlers::Call,
    plan::Refusal,
    settings::ListedModel,
    state::{Shared, ollama_name},
    wire::{CREATED, CREATED_AT, Family, transport},
};

/// The version that `/api/version` tells; recent enough for every client.
const VERSION: &str = "0.12.0";
/// When `/api/ps` says that a model will be unloaded: never, within a test's life.
const EXPIRES_AT: &str = "2099-01-01T00:00:00Z";
/// Bytes of a model, in lists and in downloads.
pub(super) const SIZE: u64 = 1_000_000;
const CONTEXT_LENGTH: u64 = 8192;

/// `GET /`, as Ollama answers it.
pub(super) async fn root(_call: Call) -> &'static str {
    "Ollama is running"
}

/// `GET /api/version`.
pub(super) async fn version(_call: Call) -> Response {
    ok(&json!({"version": VERSION}))
}

/// `GET /v1/models`.
pub(super) async fn openai_models(call: Call) -> Response {
    let data: Vec<Value> = call.shared.shelf().models.iter().map(openai_entry).collect();
    ok(&json!({"object": "list", "data": data}))
}

/// `GET /v1/models/{id}`; ids may contain slashes.
pub(super) async fn openai_model(call: Call) -> Response {
    let id = call.path.trim_start_matches("/v1/models/");
    let entry = call.shared.shelf().find(Family::OpenAi, id).map(openai_entry);
    entry.map_or_else(|| *call.refuse(&Refusal::unknown_model(id)), |entry| ok(&entry))
}

/// `GET /api/tags`.
pub(super) async fn tags(call: Call) -> Response {
    let models: Vec<Value> = call
        .shared
        .shelf()
        .models
        .iter()
        .map(|model| ollama_entry(&model.id))
        .collect();
    ok(&json!({"models": models}))
}

/// `GET /api/ps`.
pub(super) async fn loaded(call: Call) -> Response {
    let models: Vec<Value> = loaded_entries(&call.shared);
    ok(&json!({"models": models}))
}

/// `POST /api/show`.
pub(super) async fn show(call: Call) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let name = named_model(&body);
    match call.shared.behaviour(Family::Ollama, name) {
        Some(behaviour) => ok(&description(name, behaviour)),
        None => *call.refuse(&Refusal::unknown_model(name)),
    }
}

/// The model that an Ollama request names: older clients write `name`.
pub(super) fn named_model(body: &Value) -> &str {
    body["model"]
        .as_str()
        .or_else(|| body["name"].as_str())
        .unwrap_or_default()
}

/// A digest of the right form for a name; a name has always the same.
pub(super) fn digest(name: &str) -> String {
    let sum = name.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("{sum:016x}").repeat(4)
}

pub(super) fn ok(body: &Value) -> Response {
    transport::json(StatusCode::OK, body).into_response()
}

fn openai_entry(model: &ListedModel) -> Value {
    json!({"id": model.id, "object": "model", "created": CREATED, "owned_by": "scripted"})
}

fn details() -> Value {
    json!({
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
        "parameter_size": "1B", "quantization_level": "Q4_0",
    })
}

fn ollama_entry(id: &str) -> Value {
    let name = ollama_name(id);
    let digest = digest(&name);
    json!({
        "name": name, "model": name, "modified_at": CREATED_AT,
        "size": SIZE, "digest": digest, "details": details(),
    })
}

fn loaded_entries(shared: &Arc<Shared>) -> Vec<Value> {
    let entry = |name: &String| {
        json!({
            "name": name, "model": name, "size": SIZE, "digest": digest(name), "details": details(),
            "expires_at": EXPIRES_AT, "size_vram": 0, "context_length": CONTEXT_LENGTH,
        })
    };
    shared.shelf().loaded.iter().map(entry).collect()
}

fn description(name: &str, behaviour: Behaviour) -> Value {
    json!({
        "license": "", "modelfile": format!("FROM {}\n", ollama_name(name)), "parameters": "temperature 0",
        "template": "{{ .Prompt }}", "details": details(),
        "model_info": {
            "general.architecture": "llama", "general.parameter_count": SIZE,
            "llama.context_length": CONTEXT_LENGTH, "llama.embedding_length": crate::wire::embeddings::DIMENSIONS,
        },
        "capabilities": behaviour.capabilities(), "modified_at": CREATED_AT,
    })
}
