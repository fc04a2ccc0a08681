//! Chat completions: the way into the engine, and the leftover endpoint that clients of older versions call
//! after a reply.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::chats;
use oui_web::body::ObjectBody;
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::{Map, Value};

use crate::request::{completion, run_user};

/// Completions.
pub(crate) fn areas() -> Vec<Area> {
    vec![
        endpoints! { "completions" at "/api/chat", "/api/v1/chat";
            POST "/completions" Verified => complete,
        },
        endpoints! { "completions" at "/api/chat";
            POST "/completed" Verified => completed,
            POST "/actions/{action_id}" Verified => act,
        },
    ]
}

async fn complete(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    let user = run_user(&caller, &headers).await?;
    caller.app().chat.complete(user, body).await.map(completion)
}

/// Answers with what was sent after it went through the outlet filters: replies are finished by the server itself.
async fn completed(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Json<Value>> {
    let chat_id = body.get("chat_id").and_then(Value::as_str).unwrap_or_default();
    check_owner(&caller, chat_id).await?;
    let direct = body
        .shift_remove("model_item")
        .filter(|item| item["direct"] == true);
    let user = run_user(&caller, &headers).await?;
    let models = caller.app().chat.catalogue.known(&user.call).await?;
    if body.get("id").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(ApiError::bad_request("Missing message id"));
    }
    let model = required(&body, "model")?.as_str().unwrap_or_default();
    let is_direct = direct.is_some_and(|item| item["id"] == model);
    if !is_direct && !models.contains_key(model) {
        return Err(ApiError::bad_request("Model not found"));
    }
    required(&body, "chat_id")?;
    required(&body, "session_id")?;
    let model = model.to_owned();
    caller
        .app()
        .chat
        .outlet(&user, &model, Value::Object(body))
        .await
        .map(Json)
}

/// Calls an action for a message.
async fn act(
    caller: Caller<Verified>,
    Path(action_id): Path<String>,
    headers: HeaderMap,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Json<Value>> {
    let chat_id = body.get("chat_id").and_then(Value::as_str).unwrap_or_default();
    check_owner(&caller, chat_id).await?;
    let direct = body
        .shift_remove("model_item")
        .filter(|item| item["direct"] == true);
    let user = run_user(&caller, &headers).await?;
    let engine = &caller.app().chat;
    engine
        .act(&user, &action_id, direct.as_ref(), body)
        .await
        .map(Json)
}

/// A field that the reference reads without a default; it names only the field when it is missing.
fn required<'b>(body: &'b Map<String, Value>, name: &str) -> ApiResult<&'b Value> {
    body.get(name)
        .ok_or_else(|| ApiError::bad_request(format!("'{name}'")))
}

/// Refuses saved chats of other people. Temporary chats have no owner to ask for.
async fn check_owner(caller: &Caller<Verified>, chat_id: &str) -> ApiResult<()> {
    if oui_chat::turn::ChatKind::read(chat_id).saved().is_none() {
        return Ok(());
    }
    if chat_id.starts_with("channel:") {
        return Err(ApiError::bad_request(
            "Channel chats are not supported on this endpoint",
        ));
    }
    let sees_all = caller.is_admin() && caller.app().settings.access.admin_chats;
    if sees_all || chats::owner(caller.db(), chat_id).await?.as_deref() == Some(caller.id()) {
        return Ok(());
    }
    Err(ApiError::not_found(messages::DEFAULT))
}
