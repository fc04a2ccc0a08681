//! The call to the provider: which connection a model lives on, under which name, and how its failures look
//! to the client.

use http::StatusCode;
use http::header::HeaderName;
use oui_core::{ApiError, ApiResult, messages};
use oui_providers::{
    CallContext, ChatReply, Connection, ProviderError, ProviderKind, UpstreamStream, responses_stream,
};
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::direct;
use crate::engine::Engine;
use crate::pipes;
use crate::quota::meter::Tone;
use crate::turn::Object;

/// Calls the provider of a model with a finished request.
pub(crate) async fn dispatch(
    engine: &Engine,
    model: &Model,
    body: Object,
    context: &CallContext,
) -> ApiResult<ChatReply> {
    if model.is_direct() {
        return direct::complete(engine, model, body, context).await;
    }
    let meter = engine.meter_run(model, &body, context).await?;
    let answer = ask(engine, model, body, context).await;
    match meter {
        Some(meter) => meter.measure(answer, Tone::Error).await,
        None => answer,
    }
}

async fn ask(
    engine: &Engine,
    model: &Model,
    mut body: Object,
    context: &CallContext,
) -> ApiResult<ChatReply> {
    if pipes::is_pipe(model) {
        return pipes::complete(engine, model, body, context).await;
    }
    let base = base_id(model);
    let settings = engine.catalogue.connections();
    let snapshot = engine.catalogue.snapshot();
    let kind = model.provider();
    let found = snapshot.connection(&settings, kind, &base).or_else(|| {
        // The tag of an Ollama model may be left out.
        let tagged = format!("{base}:latest");
        (kind == ProviderKind::Ollama)
            .then(|| snapshot.connection(&settings, kind, &tagged))
            .flatten()
    });
    let connection = found.ok_or_else(|| ApiError::not_found(messages::model_not_found(&model.id)))?;
    body.insert("model".into(), json!(base));
    call(engine, connection, body, context).await.map_err(to_api)
}

/// Calls a connection with a finished request. Answers are in Chat Completions form whatever it speaks.
pub(crate) async fn call(
    engine: &Engine,
    connection: &Connection,
    body: Object,
    context: &CallContext,
) -> Result<ChatReply, ProviderError> {
    let reply = engine
        .providers
        .chat(connection, Value::Object(body), context)
        .await?;
    Ok(match reply {
        ChatReply::Stream(stream) if connection.speaks_responses() => ChatReply::Stream(UpstreamStream {
            status: stream.status,
            headers: stream.headers,
            body: responses_stream::to_chat_events(stream.body, engine.clock.clone()),
        }),
        other => other,
    })
}

/// The id of the model that really answers.
pub(crate) fn base_id(model: &Model) -> String {
    let base = model
        .registered
        .as_ref()
        .and_then(|registered| registered.row.base_model_id.clone());
    base.filter(|base| !base.is_empty())
        .unwrap_or_else(|| model.id.clone())
}

/// A provider's failure as our answer: its own status and body, with the hint when to come again.
pub fn to_api(error: ProviderError) -> ApiError {
    let answer = match error.body() {
        // The status is the provider's, so is a text that is no JSON.
        Value::String(text) if error.upstream().is_some() => ApiError::plain(error.status(), text.clone()),
        Value::String(text) => ApiError::new(error.status(), text.clone()),
        body => ApiError::with_body(error.status(), body.clone()),
    };
    let retry = error
        .upstream()
        .map(|upstream| upstream.retry.clone())
        .unwrap_or_default();
    retry
        .into_iter()
        .fold(answer, |answer, (name, value): (HeaderName, String)| {
            answer.with_header(name, &value)
        })
}

/// What of a failure is shown in the chat: the innermost message of the body.
pub fn error_text(error: &ApiError) -> String {
    let mut detail = error.body();
    while let Some(object) = detail.as_object() {
        match ["error", "message", "detail"]
            .iter()
            .find_map(|name| object.get(*name))
        {
            Some(next) => detail = next,
            None => break,
        }
    }
    match detail {
        Value::String(text) if !text.trim().is_empty() => text.clone(),
        Value::Null | Value::String(_) => fallback(error.status()),
        other => other.to_string(),
    }
}

fn fallback(status: StatusCode) -> String {
    format!("Provider returned HTTP {}", status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_message_is_shown() {
        let error = ApiError::with_body(
            StatusCode::BAD_REQUEST,
            json!({"error": {"message": "no such model"}}),
        );
        assert_eq!(error_text(&error), "no such model");
        assert_eq!(error_text(&ApiError::bad_request("plain")), "plain");
        let empty = ApiError::with_body(StatusCode::BAD_GATEWAY, json!({"error": null}));
        assert_eq!(error_text(&empty), "Provider returned HTTP 502");
    }
}
