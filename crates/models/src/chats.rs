//! Table `chat`: rows and look-ups of single chats. Lists are in [`chat_lists`](crate::chat_lists), changes
//! of the conversation in [`chat_edits`](crate::chat_edits), the shape of the stored history in
//! [`history`](crate::history).

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult, Dialect, placeholders, sql};
use crate::{Tx, args, table};

table! {
    /// One conversation.
    pub struct ChatRow in "chat" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Title shown.
        pub title: Option<String>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Id of the shared snapshot.
        pub share_id: Option<String>,
        /// Whether it is in the archive.
        pub archived: Option<bool>,
        /// The document: title, models, history, files, params, ...
        pub chat: Option<Value>,
        /// Whether it is pinned.
        pub pinned: Option<bool>,
        /// Tags and marks of internal chats.
        pub meta: Option<Value>,
        /// Folder.
        pub folder_id: Option<String>,
        /// Task list of the assistant.
        pub tasks: Option<Value>,
        /// Summary.
        pub summary: Option<String>,
        /// Seconds.
        pub last_read_at: Option<i64>,
        /// Leaf of the branch shown.
        pub current_message_id: Option<String>,
        /// Values for prompt variables.
        pub variables: Option<Value>,
        /// Nanoseconds.
        pub timer_at: Option<i64>,
    }
}

table! {
    /// A conversation without its document, for those who only ask whose it is and where it lies.
    pub struct ChatHead in "chat" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Title shown.
        pub title: Option<String>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Id of the shared snapshot.
        pub share_id: Option<String>,
        /// Whether it is in the archive.
        pub archived: Option<bool>,
        /// Whether it is pinned.
        pub pinned: Option<bool>,
        /// Tags and marks of internal chats.
        pub meta: Option<Value>,
        /// Folder.
        pub folder_id: Option<String>,
        /// Seconds.
        pub last_read_at: Option<i64>,
    }
}

/// A chat whose access rule can be asked: [`ChatRow`] or [`ChatHead`].
pub trait Placed: Sync {
    /// Row id.
    fn id(&self) -> &str;
    /// Folder it lies in.
    fn folder_id(&self) -> Option<&str>;
}

impl Placed for ChatRow {
    fn id(&self) -> &str {
        &self.id
    }

    fn folder_id(&self) -> Option<&str> {
        self.folder_id.as_deref()
    }
}

impl Placed for ChatHead {
    fn id(&self) -> &str {
        &self.id
    }

    fn folder_id(&self) -> Option<&str> {
        self.folder_id.as_deref()
    }
}

