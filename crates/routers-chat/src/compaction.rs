//! Summing up a chat on demand.

use axum::Json;
use axum::extract::Path;
use http::HeaderMap;
use oui_chat::context_size;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::{chat_edits, chats, history};
use oui_web::body::MaybeBody;
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::{Value, json};

use crate::request::run_user;

form! {
    /// Which model writes the summary.
    pub(crate) struct CompactForm {
        /// Model id; the chat's own when absent.
        model: Option<String>,
    }
}

/// Summaries.
pub(crate) fn area() -> Area {
    endpoints! { "compaction" at "/api/v1/chats";
        POST "/{id}/compact" Verified => compact,
    }
}

async fn compact(
    caller: Caller<Verified>,
    Path(chat_id): Path<String>,
    headers: HeaderMap,
    MaybeBody(body): MaybeBody<CompactForm>,
) -> ApiResult<Json<Value>> {
    let not_found = || ApiError::unauthorized(messages::NOT_FOUND);
    let chat = chats::owned(caller.db(), &chat_id, caller.id())
        .await?
        .ok_or_else(not_found)?;
    let engine = &caller.app().chat;
    if !engine.tasks.of(&chat_id, None).is_empty() {
        return Err(ApiError::conflict(
            "Wait for the current response to finish before compacting.",
        ));
    }
    let user = run_user(&caller, &headers).await?;
    let model = body.and_then(|body| body.form.model);
    let mut answer = engine.compact(&user, &chat.id, model.as_deref()).await?;
    answer["context_usage"] = usage(&caller, &chat.id).await?;
    if answer["compacted"] == true {
        let news = json!({ "dropped_messages": answer["dropped_messages"] });
        caller.tell("chat.compacted", chat_id, news);
    }
    Ok(Json(answer))
}

/// How full the context is now; null while compaction is off.
async fn usage(caller: &Caller<Verified>, chat_id: &str) -> ApiResult<Value> {
    let config = &caller.app().config;
    if !config.get(&oui_config::chat::ENABLE_CONTEXT_COMPACTION) {
        return Ok(Value::Null);
    }
    let Some(chat) = chats::by_id(caller.db(), chat_id).await? else {
        return Ok(Value::Null);
    };
    let document = chat.document();
    let leaf = chat
        .current_message_id
        .clone()
        .or_else(|| history::current_id(&document));
    let stored = chat_edits::messages_map(caller.db(), chat_id)
        .await?
        .unwrap_or_default();
    let path: Vec<Value> = history::path_to(&stored, &leaf.unwrap_or_default())
        .into_iter()
        .cloned()
        .collect();
    if path.is_empty() {
        return Ok(Value::Null);
    }
    let threshold = context_size::threshold(config, document.get("params").and_then(Value::as_object));
    Ok(context_size::usage_json(context_size::tokens(path), threshold))
}
