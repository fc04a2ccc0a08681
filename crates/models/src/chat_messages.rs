//! Table `chat_message`: the messages of chats as rows, in step with the history in `chat.chat`.
//! Reads prefer the rows; chats from before the table have none and are read from the document.

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Conn, Db, DbResult};
use crate::history::{self, Object};
use crate::usage;
use crate::{args, table};

table! {
    /// One message.
    pub struct ChatMessageRow in "chat_message" {
        /// `{chat_id}-{message_id}`.
        pub id: String,
        /// Chat.
        pub chat_id: String,
        /// Author, or who asked for the reply.
        pub user_id: Option<String>,
        /// `user`, `assistant` or `system`.
        pub role: String,
        /// Message answered.
        pub parent_id: Option<String>,
        /// Text or list of parts.
        pub content: Option<Value>,
        /// Output items.
        pub output: Option<Value>,
        /// Model of a reply.
        pub model_id: Option<String>,
        /// Attachments.
        pub files: Option<Value>,
        /// Citations.
        pub sources: Option<Value>,
        /// Embedded pages.
        pub embeds: Option<Value>,
        /// Whether the reply is complete.
        pub done: Option<bool>,
        /// Status lines shown above the reply.
        pub status_history: Option<Value>,
        /// What went wrong.
        pub error: Option<Value>,
        /// Token counts.
        pub usage: Option<Value>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Summary of what stands before this message.
        pub context_summary: Option<String>,
        /// Marks.
        pub meta: Option<Value>,
    }
}

/// Row id of a message.
pub fn row_id(chat_id: &str, message_id: &str) -> String {
    format!("{chat_id}-{message_id}")
}

/// A field under either of its names; JSON null counts as absent.
fn field(message: &Value, names: [&str; 2]) -> Option<Value> {
    names
        .into_iter()
        .find_map(|name| message.get(name))
        .filter(|value| !value.is_null())
        .cloned()
}

fn text_field(message: &Value, names: [&str; 2]) -> Option<String> {
    field(message, names).and_then(|value| value.as_str().map(str::to_owned))
}

impl ChatMessageRow {
    /// The row of a message as the document holds it.
    pub fn from_message(chat_id: &str, message_id: &str, user_id: &str, message: &Value, now: i64) -> Self {
        Self {
            id: row_id(chat_id, message_id),
            chat_id: chat_id.to_owned(),
            user_id: Some(user_id.to_owned()),
            role: history::text(message, "role").unwrap_or("user").to_owned(),
            parent_id: text_field(message, ["parent_id", "parentId"]),
            content: field(message, ["content", "content"]),
            output: field(message, ["output", "output"]),
            model_id: text_field(message, ["model_id", "model"]),
            files: field(message, ["files", "files"]),
            sources: field(message, ["sources", "sources"]),
            embeds: field(message, ["embeds", "embeds"]),
            done: Some(message.get("done").and_then(Value::as_bool).unwrap_or(true)),
            status_history: field(message, ["status_history", "statusHistory"]),
            error: field(message, ["error", "error"]),
            usage: usage::of_message(message),
            created_at: Some(message.get("timestamp").and_then(as_seconds).unwrap_or(now)),
            updated_at: Some(now),
            context_summary: text_field(message, ["context_summary", "contextSummary"]),
            meta: field(message, ["meta", "meta"]),
        }
    }

    /// Id of the message inside its chat.
    pub fn message_id(&self) -> &str {
        self.id
            .strip_prefix(&self.chat_id)
            .and_then(|rest| rest.strip_prefix('-'))
            .unwrap_or(&self.id)
    }

    /// The message as the document holds it, without its children.
    pub fn to_message(&self) -> Object {
        let mut message = Map::new();
        message.insert("id".into(), json!(self.message_id()));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                message.insert(name.to_owned(), value);
            }
        };
        put("user_id", self.user_id.clone().map(Value::from));
        put("role", Some(Value::from(self.role.clone())));
        put("parentId", self.parent_id.clone().map(Value::from));
        put("content", self.content.clone());
        put("output", self.output.clone());
        put("model", self.model_id.clone().map(Value::from));
        put("files", self.files.clone());
        put("sources", self.sources.clone());
        put("embeds", self.embeds.clone());
        put("meta", self.meta.clone());
        put("done", self.done.map(Value::from));
        put("statusHistory", self.status_history.clone());
        put("error", self.error.clone());
        put("usage", self.usage.clone());
        put("contextSummary", self.context_summary.clone().map(Value::from));
        put("timestamp", self.created_at.map(Value::from));
        put(
            "info",
            self.usage
                .clone()
                .filter(|usage| !usage.is_null())
                .map(|usage| json!({ "usage": usage })),
        );
        message.entry("content").or_insert_with(|| json!(""));
        message
    }
}

/// Whole seconds of a stored time, which older clients wrote with a fraction.
fn as_seconds(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64))
        .filter(|seconds| *seconds != 0)
}

/// Writes the row of a message: all of it, since the document is the whole message. Call it in the
/// transaction that writes the document.
#[boxed]
pub async fn upsert(
    conn: impl Into<Conn<'_>>,
    chat_id: &str,
    message_id: &str,
    user_id: &str,
    message: &Value,
    now: i64,
) -> DbResult<()> {
    let row = ChatMessageRow::from_message(chat_id, message_id, user_id, message, now);
    let updated: Vec<String> = ChatMessageRow::NAMES
        .iter()
        .filter(|name| !matches!(**name, "id" | "chat_id" | "user_id" | "created_at" | "usage"))
        .map(|name| format!("\"{name}\" = excluded.\"{name}\""))
        .collect();
    // A message without usage keeps what an earlier round stored.
    let clause = format!(
        "ON CONFLICT (id) DO UPDATE SET {}, usage = COALESCE(excluded.usage, chat_message.usage)",
        updated.join(", ")
    );
    row.insert_or(conn, &clause).await?;
    Ok(())
}

