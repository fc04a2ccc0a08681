//! Table `tool`: workspace tools, which are Python source with its specs. Running them is the plugin host's
//! business.

mod write;

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Conn, Db, DbResult, sql};
use crate::grants::{self, GrantRow};
use crate::{args, shared, shared_row, table, versions};

pub use write::{ToolData, create, save, set_valves, valves};

/// `resource_type` of tools in the grants.
pub const KIND: &str = "tool";

table! {
    /// One tool.
    pub struct ToolRow in "tool" {
        /// Row id, an identifier.
        pub id: String,
        /// The live version.
        pub version_id: Option<String>,
        /// Owner; missing on some old rows.
        pub user_id: Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// Python source.
        pub content: Option<String>,
        /// JSON text: list of function specs.
        pub specs: Option<String>,
        /// JSON text: description, manifest, ...
        pub meta: Option<String>,
        /// Seconds.
        pub updated_at: i64,
        /// Seconds.
        pub created_at: i64,
    }
}

table! {
    /// One tool as lists need it, without its source.
    pub struct ToolItem in "tool" {
        /// Row id, an identifier.
        pub id: String,
        /// The live version.
        pub version_id: Option<String>,
        /// Owner; missing on some old rows.
        pub user_id: Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// JSON text: list of function specs.
        pub specs: Option<String>,
        /// JSON text: description, manifest, ...
        pub meta: Option<String>,
        /// Seconds.
        pub updated_at: i64,
        /// Seconds.
        pub created_at: i64,
    }
}

shared_row!(ToolRow, KIND);
shared_row!(ToolItem, KIND);

/// Reads a JSON text column; what is no object counts as empty.
pub(crate) fn json_object(text: Option<&str>) -> Map<String, Value> {
    match text.and_then(|text| serde_json::from_str(text).ok()) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// `meta` of a tool as the wire shows it: the declared fields first.
fn meta(text: Option<&str>) -> Value {
    let mut stored = json_object(text);
    let mut meta = Map::new();
    for (name, default) in [
        ("i18n", Value::Null),
        ("description", Value::Null),
        ("manifest", json!({})),
        ("has_user_valves", json!(false)),
    ] {
        meta.insert(name.to_owned(), stored.shift_remove(name).unwrap_or(default));
    }
    meta.extend(stored);
    Value::Object(meta)
}

fn specs(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str::<Value>(text).ok())
        .filter(Value::is_array)
        .unwrap_or_else(|| json!([]))
}

impl ToolRow {
    /// The tool as exports and detail routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Value {
        json!({
            "version_id": self.version_id,
            "id": self.id,
            "user_id": self.user_id,
            "name": self.name,
            "content": self.content,
            "specs": specs(self.specs.as_deref()),
            "meta": meta(self.meta.as_deref()),
            "access_grants": shared::grants_json(grants),
            "updated_at": self.updated_at,
            "created_at": self.created_at,
        })
    }
}

impl ToolItem {
    /// The tool as lists send it. Specs and the (unread) source stand at the end: lists let them through.
    pub fn to_json(&self, grants: &[GrantRow], user: Value) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("version_id", json!(self.version_id)),
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("name", json!(self.name)),
            ("meta", meta(self.meta.as_deref())),
            ("access_grants", shared::grants_json(grants)),
            ("updated_at", json!(self.updated_at)),
            ("created_at", json!(self.created_at)),
            ("user", user),
            ("content", Value::Null),
            ("specs", specs(self.specs.as_deref())),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }

    /// Whether users can set values of their own.
    pub fn has_user_valves(&self) -> bool {
        json_object(self.meta.as_deref())
            .get("has_user_valves")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }
}

/// Deletes a tool with its grants and versions.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    versions::TOOLS.remove_all(&mut tx, &[id.to_owned()]).await?;
    grants::remove(&mut tx, KIND, id).await?;
    ToolRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Removes a version and lets its followers come from its parent. `false` when there is none.
#[boxed]
pub async fn remove_version(db: &Db, id: &str, version_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let removed = versions::TOOLS.remove(&mut tx, id, version_id).await?;
    tx.commit().await?;
    Ok(removed)
}

/// Whether a user has a session at a provider of tools.
#[boxed]
pub async fn has_session(conn: impl Into<Conn<'_>>, user_id: &str, provider: &str) -> DbResult<bool> {
    let text = "SELECT 1 FROM oauth_session WHERE user_id = ? AND provider = ? LIMIT 1";
    Ok(sql(text, args![user_id, provider]).first(conn).await?.is_some())
}
