//! Table `memory`: what a user lets models remember of them. Finding memories by meaning is the retrieval's
//! business.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Value, json};

use crate::db::{Changes, Conn, Db, DbResult, Tx};
use crate::{args, table};

table! {
    /// One memory.
    pub struct MemoryRow in "memory" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// `user` or `context`.
        pub kind as "type": String,
        /// Place in the tree of topics.
        pub path: Option<String>,
        /// The text.
        pub content: Option<String>,
        /// Free object.
        pub meta: Option<Value>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Seconds.
        pub created_at: Option<i64>,
    }
}

impl MemoryRow {
    /// The memory as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "user_id": self.user_id, "type": self.kind, "path": self.path, "content": self.content,
            "meta": self.meta, "updated_at": self.updated_at, "created_at": self.created_at,
        })
    }
}

/// Memories of a user.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<MemoryRow>> {
    MemoryRow::list(conn, "WHERE user_id = ?", args![user_id]).await
}

/// Every user's memories, users together.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<MemoryRow>> {
    MemoryRow::list(conn, "ORDER BY user_id", args![]).await
}

/// A memory of a user.
#[boxed]
pub async fn get(conn: impl Into<Conn<'_>>, user_id: &str, id: &str) -> DbResult<Option<MemoryRow>> {
    MemoryRow::find(conn, "WHERE id = ? AND user_id = ?", args![id, user_id]).await
}

/// The kind that counts: everything but `user` is `context`.
pub fn kind(kind: Option<&str>) -> &'static str {
    if kind == Some("user") { "user" } else { "context" }
}

/// One change of a user's memories.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// A new memory, unless there is the same one.
    Add {
        /// The text.
        content: String,
        /// `user` or `context`.
        kind: &'static str,
        /// Place in the tree of topics.
        path: Option<String>,
    },
    /// Another text; `path` is set as given.
    Replace {
        /// Which memory.
        id: String,
        /// The text.
        content: String,
        /// Kept when absent.
        kind: Option<&'static str>,
        /// Place in the tree of topics.
        path: Option<String>,
    },
    /// Another place.
    Move {
        /// Which memory.
        id: String,
        /// Place in the tree of topics.
        path: Option<String>,
    },
    /// Forgets.
    Remove {
        /// Which memory.
        id: String,
    },
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A new memory.
    Created(MemoryRow),
    /// There was the same one.
    Skipped(MemoryRow),
    /// A changed memory, with the name of the change.
    Updated(&'static str, MemoryRow),
    /// The id of a memory that is gone.
    Deleted(String),
}

/// Adds a memory.
#[boxed]
pub async fn insert(
    db: &Db,
    user_id: &str,
    content: &str,
    kind: &str,
    path: Option<&str>,
    meta: Value,
) -> DbResult<MemoryRow> {
    let row = new_row(db.now(), user_id, content, kind, path, meta);
    row.insert(db).await?;
    Ok(row)
}

fn new_row(now: i64, user_id: &str, content: &str, kind: &str, path: Option<&str>, meta: Value) -> MemoryRow {
    MemoryRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        kind: kind.to_owned(),
        path: path.map(str::to_owned),
        content: Some(content.to_owned()),
        meta: Some(meta),
        updated_at: Some(now),
        created_at: Some(now),
    }
}

/// What is changed of a memory; `meta` is merged field by field.
#[derive(Debug, Clone, Default)]
pub struct Edit<'a> {
    /// The text.
    pub content: Option<&'a str>,
    /// `user` or `context`.
    pub kind: Option<&'a str>,
    /// Place in the tree of topics; the inner absence takes it away.
    pub path: Option<Option<&'a str>>,
    /// Fields to lay over the row's.
    pub meta: Value,
}

/// Changes a memory of a user. `None` when there is no such memory.
#[boxed]
pub async fn update(tx: &mut Tx, user_id: &str, id: &str, edit: Edit<'_>) -> DbResult<Option<MemoryRow>> {
    let Some(mut row) = get(&mut *tx, user_id, id).await? else {
        return Ok(None);
    };
    let mut meta = row
        .meta
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if let Value::Object(more) = edit.meta {
        meta.extend(more);
    }
    row.meta = Some(Value::Object(meta));
    if let Some(content) = edit.content {
        row.content = Some(content.to_owned());
    }
    if let Some(kind) = edit.kind {
        row.kind = kind.to_owned();
    }
    if let Some(path) = edit.path {
        row.path = path.map(str::to_owned);
    }
    row.updated_at = Some(tx.db().now());
    let changes = Changes::new()
        .set("content", row.content.clone())
        .set("type", row.kind.clone())
        .set("path", row.path.clone())
        .set("meta", row.meta.clone())
        .set("updated_at", row.updated_at);
    MemoryRow::update(tx, changes, "WHERE id = ?", args![id]).await?;
    Ok(Some(row))
}

/// Runs operations on a user's memories, all or none. `Err` in the answer names the memory that is not there.
#[boxed]
pub async fn apply(
    db: &Db,
    user_id: &str,
    operations: &[Operation],
    meta: &Value,
) -> DbResult<Result<Vec<Outcome>, String>> {
    let mut tx = db.begin().await?;
    let mut outcomes = Vec::new();
    for operation in operations {
        let outcome = match operation {
            Operation::Add { content, kind, path } => {
                let same = of_user(&mut tx, user_id).await?.into_iter().find(|row| {
                    row.content.as_deref() == Some(content.as_str()) && row.kind == *kind && row.path == *path
                });
                match same {
                    Some(row) => Outcome::Skipped(row),
                    None => {
                        let row = new_row(db.now(), user_id, content, kind, path.as_deref(), meta.clone());
                        row.insert(&mut tx).await?;
                        Outcome::Created(row)
                    }
                }
            }
            Operation::Replace {
                id,
                content,
                kind,
                path,
            } => {
                let edit = Edit {
                    content: Some(content),
                    kind: *kind,
                    path: Some(path.as_deref()),
                    meta: meta.clone(),
                };
                match update(&mut tx, user_id, id, edit).await? {
                    Some(row) => Outcome::Updated("replace", row),
                    None => return Ok(Err(id.clone())),
                }
            }
            Operation::Move { id, path } => {
                let edit = Edit {
                    path: Some(path.as_deref()),
                    meta: meta.clone(),
                    ..Edit::default()
                };
                match update(&mut tx, user_id, id, edit).await? {
                    Some(row) => Outcome::Updated("move", row),
                    None => return Ok(Err(id.clone())),
                }
            }
            Operation::Remove { id } => {
                if remove(&mut tx, user_id, id).await? {
                    Outcome::Deleted(id.clone())
                } else {
                    return Ok(Err(id.clone()));
                }
            }
        };
        outcomes.push(outcome);
    }
    tx.commit().await?;
    Ok(Ok(outcomes))
}

/// Removes a memory of a user; whether there was one.
#[boxed]
pub async fn remove(conn: impl Into<Conn<'_>>, user_id: &str, id: &str) -> DbResult<bool> {
    Ok(MemoryRow::delete(conn, "WHERE id = ? AND user_id = ?", args![id, user_id]).await? > 0)
}

/// Removes all memories of a user.
#[boxed]
pub async fn remove_all(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<u64> {
    MemoryRow::delete(conn, "WHERE user_id = ?", args![user_id]).await
}
