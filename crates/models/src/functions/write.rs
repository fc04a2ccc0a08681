//! Writing functions: the row and its versions in one transaction.

use oui_core::boxed;
use serde_json::{Map, Value};

use super::{FunctionRow, all, changed};
use crate::db::{Changes, Conn, Db, DbResult, Tx, sql};
use crate::models::Commit;
use crate::plugins::{FUNCTIONS, Stored};
use crate::{args, versions};

/// What a function is made of.
#[derive(Debug, Clone)]
pub struct FunctionData {
    /// Name shown.
    pub name: String,
    /// `pipe`, `filter`, `action` or `event`.
    pub kind: String,
    /// Python source.
    pub content: String,
    /// Description, manifest, ...
    pub meta: Value,
}

impl FunctionData {
    fn snapshot(&self) -> Value {
        FUNCTIONS.snapshot(&self.name, &self.content, &self.meta)
    }

    fn changes(&self, now: i64) -> Changes {
        Changes::new()
            .set("name", self.name.as_str())
            .set("type", self.kind.as_str())
            .set("content", self.content.as_str())
            .set("meta", self.meta.to_string())
            .set("updated_at", now)
    }
}

/// Inserts a function with its first version. It is not in use yet.
#[boxed]
pub async fn create(db: &Db, id: &str, data: &FunctionData, commit: Commit<'_>) -> DbResult<()> {
    let mut tx = db.begin().await?;
    insert(&mut tx, id, data, commit).await?;
    committed(db, tx).await
}

async fn committed(db: &Db, tx: Tx) -> DbResult<()> {
    tx.commit().await?;
    changed(db);
    Ok(())
}

async fn insert(tx: &mut Tx, id: &str, data: &FunctionData, commit: Commit<'_>) -> DbResult<()> {
    let version = FUNCTIONS.first(tx, id, &data.snapshot(), commit).await?;
    let now = tx.db().now();
    let row = FunctionRow {
        id: id.to_owned(),
        version_id: Some(version),
        user_id: Some(commit.user_id.to_owned()),
        name: Some(data.name.clone()),
        kind: Some(data.kind.clone()),
        content: Some(data.content.clone()),
        meta: Some(data.meta.to_string()),
        valves: None,
        is_active: Some(false),
        is_global: Some(false),
        updated_at: Some(now),
        created_at: Some(now),
    };
    row.insert(&mut *tx).await
}

async fn locked(tx: &mut Tx, id: &str) -> DbResult<Option<FunctionRow>> {
    FUNCTIONS.lock(tx, id).await?;
    FunctionRow::find(&mut *tx, "WHERE id = ?", args![id]).await
}

/// The columns to set for a change of `row`, and its new version, if it makes one.
async fn change(
    tx: &mut Tx,
    row: &FunctionRow,
    data: &FunctionData,
    version: Option<&str>,
    commit: Commit<'_>,
) -> DbResult<Changes> {
    let changes = data.changes(tx.db().now());
    let stored = Stored {
        id: &row.id,
        version_id: row.version_id.as_deref(),
        name: row.name.as_deref(),
        content: row.content.as_deref(),
        meta: row.meta.as_deref(),
    };
    let next = FUNCTIONS
        .next(tx, stored, &data.snapshot(), version, commit)
        .await?;
    Ok(match next {
        Some(version) => changes.set("version_id", version),
        None => changes,
    })
}

/// Changes a function. With `version` that one becomes the live version, otherwise a change of name, source or meta
/// makes one. `false` when the function is gone.
#[boxed]
pub async fn save(
    db: &Db,
    id: &str,
    data: &FunctionData,
    version: Option<&str>,
    commit: Commit<'_>,
) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let Some(row) = locked(&mut tx, id).await? else {
        return Ok(false);
    };
    let changes = change(&mut tx, &row, data, version, commit).await?;
    FunctionRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    committed(db, tx).await?;
    Ok(true)
}

/// A function of a whole set that replaces all there are.
pub struct Synced {
    /// Row id.
    pub id: String,
    /// What it is made of.
    pub data: FunctionData,
    /// Settings, as JSON text.
    pub valves: Option<String>,
    /// Whether it is in use.
    pub is_active: bool,
    /// Whether it applies to all models.
    pub is_global: bool,
    /// Seconds.
    pub created_at: i64,
}

/// Makes the functions be those of the set and no others.
#[boxed]
pub async fn sync(db: &Db, user_id: &str, set: &[Synced]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let commit = Commit {
        user_id,
        message: None,
    };
    let present = all(&mut tx).await?;
    for function in set {
        let changes = match locked(&mut tx, &function.id).await? {
            Some(row) => change(&mut tx, &row, &function.data, None, commit).await?,
            None => {
                insert(&mut tx, &function.id, &function.data, commit).await?;
                Changes::new().set("updated_at", db.now())
            }
        };
        let changes = changes
            .set("user_id", user_id)
            .set("valves", function.valves.clone())
            .set("is_active", function.is_active)
            .set("is_global", function.is_global)
            .set("created_at", function.created_at);
        FunctionRow::update(&mut tx, changes, "WHERE id = ?", args![function.id.as_str()]).await?;
    }
    for row in present
        .iter()
        .filter(|row| !set.iter().any(|function| function.id == row.id))
    {
        remove(&mut tx, &row.id).await?;
    }
    committed(db, tx).await
}

async fn remove(tx: &mut Tx, id: &str) -> DbResult<u64> {
    versions::FUNCTIONS.remove_all(tx, &[id.to_owned()]).await?;
    FunctionRow::delete(&mut *tx, "WHERE id = ?", args![id]).await
}

/// Deletes a function with its versions.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    remove(&mut tx, id).await?;
    committed(db, tx).await
}

/// A switch of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Whether it is in use.
    Active,
    /// Whether it applies to all models.
    Global,
}

/// Turns a switch over.
#[boxed]
pub async fn toggle(db: &Db, id: &str, switch: Switch) -> DbResult<()> {
    let column = match switch {
        Switch::Active => "is_active",
        Switch::Global => "is_global",
    };
    let text =
        format!("UPDATE function SET {column} = NOT COALESCE({column}, FALSE), updated_at = ? WHERE id = ?");
    sql(text, args![db.now(), id]).execute(db).await?;
    changed(db);
    Ok(())
}

/// Removes a version and lets its followers come from its parent. `false` when there is none.
#[boxed]
pub async fn remove_version(db: &Db, id: &str, version_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let removed = versions::FUNCTIONS.remove(&mut tx, id, version_id).await?;
    committed(db, tx).await?;
    Ok(removed)
}

/// Stored settings of a function, as JSON text.
#[boxed]
pub async fn valves(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    FUNCTIONS.valves(conn, id).await
}

/// Stores settings of a function, as JSON text.
#[boxed]
pub async fn set_valves(db: &Db, id: &str, valves: &str) -> DbResult<()> {
    FUNCTIONS.set_valves(db, id, valves).await?;
    changed(db);
    Ok(())
}

impl FunctionRow {
    /// The function with its source.
    pub fn to_full_json(&self) -> Map<String, Value> {
        let mut json = self.to_json();
        json.insert("content".into(), Value::from(self.content.clone()));
        json
    }
}
