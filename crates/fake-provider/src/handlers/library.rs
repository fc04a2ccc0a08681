//! Ollama's endpoints that change which models there are: pull, push, create, copy, delete, blobs.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    catalogue::Behaviour,
    handlers::{
        Call,
        listing::{SIZE, digest, named_model, ok},
    },
    plan::{Ending, Refusal},
    settings::ListedModel,
    state::ollama_name,
    wire::{Dialect, Family, Frames, Pace, transport, transport::Manner},
};

/// Names that begin so cannot be pulled.
const MISSING: &str = "missing";
/// Progress lines of a transfer.
const STEPS: u64 = 4;

/// `POST /api/pull`: progress lines, then the model is listed and behaves as its name says. A name
/// that begins with `missing` ends in an error line, as a registry without that model does.
pub(super) async fn pull(call: Call) -> Response {
    with_body(&call, |body| {
        let name = named_model(body);
        if name.starts_with(MISSING) {
            let lines = [
                status("pulling manifest"),
                json!({"error": "pull model manifest: file does not exist"}),
            ];
            return progress(&call, body, &lines);
        }
        call.shared.shelf().add(ListedModel {
            id: ollama_name(name),
            behaviour: Behaviour::of_name(name),
        });
        let mut lines = vec![status("pulling manifest")];
        lines.extend(transfer("pulling", name));
        lines.extend(["verifying sha256 digest", "writing manifest", "success"].map(status));
        progress(&call, body, &lines)
    })
}

/// `POST /api/push`: progress lines for a listed model.
pub(super) async fn push(call: Call) -> Response {
    with_body(&call, |body| {
        let name = named_model(body);
        if let Some(refused) = refuse_unknown(&call, name) {
            return refused;
        }
        let mut lines = vec![status("retrieving manifest")];
        lines.extend(transfer("pushing", name));
        lines.extend(["pushing manifest", "success"].map(status));
        progress(&call, body, &lines)
    })
}

/// `POST /api/create`: a model that behaves as the one it is made `from`, if that is listed, else
/// as its own name says.
pub(super) async fn create(call: Call) -> Response {
    with_body(&call, |body| {
        let name = named_model(body);
        let parent = body["from"]
            .as_str()
            .and_then(|from| call.shared.behaviour(Family::Ollama, from));
        let behaviour = parent.unwrap_or_else(|| Behaviour::of_name(name));
        call.shared.shelf().add(ListedModel {
            id: ollama_name(name),
            behaviour,
        });
        let lines = ["using existing layer", "writing manifest", "success"].map(status);
        progress(&call, body, &lines)
    })
}

/// `POST /api/copy`.
pub(super) async fn copy(call: Call) -> Response {
    with_body(&call, |body| {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let (source, destination) = (text("source"), text("destination"));
        let Some(behaviour) = call.shared.behaviour(Family::Ollama, &source) else {
            return *call.refuse(&Refusal::unknown_model(&source));
        };
        call.shared.shelf().add(ListedModel {
            id: ollama_name(&destination),
            behaviour,
        });
        StatusCode::OK.into_response()
    })
}

/// `DELETE /api/delete`.
pub(super) async fn delete(call: Call) -> Response {
    with_body(&call, |body| {
        let name = named_model(body);
        let removed = call.shared.shelf().remove(name);
        if removed {
            StatusCode::OK.into_response()
        } else {
            *call.refuse(&Refusal::unknown_model(name))
        }
    })
}

/// `POST /api/blobs/{digest}`: remembered by its digest.
pub(super) async fn upload_blob(call: Call) -> Response {
    call.shared.shelf().blobs.insert(blob_digest(&call).to_owned());
    StatusCode::CREATED.into_response()
}

/// `HEAD /api/blobs/{digest}`.
pub(super) async fn find_blob(call: Call) -> Response {
    let found = call.shared.shelf().blobs.contains(blob_digest(&call));
    if found {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
    .into_response()
}

fn blob_digest(call: &Call) -> &str {
    call.path.trim_start_matches("/api/blobs/")
}

fn with_body(call: &Call, answer: impl FnOnce(&Value) -> Response) -> Response {
    match call.json() {
        Ok(body) => answer(&body),
        Err(response) => *response,
    }
}

fn refuse_unknown(call: &Call, name: &str) -> Option<Response> {
    let known = call.shared.behaviour(Family::Ollama, name).is_some();
    (!known).then(|| *call.refuse(&Refusal::unknown_model(name)))
}

fn status(text: &str) -> Value {
    json!({"status": text})
}

fn transfer(verb: &str, name: &str) -> impl Iterator<Item = Value> {
    let digest = digest(&ollama_name(name));
    let text = format!("{verb} {}", &digest[..12]);
    (0..=STEPS).map(move |step| {
        let completed = SIZE * step / STEPS;
        json!({"status": text, "digest": format!("sha256:{digest}"), "total": SIZE, "completed": completed})
    })
}

/// The lines as a stream at the instance's pace, or only the last one if the request says so.
fn progress(call: &Call, body: &Value, lines: &[Value]) -> Response {
    if body["stream"] == false {
        return lines.last().map_or_else(|| StatusCode::OK.into_response(), ok);
    }
    let mut frames = Frames::default();
    for line in lines {
        frames.line(Pace::Paced, line);
    }
    let manner = Manner {
        pause: call.shared.settings.pause,
        times: false,
        ending: Ending::Complete,
    };
    transport::streamed(
        Dialect::OllamaChat.stream_type(),
        frames,
        manner,
        call.shared.closing.clone(),
    )
}
