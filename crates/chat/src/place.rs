//! Makes the place of a turn in its chat before any model is asked: a new chat with its first messages, or a
//! user's message and empty replies in an existing one. One transaction, the journal's rows included.

use oui_access::{Action, Ownership};
use oui_core::{ApiError, ApiResult, messages};
use oui_models::chat_edits::{self, Edit, NewChat};
use oui_models::chats::{self, ChatRow, NEW_CHAT};
use oui_models::{Tx, chat_access, chat_files, folders, history};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::turn::{Object, Target, Turn};

/// What was put into the chat.
pub(crate) struct Placed {
    /// The messages of the turn by id, for the other tabs.
    pub(crate) messages: Object,
    /// Leaf of the branch shown.
    pub(crate) current_id: Option<String>,
    /// Whether the caller owns the chat.
    pub(crate) owned: bool,
    /// Whether messages wait in it until nothing runs any more.
    pub(crate) has_inbox: bool,
}

/// Task ids of the replies, in the order of the targets.
pub(crate) type TaskIds<'a> = &'a [String];

fn invalid_id() -> ApiError {
    ApiError::conflict("Message already exists or has an invalid ID.")
}

fn reply(turn: &Turn, target: &Target, now: i64, task_id: &str) -> Option<(String, Object)> {
    let id = target.message_id.clone()?;
    let parent = turn.user_message_id.as_deref();
    let mut message = Object::new();
    message.insert("id".into(), json!(id));
    message.insert("parentId".into(), json!(parent));
    message.insert("childrenIds".into(), json!([]));
    message.insert("role".into(), json!("assistant"));
    message.insert("content".into(), json!(""));
    message.insert("done".into(), json!(false));
    message.insert("model".into(), json!(target.model_id));
    message.insert("timestamp".into(), json!(now));
    if turn.session_id.is_some() {
        message.insert("meta".into(), json!({ "task_id": task_id }));
    }
    Some((id, message))
}

