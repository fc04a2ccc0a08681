//! Chats beside a note. They are stored like others, but hidden from lists, and their system prompt tells the model
//! which note is meant.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiResult, ids};
use oui_models::chat_edits::{self, NewChat};
use oui_models::chats::{self, ChatRow};
use oui_web::{Caller, Verified};
use serde_json::{Map, Value, json};

use super::authorized;

/// What the model is told of the note.
fn prompt(note_id: &str) -> String {
    format!(
        "The user works on the note with the id {note_id}, and this chat is about it.\n\
         When they ask for a change of the text, read it with view_note and write it with replace_note_content; say \
         that it is done only once that has succeeded."
    )
}

async fn make(caller: &Caller<Verified>, note_id: &str) -> ApiResult<Json<Value>> {
    let id = ids::uuid();
    let document = json!({
        "id": id, "title": "Chat", "models": [""], "params": { "system": prompt(note_id) },
        "history": { "messages": {}, "currentId": null }, "messages": [], "tags": [],
    });
    let meta = json!({ "internal": true, "type": "note", "note_id": note_id });
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let new = NewChat {
        id,
        user_id: caller.id().to_owned(),
        document: object(&document),
        meta: object(&meta),
        ..NewChat::default()
    };
    Ok(Json(chat_edits::create(caller.db(), new).await?.into_json()))
}

/// The chat with the present prompt: it may have been made by another version.
async fn current(caller: &Caller<Verified>, note_id: &str, row: ChatRow) -> ApiResult<Value> {
    let document = row.document();
    let mut params = document
        .get("params")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let wanted = json!(prompt(note_id));
    let outdated = params.shift_remove("note_id").is_some() || params.get("system") != Some(&wanted);
    if !outdated {
        return Ok(row.into_json());
    }
    params.insert("system".into(), wanted);
    let fields = Map::from_iter([("params".to_owned(), Value::Object(params))]);
    let changed = chat_edits::patch(caller.db(), &row.id, fields, false).await?;
    Ok(changed.unwrap_or(row).into_json())
}

/// The newest chat about the note; a new one when there is none.
pub(super) async fn latest(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    match chats::about_note(caller.db(), &id, caller.id())
        .await?
        .into_iter()
        .next()
    {
        Some(row) => Ok(Json(current(&caller, &id, row).await?)),
        None => make(&caller, &id).await,
    }
}

/// All of the caller's chats about the note.
pub(super) async fn list(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    let mut items = Vec::new();
    for row in chats::about_note(caller.db(), &id, caller.id()).await? {
        items.push(current(&caller, &id, row).await?);
    }
    Ok(Json(Value::Array(items)))
}

/// Another chat about the note.
pub(super) async fn create(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    make(&caller, &id).await
}
