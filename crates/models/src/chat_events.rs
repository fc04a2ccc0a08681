//! What events about a message leave behind in it: status lines, more text, files, embedded pages, citations.

use oui_core::boxed;
use serde_json::{Value, json};

use crate::chat_edits::{self, Edit};
use crate::db::{Db, DbResult};
use crate::history::{self, Object};

/// Stores what an event of this kind says about a message. Kinds that leave nothing behind are no error. Answers
/// whether something was stored.
#[boxed]
pub async fn store(db: &Db, chat_id: &str, message_id: &str, kind: &str, data: &Value) -> DbResult<bool> {
    if !matches!(
        kind,
        "status" | "message" | "replace" | "embeds" | "files" | "source" | "citation"
    ) {
        return Ok(false);
    }
    let Some(mut edit) = chat_edits::edit(db, chat_id).await? else {
        return Ok(false);
    };
    let Some((fields, touch)) = change(&edit, message_id, kind, data) else {
        return Ok(false);
    };
    history::repair(&mut edit.document);
    edit.upsert(message_id, fields);
    edit.save(touch).await?;
    Ok(true)
}

/// The fields that change and whether the chat moves to the top of the lists.
fn change(edit: &Edit, message_id: &str, kind: &str, data: &Value) -> Option<(Object, bool)> {
    let message = edit.message(message_id);
    let (field, value, touch) = match kind {
        "status" => (
            "statusHistory",
            joined(list(message?, "statusHistory"), vec![data.clone()]),
            false,
        ),
        "message" => {
            let before = history::text(message?, "content").unwrap_or_default();
            let more = history::text(data, "content").unwrap_or_default();
            ("content", Value::from(format!("{before}{more}")), true)
        }
        "replace" => (
            "content",
            data.get("content").cloned().unwrap_or_else(|| json!("")),
            true,
        ),
        "embeds" if data.get("replace").and_then(Value::as_bool) == Some(true) => {
            ("embeds", Value::Array(list(data, "embeds")), false)
        }
        "embeds" | "files" => {
            let stored = message.map(|message| list(message, kind)).unwrap_or_default();
            (kind, joined(list(data, kind), stored), false)
        }
        // Code runs come as sources too and are shown, not kept.
        _ if data.get("type").is_some_and(|kind| !kind.is_null()) => return None,
        _ => {
            let stored = message
                .map(|message| list(message, "sources"))
                .unwrap_or_default();
            ("sources", joined(stored, vec![data.clone()]), false)
        }
    };
    Some((Object::from_iter([(field.to_owned(), value)]), touch))
}

fn list(from: &Value, field: &str) -> Vec<Value> {
    from.get(field)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn joined(mut first: Vec<Value>, second: Vec<Value>) -> Value {
    first.extend(second);
    Value::Array(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_leave_their_traces() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let chat = crate::testing::chat(&db, &ada, "t", "Hello").await;
            let note = async |kind: &str, data: Value| store(&db, &chat.id, "q", kind, &data).await.unwrap();
            assert!(note("message", json!({"content": " there"})).await);
            assert!(note("status", json!({"description": "busy"})).await);
            assert!(note("files", json!({"files": [{"id": "f"}]})).await);
            assert!(note("files", json!({"files": [{"id": "g"}]})).await);
            assert!(note("source", json!({"source": {"name": "s"}})).await);
            assert!(!note("source", json!({"type": "code_execution"})).await);
            assert!(!note("notification", json!({})).await);
            let row = crate::chats::by_id(&*db, &chat.id).await.unwrap().unwrap();
            let message = &row.document()["history"]["messages"]["q"];
            assert_eq!(message["content"], "Hello there");
            assert_eq!(message["statusHistory"], json!([{"description": "busy"}]));
            assert_eq!(message["files"], json!([{"id": "g"}, {"id": "f"}]));
            assert_eq!(message["sources"].as_array().map(Vec::len), Some(1));
        }
    }
}
