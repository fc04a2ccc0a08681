//! Tables `model_history`, `prompt_history`, `tool_history`, `function_history` and `skill_history`: snapshots of
//! a resource, each pointing at the one it came from. They have the same columns but for the name of the
//! resource's id, so one set of statements serves all. What a snapshot holds is the resource's business.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::args;
use crate::db::{Arg, Conn, DbResult, Row, placeholders, sql};
use crate::users::present;

/// One of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    /// Name of the table.
    table: &'static str,
    /// Name of the column with the resource's id.
    column: &'static str,
}

/// Versions of workspace models.
pub const MODELS: Versions = Versions {
    table: "model_history",
    column: "model_id",
};
/// Versions of prompts.
pub const PROMPTS: Versions = Versions {
    table: "prompt_history",
    column: "prompt_id",
};
/// Versions of tools.
pub const TOOLS: Versions = Versions {
    table: "tool_history",
    column: "tool_id",
};
/// Versions of functions.
pub const FUNCTIONS: Versions = Versions {
    table: "function_history",
    column: "function_id",
};
/// Versions of skills.
pub const SKILLS: Versions = Versions {
    table: "skill_history",
    column: "skill_id",
};

/// Who wrote a version.
#[derive(Debug, Clone)]
pub struct Author {
    /// Account id.
    pub id: String,
    /// Name shown.
    pub name: String,
    /// Role.
    pub role: String,
    /// Address.
    pub email: String,
}

/// One version.
#[derive(Debug, Clone)]
pub struct Version {
    /// Row id.
    pub id: String,
    /// The resource.
    pub resource_id: String,
    /// Version that it came from.
    pub parent_id: Option<String>,
    /// What the resource was.
    pub snapshot: Value,
    /// Who wrote it.
    pub user_id: String,
    /// Why.
    pub commit_message: Option<String>,
    /// Seconds.
    pub created_at: i64,
    /// The account of `user_id`, when it still exists.
    pub author: Option<Author>,
    column: &'static str,
}

impl Version {
    /// `{id, <resource>_id, parent_id, user_id, commit_message, created_at}`, to which callers add what their
    /// route shows of snapshot and author.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("id".into(), json!(self.id));
        object.insert(self.column.into(), json!(self.resource_id));
        object.insert("parent_id".into(), json!(self.parent_id));
        object.insert("user_id".into(), json!(self.user_id));
        object.insert("commit_message".into(), json!(self.commit_message));
        object.insert("created_at".into(), json!(self.created_at));
        object
    }

    /// The author as `{name}`, or null.
    pub fn author_name(&self) -> Value {
        self.author
            .as_ref()
            .map_or(Value::Null, |author| json!({ "name": author.name }))
    }

    /// The author as `{id, name, role, email}`, or null.
    pub fn author_json(&self) -> Value {
        self.author.as_ref().map_or(Value::Null, |author| {
            json!({ "id": author.id, "name": author.name, "role": author.role, "email": author.email })
        })
    }
}

impl Versions {
    fn select(self, rest: &str) -> String {
        format!(
            "SELECT h.id, h.{}, h.parent_id, h.snapshot, h.user_id, h.commit_message, h.created_at, \
             u.id, u.name, u.role, u.email FROM {} h LEFT JOIN \"user\" u ON u.id = h.user_id {rest}",
            self.column, self.table
        )
    }

    fn read(self, row: &Row) -> DbResult<Version> {
        let author: Option<String> = row.at(7)?;
        let author = match author {
            Some(id) => Some(Author {
                id,
                name: row.at(8)?,
                role: row.at(9)?,
                email: row.at(10)?,
            }),
            None => None,
        };
        Ok(Version {
            id: row.at(0)?,
            resource_id: row.at(1)?,
            parent_id: row.at(2)?,
            snapshot: row
                .at::<Option<Value>>(3)?
                .filter(|value| present(Some(value)).is_some())
                .unwrap_or_default(),
            user_id: row.at(4)?,
            commit_message: row.at(5)?,
            created_at: row.at(6)?,
            author,
            column: self.column,
        })
    }

    /// Versions of a resource, newest first.
    #[boxed]
    pub async fn list(
        self,
        conn: impl Into<Conn<'_>>,
        resource_id: &str,
        skip: i64,
        limit: i64,
    ) -> DbResult<Vec<Version>> {
        let rest = format!(
            "WHERE h.{} = ? ORDER BY h.created_at DESC, h.id DESC LIMIT ? OFFSET ?",
            self.column
        );
        let rows = sql(self.select(&rest), args![resource_id, limit, skip.max(0)])
            .all(conn)
            .await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// One version of a resource.
    #[boxed]
    pub async fn get(
        self,
        conn: impl Into<Conn<'_>>,
        resource_id: &str,
        id: &str,
    ) -> DbResult<Option<Version>> {
        let rest = format!("WHERE h.{} = ? AND h.id = ?", self.column);
        let row = sql(self.select(&rest), args![resource_id, id])
            .first(conn)
            .await?;
        row.as_ref().map(|row| self.read(row)).transpose()
    }

    /// Adds a version inside the transaction that writes the resource. Answers its id.
    #[boxed]
    pub async fn add(
        self,
        tx: &mut crate::Tx,
        resource_id: &str,
        snapshot: &Value,
        user_id: &str,
        parent_id: Option<&str>,
        commit_message: Option<&str>,
    ) -> DbResult<String> {
        let id = ids::uuid();
        let now = tx.db().now();
        let text = format!(
            "INSERT INTO {} (id, {}, parent_id, snapshot, user_id, commit_message, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.table, self.column
        );
        let args = args![
            id.as_str(),
            resource_id,
            parent_id,
            snapshot,
            user_id,
            commit_message,
            now
        ];
        sql(text, args).execute(&mut *tx).await?;
        Ok(id)
    }

    /// Removes a version; versions that came from it then come from its parent. `false` when there was none.
    #[boxed]
    pub async fn remove(self, tx: &mut crate::Tx, resource_id: &str, id: &str) -> DbResult<bool> {
        let Some(version) = self.get(&mut *tx, resource_id, id).await? else {
            return Ok(false);
        };
        let text = format!(
            "UPDATE {} SET parent_id = ? WHERE {} = ? AND parent_id = ?",
            self.table, self.column
        );
        sql(text, args![version.parent_id, resource_id, id])
            .execute(&mut *tx)
            .await?;
        let text = format!("DELETE FROM {} WHERE {} = ? AND id = ?", self.table, self.column);
        sql(text, args![resource_id, id]).execute(&mut *tx).await?;
        Ok(true)
    }

    /// Removes every version of these resources.
    #[boxed]
    pub async fn remove_all(self, tx: &mut crate::Tx, resource_ids: &[String]) -> DbResult<()> {
        if resource_ids.is_empty() {
            return Ok(());
        }
        let text = format!(
            "DELETE FROM {} WHERE {} IN ({})",
            self.table,
            self.column,
            placeholders(resource_ids.len())
        );
        sql(text, resource_ids.iter().map(Arg::from).collect())
            .execute(&mut *tx)
            .await?;
        Ok(())
    }
}
