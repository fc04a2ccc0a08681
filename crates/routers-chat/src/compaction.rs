//! Summing up a chat on demand.

use axum::Json;
use axum::extract::Path;
use http::HeaderMap;
use oui_chat::context_size;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::chats;
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
    let chat = chats::by_id(caller.db(), &chat_id).await?.ok_or_else(not_found)?;
    let leaf = chat.current_message_id.as_deref();
    let config = &caller.app().config;
    answer["context_usage"] =
        context_size::of_chat(caller.db(), config, &chat_id, &chat.document(), leaf).await?;
    if answer["compacted"] == true {
        let news = json!({ "dropped_messages": answer["dropped_messages"] });
        caller.tell("chat.compacted", chat_id, news);
    }
    Ok(Json(answer))
}
