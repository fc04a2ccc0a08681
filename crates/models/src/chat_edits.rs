//! Changes of a conversation. Each is one transaction that holds the chat's row, changes the
//! document and writes the rows of the messages it touched, so that both stores always agree.

use oui_core::boxed;
use serde_json::{Value, json};

use crate::chat_messages;
use crate::chats::{ChatRow, NEW_CHAT};
use crate::db::{Changes, Db, DbResult, Dialect};
use crate::history::{self, Object};
use crate::{Tx, args};

/// A new conversation.
#[derive(Debug, Clone, Default)]
pub struct NewChat {
    /// Row id.
    pub id: String,
    /// Owner.
    pub user_id: String,
    /// The document.
    pub document: Object,
    /// Folder.
    pub folder_id: Option<String>,
    /// Marks.
    pub meta: Object,
    /// Values of prompt variables.
    pub variables: Object,
    /// Seconds; now when absent. Imports keep the times of the original.
    pub created_at: Option<i64>,
    /// Seconds; now when absent.
    pub updated_at: Option<i64>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether it is in the archive.
    pub archived: bool,
    /// Leaf shown; the document's when absent.
    pub current_message_id: Option<String>,
    /// Nanoseconds at which it is due, if it is a timer.
    pub timer_at: Option<i64>,
}

/// Inserts a chat with the rows of its messages.
#[boxed]
pub async fn create(db: &Db, new: NewChat) -> DbResult<ChatRow> {
    let mut tx = db.begin().await?;
    let row = create_in(&mut tx, new).await?;
    tx.commit().await?;
    Ok(row)
}

/// [`create`] inside a transaction of the caller's.
#[boxed]
pub async fn create_in(tx: &mut Tx, new: NewChat) -> DbResult<ChatRow> {
    let now = tx.db().now();
    let mut document = Value::Object(new.document);
    history::clean(&mut document);
    let object = document.as_object().cloned().unwrap_or_default();
    let row = ChatRow {
        id: new.id,
        user_id: Some(new.user_id),
        title: Some(
            object
                .get("title")
                .and_then(Value::as_str)
                .unwrap_or(NEW_CHAT)
                .to_owned(),
        ),
        created_at: Some(new.created_at.unwrap_or(now)),
        updated_at: Some(new.updated_at.unwrap_or(now)),
        share_id: None,
        archived: Some(new.archived),
        pinned: Some(new.pinned),
        meta: Some(Value::Object(new.meta)),
        folder_id: new.folder_id,
        tasks: None,
        summary: None,
        last_read_at: Some(now),
        current_message_id: new.current_message_id.or_else(|| history::current_id(&object)),
        variables: Some(Value::Object(new.variables)),
        timer_at: new.timer_at,
        chat: Some(document),
    };
    row.insert(&mut *tx).await?;
    for (id, message) in initial_messages(&object) {
        write_message(tx, &row, &id, &message).await?;
    }
    Ok(row)
}

/// Notes in the journal that a reply is being written.
#[boxed]
pub async fn begin_reply(
    tx: &mut Tx,
    chat_id: &str,
    message_id: &str,
    user_id: &str,
    task_id: &str,
) -> DbResult<()> {
    let row = crate::stream_journal::JournalRow {
        message_id: message_id.to_owned(),
        chat_id: chat_id.to_owned(),
        user_id: user_id.to_owned(),
        task_id: task_id.to_owned(),
        state: None,
        updated_at: tx.db().now(),
    };
    row.insert_or(
        tx,
        "ON CONFLICT (message_id) DO UPDATE SET task_id = excluded.task_id, state = excluded.state",
    )
    .await?;
    Ok(())
}

/// Messages of a document: its history, or the flat list of documents from before the tree.
fn initial_messages(document: &Object) -> Vec<(String, Value)> {
    let tree = document
        .get("history")
        .and_then(|history| history.get("messages"))
        .and_then(Value::as_object);
    let flat = document.get("messages").and_then(Value::as_array);
    let all: Vec<(String, Value)> = match (tree.filter(|tree| !tree.is_empty()), flat) {
        (Some(tree), _) => tree
            .iter()
            .map(|(id, message)| (id.clone(), message.clone()))
            .collect(),
        (None, Some(flat)) => flat
            .iter()
            .filter_map(|message| Some((history::text(message, "id")?.to_owned(), message.clone())))
            .collect(),
        (None, None) => Vec::new(),
    };
    all.into_iter()
        .filter(|(_, message)| history::text(message, "role").is_some())
        .collect()
}