/// Makes a new chat with all its replies.
pub(crate) async fn new_chat(engine: &Engine, turn: &Turn, tasks: TaskIds<'_>) -> ApiResult<Placed> {
    let user = &turn.user.user;
    engine.may_create_chats(user).await?;
    if let Some(folder_id) = &turn.folder_id
        && !folders::may_write(&engine.db, folder_id, &user.id).await?
    {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    let now = engine.clock.seconds();
    let chat_id = turn.chat.id().to_owned();
    let replies = turn.targets.iter().zip(tasks);
    let replies: Vec<(String, Object)> = replies
        .filter_map(|(target, task)| {
            let (id, mut message) = reply(turn, target, now, task)?;
            if let Some(index) = &target.model_idx {
                message.insert("modelIdx".into(), index.clone());
            }
            Some((id, message))
        })
        .collect();
    let reply_ids: Vec<&String> = replies.iter().map(|(id, _)| id).collect();
    let mut all = Object::new();
    if let (Some(id), Some(message)) = (&turn.user_message_id, &turn.user_message) {
        let mut message = message.clone();
        message.insert("childrenIds".into(), json!(reply_ids));
        message.insert("user_id".into(), json!(user.id));
        message.insert("user".into(), json!({ "id": user.id, "name": user.name }));
        all.insert(id.clone(), Value::Object(message));
    }
    let current_id = reply_ids
        .first()
        .map(|id| (*id).clone())
        .or_else(|| turn.user_message_id.clone());
    for (id, message) in &replies {
        all.insert(id.clone(), Value::Object(message.clone()));
    }
    let text = turn
        .user_message
        .as_ref()
        .and_then(|message| message.get("content"))
        .cloned();
    let flat: Vec<Value> = turn
        .user_message_id
        .iter()
        .map(|_| json!({ "role": "user", "content": text.clone().unwrap_or_else(|| json!("")) }))
        .collect();
    let document = json!({
        "id": chat_id,
        "title": NEW_CHAT,
        "models": turn.targets.iter().map(|target| &target.model_id).collect::<Vec<_>>(),
        "history": { "currentId": current_id, "messages": all },
        "messages": flat,
        "files": turn.files.clone().unwrap_or_else(|| json!([])),
        "tags": [],
        "timestamp": engine.clock.millis(),
    });
    let mut tx = engine.db.begin().await?;
    let new = NewChat {
        id: chat_id.clone(),
        user_id: user.id.clone(),
        document: document.as_object().cloned().unwrap_or_default(),
        folder_id: turn.folder_id.clone(),
        variables: turn.chat_variables.clone().unwrap_or_default(),
        ..NewChat::default()
    };
    chat_edits::create_in(&mut tx, new).await?;
    for ((id, _), task) in replies.iter().zip(tasks) {
        chat_edits::begin_reply(&mut tx, &chat_id, id, &user.id, task).await?;
    }
    note_files(&mut tx, turn, &chat_id).await?;
    tx.commit().await?;
    Ok(Placed {
        messages: all,
        current_id,
        owned: true,
        has_inbox: false,
    })
}

async fn note_files(tx: &mut Tx, turn: &Turn, chat_id: &str) -> ApiResult<()> {
    let files = turn
        .user_message
        .as_ref()
        .and_then(|message| message.get("files")?.as_array());
    let ids: Vec<String> = files
        .into_iter()
        .flatten()
        .filter(|file| file["type"] == "file")
        .filter_map(|file| file["id"].as_str().map(str::to_owned))
        .collect();
    chat_files::insert(
        tx,
        chat_id,
        turn.user_message_id.as_deref(),
        &ids,
        &turn.user.user.id,
    )
    .await?;
    Ok(())
}

/// The chat, if the user may write in it.
pub(crate) async fn writable(engine: &Engine, turn: &Turn, chat_id: &str) -> ApiResult<ChatRow> {
    let not_found = || ApiError::not_found(messages::NOT_FOUND);
    let chat = chats::by_id(&engine.db, chat_id).await?.ok_or_else(not_found)?;
    let user = &turn.user.user;
    let rule = Ownership {
        owner: chat.user_id.as_deref(),
        grants: &[],
    };
    if rule.permits(Action::Write, &user.id, &Default::default(), false)
        || chat_access::may_continue(&engine.db, &chat, &user.id).await?
    {
        return Ok(chat);
    }
    Err(not_found())
}

/// Puts the user's message and the empty replies into an existing chat.
pub(crate) async fn follow_up(
    engine: &Engine,
    turn: &Turn,
    chat: ChatRow,
    tasks: TaskIds<'_>,
) -> ApiResult<Placed> {
    let user = &turn.user.user;
    let owned = chat.is_owned_by(&user.id);
    let mut edit = chat_edits::edit(&engine.db, &chat.id)
        .await?
        .ok_or_else(|| ApiError::not_found("Chat not found."))?;
    check_ids(turn, &edit, owned)?;
    let now = engine.clock.seconds();
    let mut placed = Object::new();
    let mut parent = None;
    if let (Some(message), Some(id)) = (&turn.user_message, &turn.user_message_id) {
        let (stored, stored_parent) = place_user_message(turn, &mut edit, message, id, owned, now)?;
        placed.insert(id.clone(), stored);
        parent = stored_parent;
    }
    for (target, task) in turn.targets.iter().zip(tasks) {
        let Some((id, mut message)) = reply(turn, target, now, task) else {
            continue;
        };
        message.insert("modelIdx".into(), target.model_idx.clone().unwrap_or(Value::Null));
        message.insert("user_id".into(), json!(user.id));
        placed.insert(id.clone(), edit.upsert(&id, message));
        edit.begin_reply(&id, &user.id, task).await?;
    }
    // Children were linked after the user's message was taken; the stored one has them.
    if let Some(id) = &turn.user_message_id
        && let Some(stored) = edit.message(id)
    {
        placed.insert(id.clone(), stored.clone());
    }
    if let Some(parent) = parent
        && let Some(stored) = edit.message(&parent)
    {
        placed.insert(parent, stored.clone());
    }
    if owned {
        note_choices(turn, &mut edit);
    }
    note_files(edit.tx(), turn, &chat.id).await?;
    let has_inbox = !crate::inbox::waiting(edit.history()).is_empty();
    let row = edit.save(true).await?;
    for message in placed.values_mut().filter_map(Value::as_object_mut) {
        message.shift_remove("meta");
    }
    Ok(Placed {
        messages: placed,
        current_id: row.current_message_id,
        owned,
        has_inbox,
    })
}

/// What the owner chose for the next turn: models, files, values of variables.
fn note_choices(turn: &Turn, edit: &mut Edit) {
    let chosen = turn
        .user_message
        .as_ref()
        .and_then(|message| message.get("models"))
        .cloned();
    let models = chosen.filter(|models| models.as_array().is_some_and(|models| !models.is_empty()));
    let models = models.unwrap_or_else(|| {
        json!(
            turn.targets
                .iter()
                .map(|target| &target.model_id)
                .collect::<Vec<_>>()
        )
    });
    edit.document.insert("models".into(), models);
    if let Some(files) = &turn.files {
        edit.document.insert("files".into(), files.clone());
    }
    if let Some(variables) = &turn.chat_variables {
        edit.set("variables", Value::Object(variables.clone()));
    }
}

fn check_ids(turn: &Turn, edit: &Edit, owned: bool) -> ApiResult<()> {
    let user = &turn.user.user;
    let mut ids: Vec<&str> = Vec::new();
    if turn.user_message.is_some() {
        ids.push(turn.user_message_id.as_deref().unwrap_or_default());
    }
    ids.extend(
        turn.targets
            .iter()
            .map(|target| target.message_id.as_deref().unwrap_or_default()),
    );
    let repeated = ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id));
    if repeated || ids.iter().any(|id| id.is_empty()) {
        return Err(invalid_id());
    }
    for target in &turn.targets {
        let Some(stored) = target.message_id.as_deref().and_then(|id| edit.message(id)) else {
            continue;
        };
        let filled = |name: &str| stored.get(name).is_some_and(crate::turn::truthy);
        let author = history::text(stored, "user_id").map_or(owned, |author| author == user.id);
        let elsewhere = turn.user_message.is_some()
            && history::text(stored, "parentId") != turn.user_message_id.as_deref();
        let taken = history::text(stored, "role") != Some("assistant") || filled("done");
        if taken || filled("content") || filled("output") || !author || elsewhere {
            return Err(invalid_id());
        }
    }
    Ok(())
}

