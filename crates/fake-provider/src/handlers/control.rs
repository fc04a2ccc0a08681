//! Steering a running provider over HTTP, for clients that are not written in Rust: what the
//! library offers as `requests`, `clear` and `script`. These requests are not recorded.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    handlers::listing::ok,
    plan::Refusal,
    script::Script,
    state::{Recorded, Shared},
    wire::{Family, transport},
};

/// `GET /__fake/requests`: the recorded requests, oldest first.
pub(super) async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    let requests: Vec<Value> = shared.requests().iter().map(Recorded::to_json).collect();
    ok(&json!(requests))
}

/// `DELETE /__fake/requests`: forgets requests, scripts and the count of replies.
pub(super) async fn clear(State(shared): State<Arc<Shared>>) -> Response {
    shared.clear();
    StatusCode::NO_CONTENT.into_response()
}

/// `POST /__fake/scripts`: queues a [`Script`].
pub(super) async fn queue(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Script>(&body) {
        Ok(script) => {
            shared.queue(script);
            ok(&json!({"queued": shared.queued()}))
        }
        Err(error) => transport::refusal(
            Family::OpenAi,
            &Refusal::bad_request(format!("not a script: {error}")),
        ),
    }
}