async fn write_message(tx: &mut Tx, chat: &ChatRow, id: &str, message: &Value) -> DbResult<()> {
    let now = tx.db().now();
    let author = history::text(message, "user_id")
        .or_else(|| message.get("user").and_then(|user| history::text(user, "id")))
        .or(chat.user_id.as_deref())
        .unwrap_or_default();
    chat_messages::upsert(tx, &chat.id, id, author, message, now).await
}

/// A chat whose row is held for a change.
pub struct Edit {
    tx: Tx,
    /// The row as it was read.
    pub row: ChatRow,
    /// The document, to be changed in place.
    pub document: Object,
    touched: Vec<String>,
    deleted: Vec<String>,
    changes: Changes,
}

/// Takes a chat for a change; nobody else can change it before [`Edit::save`] or the drop.
#[boxed]
pub async fn edit(db: &Db, chat_id: &str) -> DbResult<Option<Edit>> {
    let mut tx = db.begin().await?;
    let lock = if db.dialect() == Dialect::Postgres {
        " FOR UPDATE"
    } else {
        ""
    };
    let row = ChatRow::find(&mut tx, &format!("WHERE id = ?{lock}"), args![chat_id]).await?;
    Ok(row.map(|row| {
        let document = row.document();
        Edit {
            tx,
            row,
            document,
            touched: Vec::new(),
            deleted: Vec::new(),
            changes: Changes::new(),
        }
    }))
}

impl Edit {
    /// The transaction, for rows of other tables that belong to the change.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// The history.
    pub fn history(&mut self) -> &mut Object {
        history::of(&mut self.document)
    }

    /// The message with this id, as the document holds it.
    pub fn message(&self, id: &str) -> Option<&Value> {
        self.document.get("history")?.get("messages")?.get(id)
    }

    /// Merges a message into the history (see [`history::upsert`]) and answers it as stored.
    pub fn upsert(&mut self, id: &str, mut message: Object) -> Value {
        fill_content(&mut message);
        let mut message = Value::Object(message);
        history::clean(&mut message);
        let message = message.as_object().cloned().unwrap_or_default();
        let now = self.tx.db().now();
        let stored = history::upsert(self.history(), id, message, now).clone();
        self.touch_message(id);
        stored
    }

    /// Notes that a message was changed in place and its row must be written.
    pub fn touch_message(&mut self, id: &str) {
        if !self.touched.iter().any(|touched| touched == id) {
            self.touched.push(id.to_owned());
        }
    }

    /// Takes a message out; answers the ids that went with it.
    pub fn delete_message(&mut self, id: &str) -> Vec<String> {
        let gone = history::delete(self.history(), id);
        self.deleted.extend(gone.iter().cloned());
        gone
    }

    /// Notes in the journal that a reply is being written, in the transaction that makes its place.
    #[boxed]
    pub async fn begin_reply(&mut self, message_id: &str, user_id: &str, task_id: &str) -> DbResult<()> {
        begin_reply(&mut self.tx, &self.row.id, message_id, user_id, task_id).await
    }

    /// Sets a column besides the document.
    pub fn set(&mut self, column: &'static str, value: impl Into<crate::db::Arg>) {
        self.changes = std::mem::take(&mut self.changes).set(column, value);
    }

    /// Keeps what was changed in other tables and leaves the chat as it is.
    #[boxed]
    pub async fn leave(self) -> DbResult<()> {
        self.tx.commit().await
    }

    /// Writes the document, the touched messages and the derived columns, and commits. `touch` moves the
    /// chat to the top of the lists.
    #[boxed]
    pub async fn save(self, touch: bool) -> DbResult<ChatRow> {
        self.finish(touch, None).await
    }

    /// [`Edit::save`] that also takes a finished reply out of the journal.
    #[boxed]
    pub async fn save_reply(self, message_id: &str) -> DbResult<ChatRow> {
        self.finish(true, Some(message_id)).await
    }

