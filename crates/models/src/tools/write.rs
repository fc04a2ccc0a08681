//! Writing tools: the row, its versions and its grants in one transaction.

use oui_core::boxed;
use serde_json::Value;

use super::{KIND, ToolRow};
use crate::args;
use crate::db::{Changes, Conn, Db, DbResult, Tx};
use crate::grants::{self, Grant};
use crate::models::Commit;
use crate::plugins::{Stored, TOOLS};

/// What a tool is made of.
#[derive(Debug, Clone)]
pub struct ToolData {
    /// Name shown.
    pub name: String,
    /// Python source.
    pub content: String,
    /// Description, manifest, ...
    pub meta: Value,
    /// What models are told of its methods.
    pub specs: Value,
}

impl ToolData {
    fn snapshot(&self) -> Value {
        TOOLS.snapshot(&self.name, &self.content, &self.meta)
    }

    fn changes(&self, now: i64) -> Changes {
        Changes::new()
            .set("name", self.name.as_str())
            .set("content", self.content.as_str())
            .set("meta", self.meta.to_string())
            .set("specs", self.specs.to_string())
            .set("updated_at", now)
    }
}

/// Inserts a tool with its grants and first version.
#[boxed]
pub async fn create(
    db: &Db,
    id: &str,
    data: &ToolData,
    grants: &[Grant],
    commit: Commit<'_>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let version = TOOLS.first(&mut tx, id, &data.snapshot(), commit).await?;
    let now = db.now();
    let row = ToolRow {
        id: id.to_owned(),
        version_id: Some(version),
        user_id: Some(commit.user_id.to_owned()),
        name: Some(data.name.clone()),
        content: Some(data.content.clone()),
        specs: Some(data.specs.to_string()),
        meta: Some(data.meta.to_string()),
        updated_at: now,
        created_at: now,
    };
    row.insert(&mut tx).await?;
    grants::replace(&mut tx, KIND, id, grants).await?;
    tx.commit().await
}

/// The row, taken so that no other change comes between reading and writing it.
async fn locked(tx: &mut Tx, id: &str) -> DbResult<Option<ToolRow>> {
    TOOLS.lock(tx, id).await?;
    ToolRow::find(&mut *tx, "WHERE id = ?", args![id]).await
}

/// Changes a tool. With `version` that one becomes the live version, otherwise a change of name, source or meta
/// makes one. `false` when the tool is gone.
#[boxed]
pub async fn save(
    db: &Db,
    id: &str,
    data: &ToolData,
    version: Option<&str>,
    commit: Commit<'_>,
) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let Some(row) = locked(&mut tx, id).await? else {
        return Ok(false);
    };
    let mut changes = data.changes(db.now());
    let stored = Stored {
        id,
        version_id: row.version_id.as_deref(),
        name: row.name.as_deref(),
        content: row.content.as_deref(),
        meta: row.meta.as_deref(),
    };
    if let Some(version) = TOOLS
        .next(&mut tx, stored, &data.snapshot(), version, commit)
        .await?
    {
        changes = changes.set("version_id", version);
    }
    ToolRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Stored settings of a tool, as JSON text.
#[boxed]
pub async fn valves(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    TOOLS.valves(conn, id).await
}

/// Stores settings of a tool, as JSON text.
#[boxed]
pub async fn set_valves(db: &Db, id: &str, valves: &str) -> DbResult<()> {
    TOOLS.set_valves(db, id, valves).await
}