/// Writes the rows of messages that have none yet.
#[boxed]
pub async fn backfill(db: &Db, chat_id: &str, owner: &str, messages: &Object) -> DbResult<()> {
    let now = db.now();
    let mut tx = db.begin().await?;
    for (id, message) in messages
        .iter()
        .filter(|(_, message)| history::text(message, "role").is_some())
    {
        let user_id = history::text(message, "user_id").unwrap_or(owner);
        ChatMessageRow::from_message(chat_id, id, user_id, message, now)
            .insert_or(&mut tx, "ON CONFLICT (id) DO NOTHING")
            .await?;
    }
    tx.commit().await
}

/// The messages of a chat by id with their children, from the rows; `None` when there are no rows.
#[boxed]
pub async fn map(conn: impl Into<Conn<'_>>, chat_id: &str) -> DbResult<Option<Object>> {
    let rows =
        ChatMessageRow::list(conn, "WHERE chat_id = ? ORDER BY created_at, id", args![chat_id]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut messages = Object::new();
    for row in &rows {
        let mut message = row.to_message();
        message.insert("childrenIds".into(), json!([]));
        messages.insert(row.message_id().to_owned(), Value::Object(message));
    }
    history::rebuild_children(&mut messages);
    Ok(Some(messages))
}

/// The messages as [`map`] would read them from their rows, made from the document that stands beside the rows.
/// `None` when there is not a row for every message: then only the database knows. Costs one look at an index instead
/// of reading every message a second time.
#[boxed]
pub async fn map_from_document(
    conn: impl Into<Conn<'_>>,
    chat_id: &str,
    document: &Object,
) -> DbResult<Option<Object>> {
    let stored = document
        .get("history")
        .and_then(|history| history.get("messages"))
        .and_then(Value::as_object);
    let Some(stored) = stored.filter(|stored| !stored.is_empty()) else {
        return Ok(None);
    };
    let rows = ChatMessageRow::count(conn, "WHERE chat_id = ?", args![chat_id]).await?;
    let has_role = |message: &Value| history::text(message, "role").is_some();
    if usize::try_from(rows).ok() != Some(stored.len()) || !stored.values().all(has_role) {
        return Ok(None);
    }
    let shaped = stored.iter().map(|(id, message)| {
        let row = ChatMessageRow::from_message(chat_id, id, "", message, 0);
        (id.clone(), Value::Object(row.to_message()))
    });
    Ok(Some(shaped.collect()))
}

/// Deletes the rows of messages.
#[boxed]
pub async fn delete(tx: &mut crate::Tx, chat_id: &str, message_ids: &[String]) -> DbResult<()> {
    for id in message_ids {
        ChatMessageRow::delete(&mut *tx, "WHERE id = ?", args![row_id(chat_id, id)]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let message = json!({
            "id": "m", "role": "assistant", "parentId": "p", "content": "hi", "model": "gpt", "done": false,
            "timestamp": 1_700_000_000, "statusHistory": [{"done": true}], "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        });
        let row = ChatMessageRow::from_message("c", "m", "u", &message, 5);
        assert_eq!(
            (row.id.as_str(), row.message_id(), row.updated_at),
            ("c-m", "m", Some(5))
        );
        let back = row.to_message();
        for name in [
            "id",
            "role",
            "parentId",
            "content",
            "model",
            "done",
            "timestamp",
            "statusHistory",
        ] {
            assert_eq!(back[name], message[name], "{name}");
        }
        assert_eq!(back["usage"]["total_tokens"], 3);
        assert_eq!(back["info"]["usage"], back["usage"]);
    }

    #[tokio::test]
    async fn the_document_tells_the_same_as_the_rows() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let chat = crate::testing::chat(&db, &ada, "first", "?").await;
            let reply = json!({"role": "assistant", "parentId": "q", "content": "yes", "usage": {"prompt_tokens": 1}});
            let reply = reply.as_object().cloned().unwrap();
            crate::chat_edits::upsert_message(&db, &chat.id, "r", reply, false)
                .await
                .unwrap();
            let document = crate::chats::by_id(&db, &chat.id)
                .await
                .unwrap()
                .unwrap()
                .document();
            let plain = |messages: Object| {
                let mut messages = messages;
                for message in messages.values_mut().filter_map(Value::as_object_mut) {
                    for name in ["user_id", "childrenIds", "timestamp"] {
                        message.remove(name);
                    }
                }
                Value::Object(messages)
            };
            let rows = map(&db, &chat.id).await.unwrap().unwrap();
            let told = map_from_document(&db, &chat.id, &document)
                .await
                .unwrap()
                .unwrap();
            assert!(told.contains_key("r"));
            assert_eq!(plain(told), plain(rows));
            // A row that is missing is for the database to find.
            sql(
                "DELETE FROM chat_message WHERE id = ?",
                args![row_id(&chat.id, "r")],
            )
            .execute(&db)
            .await
            .unwrap();
            assert_eq!(map_from_document(&db, &chat.id, &document).await.unwrap(), None);
        }
    }
}