    async fn finish(mut self, touch: bool, reply: Option<&str>) -> DbResult<ChatRow> {
        let now = self.tx.db().now();
        let title = self
            .document
            .get("title")
            .and_then(Value::as_str)
            .unwrap_or(NEW_CHAT)
            .to_owned();
        let current = history::current_id(&self.document);
        let document = Value::Object(std::mem::take(&mut self.document));
        let mut changes = std::mem::take(&mut self.changes)
            .set("chat", &document)
            .set("title", title.as_str())
            .set("current_message_id", current.clone());
        if touch {
            changes = changes.set("updated_at", now);
            self.row.updated_at = Some(now);
        }
        ChatRow::update(&mut self.tx, changes, "WHERE id = ?", args![&self.row.id]).await?;
        for id in &self.touched {
            let message = document
                .get("history")
                .and_then(|history| history.get("messages")?.get(id));
            if let Some(message) = message.filter(|message| history::text(message, "role").is_some()) {
                write_message(&mut self.tx, &self.row, id, message).await?;
            }
        }
        chat_messages::delete(&mut self.tx, &self.row.id, &self.deleted).await?;
        if let Some(message_id) = reply {
            crate::stream_journal::remove(&mut self.tx, message_id).await?;
        }
        self.tx.commit().await?;
        self.row.chat = Some(document);
        self.row.title = Some(title);
        self.row.current_message_id = current;
        Ok(self.row)
    }
}

/// A message that has output but no text shows the text of its output.
fn fill_content(message: &mut Object) {
    let has_content = message.get("content").is_some_and(|content| match content {
        Value::String(text) => !text.is_empty(),
        Value::Null => false,
        _ => true,
    });
    if !has_content && let Some(output) = message.get("output") {
        let text = history::output_text(output);
        if !text.is_empty() {
            message.insert("content".to_owned(), Value::from(text));
        }
    }
}

/// Merges fields into one message of a chat. `None` when the chat is gone.
#[boxed]
pub async fn upsert_message(
    db: &Db,
    chat_id: &str,
    message_id: &str,
    message: Object,
    touch: bool,
) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    history::repair(&mut edit.document);
    edit.upsert(message_id, message);
    edit.save(touch).await.map(Some)
}

/// [`upsert_message`] for the last change of a reply: takes it out of the journal as well.
#[boxed]
pub async fn finish_reply(
    db: &Db,
    chat_id: &str,
    message_id: &str,
    message: Object,
) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    history::repair(&mut edit.document);
    edit.upsert(message_id, message);
    edit.save_reply(message_id).await.map(Some)
}

/// [`upsert_message`] for a reply that waits for the user: nothing writes it meanwhile, so it leaves the journal.
#[boxed]
pub async fn park_reply(
    db: &Db,
    chat_id: &str,
    message_id: &str,
    message: Object,
) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    history::repair(&mut edit.document);
    edit.upsert(message_id, message);
    edit.finish(false, Some(message_id)).await.map(Some)
}

/// Notes that a reply is being written again by this task. `None` when the chat is gone.
#[boxed]
pub async fn resume_reply(
    db: &Db,
    chat_id: &str,
    message_id: &str,
    user_id: &str,
    task_id: &str,
) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    history::repair(&mut edit.document);
    let mut fields = Object::new();
    fields.insert("meta".to_owned(), json!({ "task_id": task_id }));
    fields.insert("done".to_owned(), Value::Bool(false));
    edit.upsert(message_id, fields);
    edit.begin_reply(message_id, user_id, task_id).await?;
    edit.save(false).await.map(Some)
}

/// Replaces top-level fields of the document; a history in it is merged, not replaced: replies that are
/// still being written and messages of other people keep what is stored.
#[boxed]
pub async fn patch(db: &Db, chat_id: &str, fields: Object, touch: bool) -> DbResult<Option<ChatRow>> {
    patch_with(db, chat_id, fields, None, touch).await
}

/// [`patch`] that also sets the values of prompt variables, when given.
#[boxed]
pub async fn patch_with(
    db: &Db,
    chat_id: &str,
    fields: Object,
    variables: Option<Object>,
    touch: bool,
) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    if let Some(variables) = variables.map(Value::Object) {
        edit.set("variables", &variables);
        edit.row.variables = Some(variables);
    }
    let mut fields = Value::Object(fields);
    history::clean(&mut fields);
    let mut fields = fields.as_object().cloned().unwrap_or_default();
    if let Some(incoming) = fields.remove("history") {
        merge_history(&mut edit, &incoming);
    }
    edit.document.extend(fields);
    edit.save(touch).await.map(Some)
}

