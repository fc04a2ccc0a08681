//! Tags: those of the caller, those of a chat, and the chats that carry one.

use axum::Json;
use axum::response::Response;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::chat_lists::{self, Window};
use oui_models::chats::ChatHead;
use oui_models::tags::{self, TagRow};
use oui_models::{Db, chats};
use oui_web::{Body, Caller, Verified};
use serde_json::{Value, json};

use super::lists::lines;
use super::loaded::{Apologise, LoadedChat, Owner, Reader, Unknown};

form! {
    /// A tag.
    pub(crate) struct TagForm {
        /// Its name.
        name: String,
    }
}

form! {
    /// Chats with a tag.
    pub(crate) struct TagFilterForm {
        /// Name of the tag.
        name: String,
        /// Lines to leave out.
        skip: Option<i64> = Some(0),
        /// Lines at most; none or zero for all.
        limit: Option<i64> = Some(50),
    }
}

pub(super) async fn all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let tags = tags::of_user(caller.db(), caller.id()).await?;
    Ok(Json(tags.iter().map(TagRow::to_json).collect()))
}

pub(super) async fn chats_with(caller: Caller<Verified>, body: Body<TagFilterForm>) -> ApiResult<Response> {
    let TagFilterForm { name, skip, limit } = body.form;
    let limit = limit.filter(|limit| *limit != 0).unwrap_or(i64::MAX);
    let (id, window) = (
        tags::slug(&name),
        Window {
            skip: skip.unwrap_or(0).max(0),
            limit,
        },
    );
    let listed = chat_lists::tagged(caller.db(), caller.id(), &id, window).await?;
    if listed.is_empty() {
        tags::sweep(caller.db(), caller.id(), &[id]).await?;
    }
    lines(caller.app(), caller.db(), &listed).await
}

async fn tags_of(db: &Db, chat: &ChatHead) -> ApiResult<Json<Value>> {
    let owner = chat.user_id.as_deref().unwrap_or_default();
    let tags = tags::by_ids(db, owner, &chat.tag_ids()).await?;
    Ok(Json(tags.iter().map(TagRow::to_json).collect()))
}

async fn tags_now(db: &Db, chat_id: &str) -> ApiResult<Json<Value>> {
    match chats::head(db, chat_id).await? {
        Some(chat) => tags_of(db, &chat).await,
        None => Ok(Json(Value::Array(Vec::new()))),
    }
}

pub(super) async fn of_chat(loaded: LoadedChat<Reader, Unknown>) -> ApiResult<Json<Value>> {
    tags_of(loaded.caller.db(), &loaded.chat).await
}

pub(super) async fn add(loaded: LoadedChat<Owner, Apologise>, body: Body<TagForm>) -> ApiResult<Json<Value>> {
    let (db, id) = (loaded.caller.db(), tags::slug(&body.form.name));
    if id == "none" {
        return Err(ApiError::bad_request(messages::default_with(
            "Tag name cannot be 'None'",
        )));
    }
    if !loaded.chat.tag_ids().contains(&id) {
        tags::add_to_chat(db, &loaded.chat.id, loaded.caller.id(), &body.form.name).await?;
        let details = json!({ "tag": body.form.name });
        loaded
            .caller
            .tell("chat.tag_added", loaded.chat.id.as_str(), details);
    }
    tags_now(db, &loaded.chat.id).await
}

pub(super) async fn remove(
    loaded: LoadedChat<Owner, Unknown>,
    body: Body<TagForm>,
) -> ApiResult<Json<Value>> {
    let db = loaded.caller.db();
    tags::remove_from_chat(db, &loaded.chat.id, loaded.caller.id(), &body.form.name).await?;
    let details = json!({ "tag": body.form.name });
    loaded
        .caller
        .tell("chat.tag_removed", loaded.chat.id.as_str(), details);
    tags_now(db, &loaded.chat.id).await
}
