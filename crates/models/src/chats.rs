//! Table `chat`: rows and look-ups of single chats. Lists are in [`chat_lists`](crate::chat_lists), changes
//! of the conversation in [`chat_edits`](crate::chat_edits), the shape of the stored history in
//! [`history`](crate::history).

use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult, sql};
use crate::{args, table};

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

/// Title of a chat that has none yet.
pub const NEW_CHAT: &str = "New Chat";

impl ChatRow {
    /// The document as an object.
    pub fn document(&self) -> Map<String, Value> {
        self.chat.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// `meta` as an object.
    pub fn meta_object(&self) -> Map<String, Value> {
        self.meta.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Whether it belongs to a sub-agent, note or timer and is hidden from lists.
    pub fn is_internal(&self) -> bool {
        self.meta.as_ref().and_then(|meta| meta.get("internal")).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether the row belongs to the user.
    pub fn is_owned_by(&self, user_id: &str) -> bool {
        self.user_id.as_deref() == Some(user_id)
    }

    /// The chat as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "user_id": self.user_id,
            "title": self.title,
            "chat": self.chat.clone().unwrap_or_else(|| json!({})),
            "updated_at": self.updated_at,
            "created_at": self.created_at,
            "share_id": self.share_id,
            "archived": self.archived.unwrap_or(false),
            "pinned": self.pinned.unwrap_or(false),
            "meta": self.meta.clone().filter(|meta| !meta.is_null()).unwrap_or_else(|| json!({})),
            "variables": self.variables.clone().filter(Value::is_object).unwrap_or_else(|| json!({})),
            "folder_id": self.folder_id,
            "timer_at": self.timer_at,
            "tasks": self.tasks.clone().filter(|tasks| !tasks.is_null()),
            "summary": self.summary,
            "current_message_id": self.current_message_id,
            "last_read_at": self.last_read_at,
        })
    }
}

/// The chat with this id.
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<ChatRow>> {
    ChatRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The chat with this id if it belongs to the user.
pub async fn owned(conn: impl Into<Conn<'_>>, id: &str, user_id: &str) -> DbResult<Option<ChatRow>> {
    ChatRow::find(conn, "WHERE id = ? AND user_id = ?", args![id, user_id]).await
}

/// Owner of a chat, without reading its document.
pub async fn owner(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    sql("SELECT user_id FROM chat WHERE id = ?", args![id]).scalar(conn).await
}

/// Title of a chat, without reading its document.
pub async fn title(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    Ok(sql("SELECT title FROM chat WHERE id = ?", args![id]).scalar::<Option<String>>(conn).await?.flatten())
}

/// Folder of a chat, without reading its document.
pub async fn folder_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    Ok(sql("SELECT folder_id FROM chat WHERE id = ?", args![id]).scalar::<Option<String>>(conn).await?.flatten())
}

/// Marks a chat of the user as read now. Answers the time and whether it was unread before.
pub async fn mark_read(db: &Db, id: &str, user_id: &str) -> DbResult<Option<(i64, bool)>> {
    let text = "SELECT updated_at, last_read_at FROM chat WHERE id = ? AND user_id = ?";
    let Some(row) = sql(text, args![id, user_id]).first(db).await? else { return Ok(None) };
    let (updated, read): (Option<i64>, Option<i64>) = (row.at(0)?, row.at(1)?);
    let now = db.now();
    ChatRow::update(db, Changes::new().set("last_read_at", now), "WHERE id = ?", args![id]).await?;
    Ok(Some((now, read.is_none_or(|read| updated.unwrap_or(0) > read))))
}

/// Sets the values of prompt variables.
pub async fn set_variables(conn: impl Into<Conn<'_>>, id: &str, variables: &Value) -> DbResult<()> {
    ChatRow::update(conn, Changes::new().set("variables", variables), "WHERE id = ?", args![id]).await?;
    Ok(())
}