fn place_user_message(
    turn: &Turn,
    edit: &mut Edit,
    message: &Object,
    id: &str,
    owned: bool,
    now: i64,
) -> ApiResult<(Value, Option<String>)> {
    let user = &turn.user.user;
    let existing = edit.message(id).cloned();
    if let Some(existing) = existing {
        if history::text(&existing, "role") != Some("user") {
            return Err(ApiError::forbidden(
                "You can only regenerate replies to user messages.",
            ));
        }
        let mine = history::text(&existing, "user_id").map_or(owned, |author| author == user.id);
        let mut changed = existing.as_object().cloned().unwrap_or_default();
        if let Some(models) = message.get("models").filter(|_| mine) {
            changed.insert("models".into(), models.clone());
        }
        let parent = history::text(&existing, "parentId").map(str::to_owned);
        return Ok((edit.upsert(id, changed), parent));
    }
    let parent = message.get("parentId").and_then(Value::as_str).map(str::to_owned);
    if parent
        .as_deref()
        .is_some_and(|parent| edit.message(parent).is_none())
    {
        return Err(ApiError::conflict("Parent message no longer exists."));
    }
    let mut stored = message.clone();
    if !owned {
        // Guests bring text and attachments, nothing else.
        stored.retain(|name, _| matches!(name.as_str(), "content" | "files" | "models"));
    }
    stored.insert("id".into(), json!(id));
    stored.insert("parentId".into(), json!(parent));
    stored.insert("role".into(), json!("user"));
    stored.insert("childrenIds".into(), json!([]));
    stored.insert("timestamp".into(), json!(now));
    stored.insert("user_id".into(), json!(user.id));
    stored.insert("user".into(), json!({ "id": user.id, "name": user.name }));
    Ok((edit.upsert(id, stored), parent))
}

/// Checks that the caller may continue a reply, and answers the id of the message that it answers.
pub(crate) fn continued(turn: &Turn, chat: &ChatRow, reply_id: &str) -> ApiResult<Option<String>> {
    let document = chat.document();
    let message = document
        .get("history")
        .and_then(|history| history.get("messages")?.get(reply_id));
    let message = message.ok_or_else(|| ApiError::forbidden(messages::ACCESS_PROHIBITED))?;
    let author = history::text(message, "user_id").or(chat.user_id.as_deref());
    if author != Some(turn.user.user.id.as_str()) {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    if turn
        .targets
        .iter()
        .any(|target| target.message_id.as_deref() != Some(reply_id))
    {
        return Err(ApiError::bad_request("Invalid response ID."));
    }
    Ok(history::text(message, "parentId").map(str::to_owned))
}
