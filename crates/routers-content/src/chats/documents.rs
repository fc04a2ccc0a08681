//! Single chats: make, read, change, move, delete.

use axum::Json;
use oui_chat::context_size;
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_models::chat_edits::{self, NewChat};
use oui_models::chats::ChatRow;
use oui_models::history::Object;
use oui_models::{chat_removal, chats, folder_shares, folders};
use oui_web::{Body, Caller, Verified, body::ObjectBody};
use serde_json::{Map, Value, json};

use super::loaded::{
    Apologise, Deleter, LoadedChat, Missing, Organizer, Owner, Prohibit, Reader, Unknown, may_continue,
};
use super::shown::{set_authors, shown};

form! {
    /// A chat as clients send it.
    pub(crate) struct ChatForm {
        /// The document.
        chat: Map<String, Value>,
        /// Values of prompt variables.
        variables: Option<Map<String, Value>>,
        /// Folder.
        folder_id: Option<String>,
    }
}

/// Refuses documents whose title is no text.
pub(super) fn check_title(document: &Object) -> ApiResult<()> {
    match document.get("title") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(ApiError::bad_request(messages::DEFAULT)),
    }
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<ChatForm>) -> ApiResult<Json<Value>> {
    let mut form = body.form;
    if let Some(folder_id) = &form.folder_id
        && !folders::may_write(caller.db(), folder_id, caller.id()).await?
    {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    caller.app().chat.may_create_chats(caller.user()).await?;
    check_title(&form.chat)?;
    set_authors(&mut form.chat, caller.user());
    let new = NewChat {
        id: ids::uuid(),
        user_id: caller.id().to_owned(),
        document: form.chat,
        folder_id: form.folder_id,
        variables: form.variables.unwrap_or_default(),
        ..NewChat::default()
    };
    let row = chat_edits::create(caller.db(), new).await?;
    let details = json!({ "title": row.title, "folder_id": row.folder_id });
    caller.tell("chat.created", row.id.as_str(), details);
    Ok(Json(row.into_json()))
}

pub(super) async fn get(loaded: LoadedChat<Reader, Unknown>) -> ApiResult<Json<Value>> {
    let row = loaded.row().await?;
    let (app, db, user_id) = (loaded.caller.app(), loaded.caller.db(), loaded.caller.id());
    let current_id = row.current_message_id.clone();
    let mode = may_continue(db, user_id, &loaded.chat)
        .await?
        .then_some("continue");
    let mut answer = shown(db, row, Some(user_id)).await?;
    if let Some(document) = answer["chat"].as_object_mut() {
        document.insert("share_mode".into(), json!(mode));
    }
    // What is stored counts, not what streams just now.
    if let Some(document) = answer["chat"].as_object() {
        let usage =
            context_size::of_chat(db, &app.config, &loaded.chat.id, document, current_id.as_deref()).await?;
        answer["context_usage"] = usage;
    }
    app.chat.streams.merge_into(&loaded.chat.id, &mut answer["chat"]);
    Ok(Json(answer))
}

/// The chat as the one who changed it sees it.
async fn changed(
    loaded: &LoadedChat<Organizer, impl super::loaded::Answer>,
    row: ChatRow,
) -> ApiResult<Json<Value>> {
    if row.is_owned_by(loaded.caller.id()) {
        return Ok(Json(row.into_json()));
    }
    Ok(Json(
        shown(loaded.caller.db(), row, Some(loaded.caller.id())).await?,
    ))
}

pub(super) async fn update(
    loaded: LoadedChat<Organizer, Prohibit>,
    body: Body<ChatForm>,
) -> ApiResult<Json<Value>> {
    let mut form = body.form;
    if !loaded.chat.is_owned_by(loaded.caller.id()) {
        only_title(&mut form)?;
    }
    check_title(&form.chat)?;
    set_authors(&mut form.chat, loaded.caller.user());
    let touch = form.chat.contains_key("history") || form.chat.contains_key("messages");
    let db = loaded.caller.db();
    let row = chat_edits::patch_with(db, &loaded.chat.id, form.chat, form.variables, touch).await?;
    let row = row.ok_or_else(|| ApiError::unauthorized(messages::ACCESS_PROHIBITED))?;
    let details = json!({ "title": row.title });
    loaded.caller.tell("chat.updated", row.id.as_str(), details);
    changed(&loaded, row).await
}

/// The owner of the folder may rename a chat of somebody else in it, and nothing more.
fn only_title(form: &mut ChatForm) -> ApiResult<()> {
    let is_title = form.chat.len() == 1 && form.chat.contains_key("title");
    if !is_title || form.variables.is_some() || form.folder_id.is_some() {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let title = form.chat["title"]
        .as_str()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let title = title
        .ok_or_else(|| ApiError::bad_request(messages::default_with("Invalid title")))?
        .to_owned();
    form.chat.insert("title".into(), title.into());
    Ok(())
}

pub(super) async fn merge_params(
    loaded: LoadedChat<Owner, Prohibit>,
    ObjectBody(values): ObjectBody,
) -> ApiResult<Json<Value>> {
    let row = chat_edits::merge_params(loaded.caller.db(), &loaded.chat.id, values).await?;
    let row = row.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let details = json!({ "title": row.title });
    loaded.caller.tell("chat.updated", row.id.as_str(), details);
    Ok(Json(
        row.chat
            .as_ref()
            .and_then(|chat| chat.get("params"))
            .cloned()
            .unwrap_or_else(|| json!({})),
    ))
}

form! {
    /// Where a chat goes.
    pub(crate) struct FolderForm {
        /// Folder; out of all folders when absent.
        folder_id: Option<String>,
    }
}

pub(super) async fn move_to_folder(
    loaded: LoadedChat<Organizer, Apologise>,
    body: Body<FolderForm>,
) -> ApiResult<Json<Value>> {
    let (db, user_id, target) = (
        loaded.caller.db(),
        loaded.caller.id(),
        body.form.folder_id.as_deref(),
    );
    let is_owner = loaded.chat.is_owned_by(user_id);
    if !is_owner {
        // Chats of others stay in the tree of folders that their owner agreed to.
        let from = folder_shares::moving_root(db, user_id, loaded.chat.folder_id.as_deref()).await?;
        if from.is_none() || from != folder_shares::moving_root(db, user_id, target).await? {
            return Err(ApiError::unauthorized(messages::DEFAULT));
        }
    }
    if let Some(folder_id) = target
        && !folders::may_write(db, folder_id, user_id).await?
    {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    chats::move_to_folder(db, &loaded.chat.id, target, is_owner).await?;
    let row = loaded.row().await?;
    let details = json!({ "folder_id": body.form.folder_id });
    loaded
        .caller
        .tell("chat.folder_updated", row.id.as_str(), details);
    changed(&loaded, row).await
}

pub(super) async fn delete(loaded: LoadedChat<Deleter, Missing>) -> ApiResult<Json<Value>> {
    let (db, tasks) = (loaded.caller.db(), &loaded.caller.app().chat.tasks);
    let children = chat_removal::children(db, &loaded.chat).await?;
    for id in children.iter().chain([&loaded.chat.id]) {
        tasks.stop_of(id).await;
    }
    chat_removal::delete(db, &loaded.chat, &children).await?;
    let details = json!({ "owner_id": loaded.chat.user_id });
    loaded
        .caller
        .tell("chat.deleted", loaded.chat.id.as_str(), details);
    Ok(Json(json!(true)))
}

pub(super) async fn delete_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    caller.demand("chat.delete").await?;
    chat_removal::delete_all(caller.db(), caller.id()).await?;
    caller.publish(caller.notice("chat.deleted_all").about_kind("user", caller.id()));
    Ok(Json(json!(true)))
}
