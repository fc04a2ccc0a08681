//! HTTP handlers: the table of routes, and what every request goes through first.

mod control;
mod embed;
mod generate;
mod library;
mod listing;
mod management;
mod media;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequest, Request},
    http::StatusCode,
    response::Response,
    routing::{delete, get, post},
};
use bytes::Bytes;
use serde_json::Value;

use crate::{
    plan::{Refusal, Reply},
    state::{Kept, Shared},
    wire::{Dialect, Family, transport},
};

/// All routes; those of the generation endpoints are in [`Dialect`]. Ollama's own are below `/api`,
/// those for steering the provider below `/__fake`.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/v1/models", get(listing::openai_models))
        .route("/v1/models/{*id}", get(listing::openai_model))
        .route("/v1/embeddings", post(embed::openai))
        .route("/v1/audio/speech", post(media::speech))
        .route("/", get(listing::root))
        .route("/api/version", get(listing::version))
        .route("/api/tags", get(listing::tags))
        .route("/api/ps", get(listing::loaded))
        .route("/api/show", post(listing::show))
        .route("/api/embed", post(embed::ollama))
        .route("/api/embeddings", post(embed::ollama_single))
        .route("/api/pull", post(library::pull))
        .route("/api/push", post(library::push))
        .route("/api/create", post(library::create))
        .route("/api/copy", post(library::copy))
        .route("/api/delete", delete(library::delete))
        .route(
            "/api/blobs/{digest}",
            post(library::upload_blob).head(library::find_blob),
        )
        .route(
            "/models",
            get(management::llama_list)
                .post(management::download)
                .delete(management::llama_delete),
        )
        .route("/models/load", post(management::load))
        .route("/models/unload", post(management::llama_unload))
        .route("/models/sse", get(management::llama_events))
        .route("/api/v1/models", get(management::studio_list))
        .route("/api/v1/models/download", post(management::download))
        .route(
            "/api/v1/models/download/status/{job}",
            get(management::download_status),
        )
        .route("/api/v1/models/load", post(management::load))
        .route("/api/v1/models/unload", post(management::studio_unload))
        .route("/__fake/requests", get(control::requests).delete(control::clear))
        .route("/__fake/scripts", post(control::queue))
        .fallback(no_route);
    for dialect in Dialect::ALL {
        router = router.route(dialect.path(), post(move |call| generate::answer(dialect, call)));
    }
    // Servers are known by their addresses: this one is taken for Anthropic's, which counts tokens.
    let anthropic = Router::new()
        .route("/v1/models", get(listing::openai_models))
        .route("/v1/messages/count_tokens", post(management::count_tokens))
        .route(
            Dialect::Messages.path(),
            post(move |call| generate::answer(Dialect::Messages, call)),
        )
        .fallback(no_route);
    router
        .nest("/api.anthropic.com", anthropic)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

/// A request that has been recorded, with its body read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn family(&self) -> Family {
        Family::of_path(&self.path)
    }

    /// The body as JSON, or the refusal of a body that is none.
    pub(crate) fn json(&self) -> Result<Value, Box<Response>> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.refuse(&Refusal::bad_request(format!("the body is not JSON: {error}"))))
    }

    /// A refusal in the shape of this request's API. Boxed, since it is the rare case.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Box<Response> {
        Box::new(transport::refusal(self.family(), refusal))
    }
}

impl FromRequest<Arc<Shared>> for Call {
    type Rejection = Response;

    /// Reads and records the request. One that a script answers as a whole goes no further.
    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().map(str::to_owned);
        let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| {
            let refusal = Refusal::bad_request(format!("the body could not be read: {error}"));
            transport::refusal(Family::of_path(&path), &refusal)
        })?;
        tracing::debug!(method = %parts.method, path, bytes = body.len(), "request");
        if shared.settings.keep > 0 {
            shared.keep(Kept {
                method: parts.method,
                path: path.clone(),
                query: query.clone(),
                headers: parts.headers,
                raw: body.clone(),
            });
        }
        let script = shared.take_script(|script| script.fits_path(&path));
        let call = Self {
            shared: Arc::clone(shared),
            path,
            query,
            body,
        };
        match script.map(|script| script.reply) {
            Some(Reply::Raw(raw)) => Err(transport::raw(raw)),
            Some(Reply::Refusal(refusal)) => Err(*call.refuse(&refusal)),
            Some(Reply::Plan(_)) | None => Ok(call),
        }
    }
}

/// Anything else is recorded too, so that a client's wrong path shows up in a test.
async fn no_route(call: Call) -> Response {
    let message = format!("no endpoint at {}", call.path);
    *call.refuse(&Refusal {
        message,
        ..Refusal::of_status(StatusCode::NOT_FOUND.as_u16())
    })
}