fn merge_history(edit: &mut Edit, incoming: &Value) {
    let stored = edit.document.get("history").cloned();
    let owner = edit.row.user_id.clone().unwrap_or_default();
    let mut merged = history::merge(stored.as_ref(), Some(incoming));
    let before = stored
        .as_ref()
        .and_then(|stored| stored.get("messages")?.as_object())
        .cloned()
        .unwrap_or_default();
    let unfinished = |message: &Value| message.get("done") == Some(&Value::Bool(false));
    let all = history::messages(&mut merged);
    for (id, message) in &before {
        let foreign = history::text(message, "user_id").is_some_and(|author| author != owner);
        let is_reply = history::text(message, "role") == Some("assistant");
        let in_progress = is_reply && (unfinished(message) || all.get(id).is_some_and(unfinished));
        if foreign || in_progress {
            let mut kept = message.clone();
            kept["childrenIds"] = json!([]);
            all.insert(id.clone(), kept);
        }
    }
    history::rebuild_children(all);
    let sent = incoming
        .get("messages")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let changed: Vec<String> = sent
        .keys()
        .filter(|id| all.get(*id).is_some_and(|m| before.get(*id) != Some(m)))
        .cloned()
        .collect();
    edit.document.insert("history".to_owned(), Value::Object(merged));
    for id in changed {
        edit.touch_message(&id);
    }
}

/// Merges values into `params` of the document. `None` when the chat is gone.
#[boxed]
pub async fn merge_params(db: &Db, chat_id: &str, values: Object) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    let mut params = edit
        .document
        .get("params")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    params.extend(values);
    let mut params = Value::Object(params);
    history::clean(&mut params);
    edit.document.insert("params".to_owned(), params);
    edit.save(false).await.map(Some)
}

/// Takes a message and its children out; those below move up. `None` when the chat is gone.
#[boxed]
pub async fn delete_message(db: &Db, chat_id: &str, message_id: &str) -> DbResult<Option<ChatRow>> {
    let Some(mut edit) = edit(db, chat_id).await? else {
        return Ok(None);
    };
    history::repair(&mut edit.document);
    let parent = edit
        .message(message_id)
        .and_then(|message| message.get("parentId"))
        .cloned();
    let gone = edit.delete_message(message_id);
    if !gone.is_empty() {
        let parent = parent.unwrap_or(Value::Null);
        let moved: Vec<String> = history::messages(edit.history())
            .iter()
            .filter(|(_, message)| message.get("parentId").unwrap_or(&Value::Null) == &parent)
            .map(|(id, _)| id.clone())
            .collect();
        moved.iter().for_each(|id| edit.touch_message(id));
    }
    edit.save(!gone.is_empty()).await.map(Some)
}

/// Sets the title in the document and in its column.
#[boxed]
pub async fn set_title(db: &Db, chat_id: &str, title: &str) -> DbResult<Option<ChatRow>> {
    let mut fields = Object::new();
    fields.insert("title".to_owned(), Value::from(title));
    patch(db, chat_id, fields, false).await
}

/// The messages of a chat by id: from the rows, with gaps and chats without rows filled from the document.
#[boxed]
pub async fn messages_map(db: &Db, chat_id: &str) -> DbResult<Option<Object>> {
    let rows = chat_messages::map(db, chat_id).await?;
    let is_whole = rows.as_ref().is_some_and(|messages| {
        messages
            .values()
            .filter_map(|message| history::text(message, "parentId"))
            .all(|id| messages.contains_key(id))
    });
    if is_whole {
        return Ok(rows);
    }
    let Some(chat) = crate::chats::by_id(db, chat_id).await? else {
        return Ok(rows);
    };
    let mut document = chat.document();
    let stored = history::messages(history::of(&mut document)).clone();
    let mut messages = rows.unwrap_or_default();
    let missing: Object = stored
        .into_iter()
        .filter(|(id, _)| !messages.contains_key(id))
        .collect();
    if !missing.is_empty() {
        chat_messages::backfill(db, chat_id, chat.user_id.as_deref().unwrap_or_default(), &missing).await?;
        messages.extend(missing);
        history::rebuild_children(&mut messages);
    }
    Ok(Some(messages))
}
