//! Marks on chats: pinned, archived, read.

use std::collections::BTreeSet;

use axum::Json;
use oui_core::ApiResult;
use oui_models::{chat_lists, chats, tags};
use oui_web::{Caller, Verified};
use serde_json::{Value, json};

use super::loaded::{Apologise, LoadedChat, Missing, Owner};

type Own = LoadedChat<Owner, Apologise>;

pub(super) async fn is_pinned(loaded: Own) -> Json<Value> {
    Json(json!(loaded.chat.pinned))
}

pub(super) async fn pin(loaded: Own) -> ApiResult<Json<Value>> {
    chats::toggle_pinned(loaded.caller.db(), &loaded.chat.id).await?;
    let row = loaded.row().await?;
    let news = if row.pinned == Some(true) {
        "chat.pinned"
    } else {
        "chat.unpinned"
    };
    loaded.caller.tell(news, row.id.as_str(), Value::Null);
    Ok(Json(row.into_json()))
}

pub(super) async fn archive(loaded: Own) -> ApiResult<Json<Value>> {
    let db = loaded.caller.db();
    let mut tx = db.begin().await?;
    let archived = chats::toggle_archived(&mut tx, &loaded.chat.id).await?;
    if !archived {
        tags::ensure(&mut tx, loaded.caller.id(), &loaded.chat.tag_ids()).await?;
    }
    tx.commit().await?;
    if archived {
        loaded.caller.app().chat.tasks.stop_of(&loaded.chat.id).await;
    }
    let news = if archived {
        "chat.archived"
    } else {
        "chat.unarchived"
    };
    loaded.caller.tell(news, loaded.chat.id.as_str(), Value::Null);
    Ok(Json(loaded.row().await?.into_json()))
}

pub(super) async fn archive_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    chats::archive_all(caller.db(), caller.id(), true).await?;
    caller.publish(caller.notice("chat.archived").about_kind("user", caller.id()));
    Ok(Json(json!(true)))
}

pub(super) async fn unarchive_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let mut tx = caller.db().begin().await?;
    let tag_ids: BTreeSet<String> = chats::archived_heads(&mut tx, caller.id())
        .await?
        .iter()
        .flat_map(|chat| chat.tag_ids())
        .collect();
    chats::archive_all(&mut tx, caller.id(), false).await?;
    tags::ensure(&mut tx, caller.id(), &tag_ids.into_iter().collect::<Vec<_>>()).await?;
    tx.commit().await?;
    caller.publish(caller.notice("chat.unarchived").about_kind("user", caller.id()));
    Ok(Json(json!(true)))
}

/// `{folder id: unread chats}` for all folders of the caller.
pub(crate) async fn unread_counts(caller: &Caller<Verified>) -> ApiResult<Value> {
    let counts = chat_lists::unread_by_folder(caller.db(), caller.id()).await?;
    Ok(counts
        .into_iter()
        .map(|(id, count)| (id, Value::from(count)))
        .collect())
}

pub(super) async fn read_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let updated = chats::mark_all_read(caller.db(), caller.id(), None).await?;
    Ok(Json(
        json!({ "updated_count": updated, "folder_unread_counts": unread_counts(&caller).await? }),
    ))
}

pub(super) async fn unread(loaded: LoadedChat<Owner, Missing>) -> ApiResult<Json<Value>> {
    chats::mark_unread(loaded.caller.db(), &loaded.chat.id).await?;
    Ok(Json(json!({
        "chat_id": loaded.chat.id,
        "last_read_at": 0,
        "folder_id": loaded.chat.folder_id,
        "folder_unread_counts": unread_counts(&loaded.caller).await?,
    })))
}
