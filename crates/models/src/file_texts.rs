//! Texts of files, in `data` and `hash` of table `file`: what the retrieval reads from a file's row and writes to it
//! while the file is made findable.

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult, Tx};
use crate::{args, table};

table! {
    /// A file with its text.
    pub struct FileText in "file" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Checksum of the text.
        pub hash: Option<String>,
        /// Name shown.
        pub filename: Option<String>,
        /// Where the original is stored.
        pub path: Option<String>,
        /// `{content, status, error, ...}`.
        pub data: Option<Value>,
        /// `{name, content_type, size, ...}`.
        pub meta: Option<Value>,
    }
}

impl FileText {
    /// The text, when it is known.
    pub fn content(&self) -> Option<&str> {
        self.data.as_ref()?.get("content")?.as_str()
    }

    /// Name shown, empty without one.
    pub fn name(&self) -> &str {
        self.filename.as_deref().unwrap_or_default()
    }
}

/// The file with this id.
#[boxed]
pub async fn get(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FileText>> {
    FileText::find(conn, "WHERE id = ?", args![id]).await
}

/// Files of a knowledge base, those put there first at the front.
#[boxed]
pub async fn of_knowledge(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<FileText>> {
    let condition =
        "WHERE id IN (SELECT file_id FROM knowledge_file WHERE knowledge_id = ?) ORDER BY created_at, id";
    FileText::list(conn, condition, args![id]).await
}

/// Ids of files that have a text, oldest first.
#[boxed]
pub async fn ids_with_text(db: &Db) -> DbResult<Vec<String>> {
    let content = match db.dialect() {
        crate::db::Dialect::Sqlite => "json_extract(data, '$.content')",
        crate::db::Dialect::Postgres => "(data ->> 'content')",
    };
    let text = format!(
        "SELECT id FROM file WHERE {content} IS NOT NULL AND {content} <> '' ORDER BY created_at, id"
    );
    let rows = crate::db::sql(text, args![]).all(db).await?;
    rows.iter().map(|row| row.at(0)).collect()
}

fn merged(old: Option<&Value>, new: Value) -> Value {
    let mut fields: Map<String, Value> = old.and_then(Value::as_object).cloned().unwrap_or_default();
    if let Value::Object(new) = new {
        fields.extend(new);
    }
    Value::Object(fields)
}

/// What is written to a file's row.
#[derive(Debug, Default)]
pub struct FileChange {
    /// Laid over `data`.
    pub data: Option<Value>,
    /// Laid over `meta`.
    pub meta: Option<Value>,
    /// Checksum; the inner absence takes it away.
    pub hash: Option<Option<String>>,
}

/// Changes a file's row. Whether there is one.
#[boxed]
pub async fn change(tx: &mut Tx, id: &str, change: FileChange) -> DbResult<bool> {
    let Some(file) = get(&mut *tx, id).await? else {
        return Ok(false);
    };
    let data = change.data.map(|new| merged(file.data.as_ref(), new));
    let meta = change.meta.map(|new| merged(file.meta.as_ref(), new));
    let now = tx.db().now();
    let mut changes = Changes::new()
        .set_some("data", data)
        .set_some("meta", meta)
        .set("updated_at", now);
    if let Some(hash) = change.hash {
        changes = changes.set("hash", hash);
    }
    FileText::update(tx, changes, "WHERE id = ?", args![id]).await?;
    Ok(true)
}

/// Notes that a file could not be made findable; without its checksum it can be uploaded again.
#[boxed]
pub async fn fail(db: &Db, id: &str, error: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let failed = FileChange {
        data: Some(json!({ "status": "failed", "error": error })),
        hash: Some(None),
        ..FileChange::default()
    };
    change(&mut tx, id, failed).await?;
    tx.commit().await
}

/// Removes a file's row and its links. What is stored of it elsewhere is the caller's business.
#[boxed]
pub async fn remove(tx: &mut Tx, id: &str) -> DbResult<bool> {
    for text in [
        "DELETE FROM knowledge_file WHERE file_id = ?",
        "DELETE FROM chat_file WHERE file_id = ?",
        "DELETE FROM channel_file WHERE file_id = ?",
    ] {
        crate::db::sql(text, args![id]).execute(&mut *tx).await?;
    }
    Ok(FileText::delete(tx, "WHERE id = ?", args![id]).await? > 0)
}