fn is_internal(meta: Option<&Value>) -> bool {
    meta.and_then(|meta| meta.get("internal"))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// Ids of the tags in `meta`.
fn tag_ids(meta: Option<&Value>) -> Vec<String> {
    let tags = meta.and_then(|meta| meta.get("tags")).and_then(Value::as_array);
    tags.map(|tags| tags.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

impl ChatHead {
    /// Whether it belongs to a sub-agent, note or timer and is hidden from lists.
    pub fn is_internal(&self) -> bool {
        is_internal(self.meta.as_ref())
    }

    /// Whether the row belongs to the user.
    pub fn is_owned_by(&self, user_id: &str) -> bool {
        self.user_id.as_deref() == Some(user_id)
    }

    /// Ids of its tags.
    pub fn tag_ids(&self) -> Vec<String> {
        tag_ids(self.meta.as_ref())
    }
}

/// Title of a chat that has none yet.
pub const NEW_CHAT: &str = "New Chat";

impl ChatRow {
    /// The document as an object.
    pub fn document(&self) -> Map<String, Value> {
        self.chat
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// `meta` as an object.
    pub fn meta_object(&self) -> Map<String, Value> {
        self.meta
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// Whether it belongs to a sub-agent, note or timer and is hidden from lists.
    pub fn is_internal(&self) -> bool {
        is_internal(self.meta.as_ref())
    }

    /// Ids of its tags.
    pub fn tag_ids(&self) -> Vec<String> {
        tag_ids(self.meta.as_ref())
    }

    /// Whether the row belongs to the user.
    pub fn is_owned_by(&self, user_id: &str) -> bool {
        self.user_id.as_deref() == Some(user_id)
    }

    /// Mends the links and the current leaf of the document's history, for readers; see
    /// [`history::repair`](crate::history::repair).
    #[must_use]
    pub fn repaired(mut self) -> Self {
        if let Some(Value::Object(document)) = &mut self.chat {
            crate::history::repair(document);
        }
        self
    }

    /// The chat as routes send it. Nothing is copied: the document may be large.
    pub fn into_json(self) -> Value {
        let object_or_empty =
            |value: Option<Value>| value.filter(Value::is_object).unwrap_or_else(|| json!({}));
        let mut out = Map::new();
        out.insert("id".into(), self.id.into());
        out.insert("user_id".into(), json!(self.user_id));
        out.insert("title".into(), json!(self.title));
        out.insert("chat".into(), object_or_empty(self.chat));
        out.insert("updated_at".into(), json!(self.updated_at));
        out.insert("created_at".into(), json!(self.created_at));
        out.insert("share_id".into(), json!(self.share_id));
        out.insert("archived".into(), self.archived.unwrap_or(false).into());
        out.insert("pinned".into(), json!(self.pinned));
        out.insert("meta".into(), object_or_empty(self.meta));
        out.insert("variables".into(), object_or_empty(self.variables));
        out.insert("folder_id".into(), json!(self.folder_id));
        out.insert("tasks".into(), self.tasks.unwrap_or(Value::Null));
        out.insert("summary".into(), json!(self.summary));
        out.insert("current_message_id".into(), json!(self.current_message_id));
        out.insert("context_usage".into(), Value::Null);
        Value::Object(out)
    }
}

/// A user's chats about a note, newest first.
#[boxed]
pub async fn about_note(db: &Db, note_id: &str, user_id: &str) -> DbResult<Vec<ChatRow>> {
    let is_about = match db.dialect() {
        Dialect::Sqlite => {
            "json_extract(meta, '$.internal') = 1 AND json_extract(meta, '$.type') = 'note' \
             AND json_extract(meta, '$.note_id') = ?"
        }
        Dialect::Postgres => {
            "meta ->> 'internal' = 'true' AND meta ->> 'type' = 'note' AND meta ->> 'note_id' = ?"
        }
    };
    let rest = format!("WHERE {is_about} AND user_id = ? ORDER BY updated_at DESC, created_at DESC");
    ChatRow::list(db, &rest, args![note_id, user_id]).await
}

/// The chat with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<ChatRow>> {
    ChatRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The chat with this id if it belongs to the user.
#[boxed]
pub async fn owned(conn: impl Into<Conn<'_>>, id: &str, user_id: &str) -> DbResult<Option<ChatRow>> {
    ChatRow::find(conn, "WHERE id = ? AND user_id = ?", args![id, user_id]).await
}

/// The chat with this id, without its document.
#[boxed]
pub async fn head(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<ChatHead>> {
    ChatHead::find(conn, "WHERE id = ?", args![id]).await
}

/// The archived chats of a user, without their documents.
#[boxed]
pub async fn archived_heads(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<ChatHead>> {
    let condition = format!(
        "WHERE user_id = ? AND archived = ? AND {}",
        crate::chat_lists::NOT_INTERNAL
    );
    ChatHead::list(conn, &condition, args![user_id, true]).await
}

/// Owner of a chat, without reading its document.
#[boxed]
pub async fn owner(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    sql("SELECT user_id FROM chat WHERE id = ?", args![id])
        .scalar(conn)
        .await
}

/// Title of a chat, without reading its document.
#[boxed]
pub async fn title(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    Ok(sql("SELECT title FROM chat WHERE id = ?", args![id])
        .scalar::<Option<String>>(conn)
        .await?
        .flatten())
}

/// Folder of a chat, without reading its document.
#[boxed]
pub async fn folder_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    Ok(sql("SELECT folder_id FROM chat WHERE id = ?", args![id])
        .scalar::<Option<String>>(conn)
        .await?
        .flatten())
}

/// Marks a chat of the user as read now. Answers the time and whether it was unread before.
#[boxed]
pub async fn mark_read(db: &Db, id: &str, user_id: &str) -> DbResult<Option<(i64, bool)>> {
    let text = "SELECT updated_at, last_read_at FROM chat WHERE id = ? AND user_id = ?";
    let Some(row) = sql(text, args![id, user_id]).first(db).await? else {
        return Ok(None);
    };
    let (updated, read): (Option<i64>, Option<i64>) = (row.at(0)?, row.at(1)?);
    let now = db.now();
    ChatRow::update(
        db,
        Changes::new().set("last_read_at", now),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(Some((now, read.is_none_or(|read| updated.unwrap_or(0) > read))))
}

/// Forgets that the owner has read a chat.
#[boxed]
pub async fn mark_unread(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<()> {
    ChatHead::update(
        conn,
        Changes::new().set("last_read_at", 0_i64),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(())
}

/// Marks all listed chats of a user as read, or only those in the folders. Answers how many there were.
#[boxed]
pub async fn mark_all_read(
    conn: impl Into<Conn<'_>>,
    user_id: &str,
    folder_ids: Option<&[String]>,
) -> DbResult<u64> {
    if folder_ids.is_some_and(<[String]>::is_empty) {
        return Ok(0);
    }
    let mut text = format!(
        "UPDATE chat SET last_read_at = updated_at WHERE user_id = ? AND archived = ? AND {}",
        crate::chat_lists::NOT_INTERNAL
    );
    let mut args = args![user_id, false];
    if let Some(ids) = folder_ids {
        text.push_str(&format!(" AND folder_id IN ({})", placeholders(ids.len())));
        args.extend(ids.iter().map(Into::into));
    }
    sql(text, args).execute(conn).await
}

/// Pins a chat, or takes the pin away. Answers the new state.
#[boxed]
pub async fn toggle_pinned(db: &Db, id: &str) -> DbResult<bool> {
    let now = db.now();
    let text = "UPDATE chat SET pinned = NOT COALESCE(pinned, FALSE), updated_at = ?, last_read_at = ? \
                WHERE id = ? RETURNING pinned";
    let rows = sql(text, args![now, now, id]).returning(db).await?;
    rows.first().map_or(Ok(false), |row| row.at(0))
}

/// Archives a chat, or takes it out of the archive; it leaves its folder in both directions. Answers the new state.
#[boxed]
pub async fn toggle_archived(tx: &mut Tx, id: &str) -> DbResult<bool> {
    let now = tx.db().now();
    let text = "UPDATE chat SET archived = NOT COALESCE(archived, FALSE), folder_id = NULL, updated_at = ?, \
                last_read_at = ? WHERE id = ? RETURNING archived";
    let rows = sql(text, args![now, now, id]).returning(tx).await?;
    rows.first().map_or(Ok(false), |row| row.at(0))
}

/// Archives all chats of a user, which takes them out of their folders, or opens the archive.
#[boxed]
pub async fn archive_all(conn: impl Into<Conn<'_>>, user_id: &str, archived: bool) -> DbResult<()> {
    let changes = Changes::new().set("archived", archived);
    let changes = if archived {
        changes.set("folder_id", None::<String>)
    } else {
        changes
    };
    ChatHead::update(conn, changes, "WHERE user_id = ?", args![user_id]).await?;
    Ok(())
}

/// Puts a chat into a folder, or takes it out. It loses its pin; in a folder it can not be archived. `by_owner` tells
/// whether the owner did it and so has seen the chat.
#[boxed]
pub async fn move_to_folder(db: &Db, id: &str, folder_id: Option<&str>, by_owner: bool) -> DbResult<()> {
    let now = db.now();
    let mut changes = Changes::new()
        .set("folder_id", folder_id)
        .set("updated_at", now)
        .set("pinned", false);
    if by_owner {
        changes = changes.set("last_read_at", now);
    }
    if folder_id.is_some() {
        changes = changes.set("archived", false);
    }
    ChatHead::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Sets the values of prompt variables.
#[boxed]
pub async fn set_variables(conn: impl Into<Conn<'_>>, id: &str, variables: &Value) -> DbResult<()> {
    ChatRow::update(
        conn,
        Changes::new().set("variables", variables),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(())
}

/// The list of steps that the assistant shows beside the chat.
#[boxed]
pub async fn tasks(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<Value>> {
    let stored: Option<Option<Value>> = sql("SELECT tasks FROM chat WHERE id = ?", args![id])
        .scalar(conn)
        .await?;
    Ok(match stored.flatten() {
        Some(Value::Array(tasks)) => tasks,
        _ => Vec::new(),
    })
}

/// Sets that list.
#[boxed]
pub async fn set_tasks(conn: impl Into<Conn<'_>>, id: &str, tasks: &Value) -> DbResult<()> {
    ChatRow::update(
        conn,
        Changes::new().set("tasks", tasks),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(())
}
