//! Direct connections: models of servers that only the user's browser reaches. The request goes to the tab that asked,
//! which calls its server and sends back what that answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oui_core::{ApiError, ApiResult, CallError, Parts, ids};
use oui_providers::{CallContext, ChatReply, StreamError, UpstreamStream};
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::turn::{Object, truthy};

/// How often a stream without news looks whether its tab is still there.
const LOOK: Duration = Duration::from_secs(30);

/// Lets the browser complete a chat.
pub(crate) async fn complete(
    engine: &Engine,
    model: &Model,
    mut body: Object,
    context: &CallContext,
) -> ApiResult<ChatReply> {
    let meta = |name: &str| context.metadata.get(name).cloned().unwrap_or_default();
    let user_id = context.user.as_ref().map(|user| user.id.clone());
    let (Some(user_id), Some(session_id)) = (user_id, meta("session_id").as_str().map(str::to_owned)) else {
        return Err(ApiError::bad_request(said(&CallError::NoSession)));
    };
    body.insert("model".into(), json!(model.id));
    let streams = body.get("stream").is_some_and(truthy);
    let channel = format!("{user_id}:{session_id}:{}", ids::uuid());
    // The first parts may come before the browser has said that it began.
    let parts = engine.emitter.open_parts(&channel).filter(|_| streams);
    let payload = json!({
        "chat_id": meta("chat_id"),
        "message_id": meta("message_id"),
        "data": {
            "type": "request:chat:completion",
            "data": { "form_data": body, "model": model.json, "channel": channel, "session_id": session_id },
        },
    });
    let limit = engine.settings.websocket.call_timeout;
    let answer = engine
        .emitter
        .call(&user_id, &session_id, "events", &payload, limit)
        .await
        .unwrap_or_else(|error| json!({ "error": said(&error) }));
    if !streams {
        return match answer.get("error").filter(|error| truthy(error)) {
            Some(error) => Err(failed(error)),
            None => Ok(ChatReply::Json(answer)),
        };
    }
    match parts {
        Some(parts) if answer.get("status").is_some_and(truthy) => {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            Ok(ChatReply::Stream(UpstreamStream {
                status: StatusCode::OK,
                headers,
                body: Box::pin(events(engine, parts, session_id)),
            }))
        }
        _ => Err(failed(answer.get("error").unwrap_or(&answer))),
    }
}

fn said(error: &CallError) -> &'static str {
    match error {
        CallError::NoSession | CallError::Disconnected => "Client session disconnected.",
        CallError::Timeout => "Timed out waiting for client response.",
    }
}

fn failed(error: &Value) -> ApiError {
    let text = error
        .as_str()
        .or_else(|| error.get("message").and_then(Value::as_str))
        .map_or_else(|| error.to_string(), str::to_owned);
    ApiError::bad_request(text)
}

/// The parts as server-sent events, up to the one that says that it is the last.
fn events(
    engine: &Engine,
    parts: Box<dyn Parts>,
    session_id: String,
) -> impl futures::Stream<Item = Result<Bytes, StreamError>> + Send + use<> {
    let emitter = engine.emitter.clone();
    futures::stream::unfold(Some(parts), move |parts| {
        let (emitter, session_id) = (emitter.clone(), session_id.clone());
        async move {
            let mut parts = parts?;
            loop {
                match tokio::time::timeout(LOOK, parts.next()).await {
                    Ok(Some(part)) => match event(&part) {
                        Some(event) => return Some((Ok(event), Some(parts))),
                        None => return None,
                    },
                    // The reader fell behind, or the tab is gone: what follows would have a hole.
                    Ok(None) => return Some((Err(broken()), None)),
                    Err(_) if emitter.session_user(&session_id).is_none() => {
                        return Some((Err(broken()), None));
                    }
                    Err(_) => {}
                }
            }
        }
    })
}

fn broken() -> StreamError {
    StreamError::Broken("the browser stopped sending".to_owned())
}

/// A part as an event; `None` for the last.
fn event(part: &Value) -> Option<Bytes> {
    let text = match part {
        Value::Object(fields) if fields.get("done").is_some_and(truthy) => return None,
        Value::String(text) if text.contains("data:") => format!("{text}\n\n"),
        Value::String(text) => format!("data: {text}\n\n"),
        other => format!("data: {other}\n\n"),
    };
    Some(Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_events() {
        assert_eq!(event(&json!({"a": 1})).unwrap(), "data: {\"a\":1}\n\n");
        assert_eq!(event(&json!("data: {\"a\":1}")).unwrap(), "data: {\"a\":1}\n\n");
        assert_eq!(event(&json!("{\"a\":1}")).unwrap(), "data: {\"a\":1}\n\n");
        assert!(event(&json!({"done": true})).is_none());
    }

    #[test]
    fn the_browsers_words_are_shown() {
        assert_eq!(failed(&json!("no key")).detail(), "no key");
        assert_eq!(failed(&json!({"message": "no key"})).detail(), "no key");
        assert_eq!(failed(&json!({"code": 1})).detail(), "{\"code\":1}");
    }
}
