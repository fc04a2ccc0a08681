//! Table `skill`: instructions and files that a model can be given. `data.files` holds the files, `content` the
//! text of the first of them.

use serde_json::{Map, Value, json};

use crate::db::{Db, DbResult, sql};
use crate::grants::{self, GrantRow};
use crate::{args, shared, shared_row, table, versions};

/// `resource_type` of skills in the grants.
pub const KIND: &str = "skill";

table! {
    /// One skill.
    pub struct SkillRow in "skill" {
        /// Row id, a slug.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Name shown, unique.
        pub name: String,
        /// Description shown.
        pub description: Option<String>,
        /// Text of `SKILL.md`.
        pub content: String,
        /// `{i18n, tags}`.
        pub meta: Option<Value>,
        /// Whether it is offered.
        pub is_active: bool,
        /// Seconds.
        pub updated_at: i64,
        /// Seconds.
        pub created_at: i64,
        /// The live version.
        pub version_id: Option<String>,
        /// `{files: [{path, content, encoding}]}`.
        pub data: Option<Value>,
    }
}

shared_row!(SkillRow, KIND);

impl SkillRow {
    /// The skill as lists send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Map<String, Value> {
        let meta = |name: &str| self.meta.as_ref().and_then(|meta| meta.get(name)).cloned();
        let mut object = Map::new();
        for (name, value) in [
            ("version_id", json!(self.version_id)),
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            (
                "meta",
                json!({ "i18n": meta("i18n"), "tags": meta("tags").unwrap_or_else(|| json!([])) }),
            ),
            ("is_active", json!(self.is_active)),
            ("access_grants", shared::grants_json(grants)),
            ("updated_at", json!(self.updated_at)),
            ("created_at", json!(self.created_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// Offers the skill or stops offering it.
pub async fn toggle(db: &Db, id: &str) -> DbResult<()> {
    sql(
        "UPDATE skill SET is_active = NOT is_active, updated_at = ? WHERE id = ?",
        args![db.now(), id],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a skill with its grants and versions.
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    versions::SKILLS.remove_all(&mut tx, &[id.to_owned()]).await?;
    grants::remove(&mut tx, KIND, id).await?;
    SkillRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}
