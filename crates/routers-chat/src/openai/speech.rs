//! Speech of OpenAI's own server: what was spoken once is kept and not paid for again.

use std::path::Path;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use oui_chat::gateway;
use oui_core::{ApiError, ApiResult, messages};
use oui_providers::{PassedCall, SpokenError};
use oui_web::{Caller, Verified};
use sha2::{Digest, Sha256};

use crate::forms::RawRequest;
use crate::request;

/// The only server that is asked.
const SERVER: &str = "https://api.openai.com/v1";

pub(super) async fn speech(caller: Caller<Verified>, raw: RawRequest) -> ApiResult<Response> {
    if !caller.may("chat.tts").await? {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    let connection = settings.openai.iter().find(|connection| connection.url == SERVER);
    // The reference means to say what is missing, and fails over its own words.
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let name = hex::encode(Sha256::digest(&raw.body));
    let folder = caller.app().settings.server.cache_dir().join("audio/speech");
    let file = folder.join(format!("{name}.mp3"));
    if let Ok(kept) = tokio::fs::read(&file).await {
        return Ok(spoken(kept));
    }
    let context = request::call_context(&caller, &raw.headers).await?;
    let call = PassedCall {
        method: Method::POST,
        path: "audio/speech",
        query: None,
        body: Some(raw.body.clone()),
        model: None,
        stream: false,
    };
    let bytes = engine
        .providers
        .openai
        .bytes(connection, call, &context)
        .await
        .map_err(refused)?;
    if let Err(error) = keep(&folder, &file, &bytes, &raw.body).await {
        tracing::warn!(%error, "could not keep a speech");
    }
    Ok(spoken(bytes.into()))
}

fn spoken(bytes: Vec<u8>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("audio/mpeg"));
    (headers, bytes).into_response()
}

fn refused(error: SpokenError) -> ApiError {
    match error {
        SpokenError::Refused { status, error } => {
            let detail = error.map(|error| format!("External: {error}"));
            ApiError::new(
                status,
                detail.unwrap_or_else(|| messages::SERVER_CONNECTION_ERROR.to_owned()),
            )
        }
        SpokenError::Unreachable => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            messages::SERVER_CONNECTION_ERROR,
        ),
    }
}

/// Keeps a speech and, beside it, what was asked for. A file gets its name when it is whole.
async fn keep(folder: &Path, file: &Path, bytes: &[u8], asked: &[u8]) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let unfinished = file.with_extension(format!("{}.part", oui_core::ids::uuid()));
    tokio::fs::write(&unfinished, bytes).await?;
    tokio::fs::rename(&unfinished, file).await?;
    tokio::fs::write(file.with_extension("json"), asked).await
}
