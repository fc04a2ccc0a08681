//! The endpoints with which llama.cpp and LM Studio manage their models. Both work on the models of the instance.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    catalogue::Behaviour,
    handlers::{Call, listing::ok},
    plan::{Ending, Refusal},
    settings::ListedModel,
    state::ollama_name,
    wire::{Dialect, Family, Frames, Pace, transport, transport::Manner},
};

/// The job of every download.
const JOB: &str = "job-1";

fn named(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}

fn with_model(call: &Call, field: &str, answer: impl FnOnce(String) -> Response) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let model = named(&body, field);
    if call.shared.behaviour(Family::OpenAi, &model).is_none() {
        return *call.refuse(&Refusal::unknown_model(&model));
    }
    answer(model)
}

fn entries(call: &Call, entry: impl Fn(&str, bool) -> Value) -> Vec<Value> {
    let shelf = call.shared.shelf();
    let models = shelf.models.iter();
    models
        .map(|model| entry(&model.id, shelf.loaded.contains(&ollama_name(&model.id))))
        .collect()
}

/// `GET /models` of llama.cpp.
pub(super) async fn llama_list(call: Call) -> Response {
    let data = entries(&call, |id, loaded| {
        let status = if loaded { "loaded" } else { "unloaded" };
        json!({"id": id, "object": "model", "in_cache": true, "status": {"value": status}})
    });
    ok(&json!({"object": "list", "data": data}))
}

/// `POST /models` of llama.cpp and `POST /api/v1/models/download` of LM Studio.
pub(super) async fn download(call: Call) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let id = named(&body, "model");
    call.shared.shelf().add(ListedModel {
        behaviour: Behaviour::of_name(&id),
        id,
    });
    ok(&json!({"job_id": JOB, "status": "downloading"}))
}

/// `GET /api/v1/models/download/status/{job}` of LM Studio.
pub(super) async fn download_status(call: Call) -> Response {
    let job = call.path.rsplit('/').next().unwrap_or_default();
    if job == JOB {
        ok(&json!({"job_id": JOB, "status": "completed"}))
    } else {
        *call.refuse(&Refusal::of_status(404))
    }
}

/// `POST …/load` of both.
pub(super) async fn load(call: Call) -> Response {
    with_model(&call, "model", |model| {
        call.shared.shelf().loaded.insert(ollama_name(&model));
        ok(&json!({"success": true, "model": model}))
    })
}

fn unloaded(call: &Call, field: &str) -> Response {
    with_model(call, field, |model| {
        call.shared.shelf().loaded.remove(&ollama_name(&model));
        ok(&json!({"success": true}))
    })
}

/// `POST /models/unload` of llama.cpp.
pub(super) async fn llama_unload(call: Call) -> Response {
    unloaded(&call, "model")
}

/// `POST /api/v1/models/unload` of LM Studio, which unloads instances.
pub(super) async fn studio_unload(call: Call) -> Response {
    unloaded(&call, "instance_id")
}

/// `DELETE /models?model=…` of llama.cpp, confirmed by a text.
pub(super) async fn llama_delete(call: Call) -> Response {
    let model = call
        .query
        .as_deref()
        .and_then(|query| query.strip_prefix("model="))
        .unwrap_or_default();
    if call.shared.shelf().remove(model) {
        (StatusCode::OK, "deleted").into_response()
    } else {
        *call.refuse(&Refusal::unknown_model(model))
    }
}

/// `GET /models/sse` of llama.cpp: two events, then the end.
pub(super) async fn llama_events(call: Call) -> Response {
    let mut frames = Frames::default();
    for status in ["loading", "loaded"] {
        let event = json!({"model": "echo", "event": "status_change", "data": {"status": status}});
        frames.data(Pace::Paced, &event);
    }
    let manner = Manner {
        pause: call.shared.settings.pause,
        times: false,
        ending: Ending::Complete,
    };
    transport::streamed(
        Dialect::Chat.stream_type(),
        frames,
        manner,
        call.shared.closing.clone(),
    )
}

/// `GET /api/v1/models` of LM Studio.
pub(super) async fn studio_list(call: Call) -> Response {
    let models = entries(&call, |id, loaded| {
        let instances = if loaded { json!([{"id": id}]) } else { json!([]) };
        json!({"type": "llm", "key": id, "loaded_instances": instances})
    });
    ok(&json!({ "models": models }))
}

/// `POST /v1/messages/count_tokens` of Anthropic.
pub(super) async fn count_tokens(call: Call) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let words = Dialect::Messages.conversation(&body).prompt_words;
    ok(&json!({"input_tokens": words}))
}
