//! Single messages of a chat: change the text, delete, send an event about them.

use axum::Json;
use axum::extract::Path;
use oui_core::notice::preview;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::history::Object;
use oui_models::{chat_edits, chat_events};
use oui_web::Body;
use serde_json::{Map, Value, json};

use super::loaded::{Keeper, LoadedChat, Prohibit};

/// Characters of the metadata of speech.
const VOICE_LIMIT: usize = 100_000;

type Kept = LoadedChat<Keeper, Prohibit>;

form! {
    /// What changes in a message.
    pub(crate) struct MessageForm {
        /// New text.
        content: Option<String>,
        /// What is known of its speech.
        voice: Option<Map<String, Value>>,
    }
}

fn prohibited() -> ApiError {
    ApiError::unauthorized(messages::ACCESS_PROHIBITED)
}

pub(super) async fn update(
    loaded: Kept,
    Path((_, message_id)): Path<(String, String)>,
    body: Body<MessageForm>,
) -> ApiResult<Json<Value>> {
    let (db, chat_id) = (loaded.caller.db(), loaded.chat.id.as_str());
    let MessageForm { content, voice } = body.form;
    let mut fields = Object::new();
    if let Some(content) = &content {
        fields.insert("content".into(), content.as_str().into());
    }
    if let Some(voice) = &voice {
        if json!(voice).to_string().chars().count() > VOICE_LIMIT {
            return Err(ApiError::bad_request("Voice metadata is too large"));
        }
        let known = chat_edits::messages_map(db, chat_id)
            .await?
            .is_some_and(|all| all.contains_key(&message_id));
        if !known {
            return Err(ApiError::not_found(messages::NOT_FOUND));
        }
        fields.insert("meta".into(), json!({ "voice": voice }));
    }
    if fields.is_empty() {
        return Err(ApiError::bad_request("No message changes supplied"));
    }
    let row = chat_edits::upsert_message(db, chat_id, &message_id, fields, true)
        .await?
        .ok_or_else(prohibited)?;
    let mut data = json!({ "chat_id": chat_id, "message_id": message_id });
    let kind = match content {
        Some(content) => {
            data["content"] = content.into();
            "chat:message"
        }
        None => {
            data["voice"] = json!(voice);
            "chat:message:voice"
        }
    };
    relay(&loaded, &message_id, &json!({ "type": kind, "data": data })).await;
    let text = data["content"].as_str().unwrap_or_default();
    let details = json!({ "chat_id": chat_id, "content_preview": preview(text) });
    loaded.caller.tell("message.updated", message_id, details);
    Ok(Json(row.into_json()))
}

async fn relay(loaded: &Kept, message_id: &str, event: &Value) {
    let owner = loaded.chat.user_id.as_deref().unwrap_or_default();
    loaded
        .caller
        .app()
        .chat
        .relay_event(owner, &loaded.chat.id, message_id, event)
        .await;
}

pub(super) async fn delete(
    loaded: Kept,
    Path((_, message_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let row = chat_edits::delete_message(loaded.caller.db(), &loaded.chat.id, &message_id).await?;
    let row = row.ok_or_else(prohibited)?;
    loaded
        .caller
        .tell("message.deleted", message_id, json!({ "chat_id": row.id }));
    Ok(Json(row.into_json()))
}

form! {
    /// An event about a message.
    pub(crate) struct EventForm {
        /// Kind.
        kind as "type": String,
        /// What it says.
        data: Map<String, Value>,
    }
}

pub(super) async fn event(
    loaded: Kept,
    Path((_, message_id)): Path<(String, String)>,
    body: Body<EventForm>,
) -> ApiResult<Json<Value>> {
    let EventForm { kind, data } = body.form;
    let data = Value::Object(data);
    relay(&loaded, &message_id, &json!({ "type": kind, "data": data })).await;
    chat_events::store(loaded.caller.db(), &loaded.chat.id, &message_id, &kind, &data).await?;
    let details = json!({ "chat_id": loaded.chat.id, "event_type": kind });
    loaded.caller.tell("message.event_received", message_id, details);
    Ok(Json(json!(true)))
}
