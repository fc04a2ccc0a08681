//! Table `function`: pipes, filters and actions, which are Python source. Running them is the plugin host's
//! business.

mod write;

use std::sync::Arc;

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Conn, Db, DbResult, sql};
use crate::tools::json_object;
use crate::{args, table};

pub use write::{
    FunctionData, Switch, Synced, create, delete, remove_version, save, set_valves, sync, toggle, valves,
};

table! {
    /// One function.
    pub struct FunctionRow in "function" {
        /// Row id, an identifier.
        pub id: String,
        /// The live version.
        pub version_id: Option<String>,
        /// Owner; missing on some old rows.
        pub user_id: Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// `pipe`, `filter`, `action` or `event`.
        pub kind as "type": Option<String>,
        /// Python source.
        pub content: Option<String>,
        /// JSON text: description, manifest, ...
        pub meta: Option<String>,
        /// JSON text: settings of the administrator.
        pub valves: Option<String>,
        /// Whether it is in use.
        pub is_active: Option<bool>,
        /// Whether it applies to all models.
        pub is_global: Option<bool>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Seconds.
        pub created_at: Option<i64>,
    }
}

impl FunctionRow {
    fn meta(&self) -> Value {
        let mut stored = json_object(self.meta.as_deref());
        let mut meta = Map::new();
        meta.insert(
            "description".into(),
            stored.shift_remove("description").unwrap_or_default(),
        );
        meta.insert(
            "manifest".into(),
            stored.shift_remove("manifest").unwrap_or_else(|| json!({})),
        );
        meta.extend(stored);
        Value::Object(meta)
    }

    /// A text of its manifest, which is what its source begins with.
    pub fn manifest_text(&self, name: &str) -> Option<String> {
        let meta = self.meta();
        let text = meta.get("manifest")?.get(name)?.as_str()?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// Its description.
    pub fn description(&self) -> Value {
        self.meta()["description"].take()
    }

    /// The function as lists send it, without its source.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("version_id", json!(self.version_id)),
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("type", json!(self.kind)),
            ("name", json!(self.name)),
            ("meta", self.meta()),
            ("is_active", json!(self.is_active.unwrap_or(false))),
            ("is_global", json!(self.is_global.unwrap_or(false))),
            ("updated_at", json!(self.updated_at)),
            ("created_at", json!(self.created_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// All functions, in the order of the table.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<FunctionRow>> {
    FunctionRow::list(conn, "", args![]).await
}

/// All functions, last changed first.
#[boxed]
pub async fn newest(conn: impl Into<Conn<'_>>) -> DbResult<Vec<FunctionRow>> {
    FunctionRow::list(conn, "ORDER BY updated_at DESC", args![]).await
}

/// Functions of a kind that are in use, in the order in which they were made: PostgreSQL would move one that was changed.
/// Every run asks for them, so they are cached.
#[boxed]
pub async fn active(db: &Db, kind: &str) -> DbResult<Vec<FunctionRow>> {
    let load = async {
        let rows = FunctionRow::list(db, "WHERE is_active = ? ORDER BY created_at, id", args![true]).await?;
        Ok(Some(Arc::new(rows)))
    };
    let rows = db
        .caches()
        .functions
        .get_or_load(&(), load)
        .await?
        .unwrap_or_default();
    Ok(rows
        .iter()
        .filter(|row| row.kind.as_deref() == Some(kind))
        .cloned()
        .collect())
}

/// Called after every change of a function is committed.
fn changed(db: &Db) {
    db.caches().functions.clear();
}

/// Takes a function out of use.
#[boxed]
pub async fn switch_off(db: &Db, id: &str) -> DbResult<()> {
    let text = "UPDATE function SET is_active = ?, updated_at = ? WHERE id = ?";
    sql(text, args![false, db.now(), id]).execute(db).await?;
    changed(db);
    Ok(())
}

/// The function with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FunctionRow>> {
    FunctionRow::find(conn, "WHERE id = ?", args![id]).await
}
