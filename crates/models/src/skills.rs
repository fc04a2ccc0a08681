//! Table `skill`: instructions and files that a model can be given. `data.files` holds the files, `content` the
//! text of the first of them.

use oui_core::boxed;
use serde_json::{Map, Value, json};

use crate::db::{Changes, Db, DbResult, Tx, sql};
use crate::grants::{self, Grant, GrantRow};
use crate::models::Commit;
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
    /// What its live version holds.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            description: self.description.clone(),
            content: self.content.clone(),
            meta: self.meta_json(),
            files: self
                .data
                .as_ref()
                .and_then(|data| data.get("files"))
                .cloned()
                .unwrap_or_else(|| json!([])),
        }
    }

    /// `meta` with all its members.
    fn meta_json(&self) -> Value {
        let meta = |name: &str| self.meta.as_ref().and_then(|meta| meta.get(name)).cloned();
        json!({ "i18n": meta("i18n"), "tags": meta("tags").unwrap_or_else(|| json!([])) })
    }

    /// The skill as lists send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("version_id", json!(self.version_id)),
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("meta", self.meta_json()),
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
#[boxed]
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
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    versions::SKILLS.remove_all(&mut tx, &[id.to_owned()]).await?;
    grants::remove(&mut tx, KIND, id).await?;
    SkillRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// What a version of a skill holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Name shown.
    pub name: String,
    /// Description shown.
    pub description: Option<String>,
    /// Text of `SKILL.md`.
    pub content: String,
    /// `{i18n, tags}`.
    pub meta: Value,
    /// `[{path, content, encoding}]`.
    pub files: Value,
}

impl Snapshot {
    /// A stored snapshot.
    pub fn from_json(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            name: text("name").unwrap_or_default(),
            description: text("description"),
            content: text("content").unwrap_or_default(),
            meta: value.get("meta").cloned().unwrap_or_default(),
            files: value.pointer("/data/files").cloned().unwrap_or_else(|| json!([])),
        }
    }

    /// As it is stored.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name, "description": self.description, "content": self.content,
            "data": self.data(), "meta": self.meta,
        })
    }

    fn data(&self) -> Value {
        json!({ "files": self.files })
    }

    fn changes(&self) -> Changes {
        Changes::new()
            .set("name", self.name.as_str())
            .set("description", self.description.clone())
            .set("content", self.content.as_str())
            .set("data", self.data())
            .set("meta", self.meta.clone())
    }
}

/// Whether a skill has this name.
#[boxed]
pub async fn name_taken(db: &Db, name: &str) -> DbResult<bool> {
    Ok(SkillRow::count(db, "WHERE name = ?", args![name]).await? > 0)
}

/// Inserts a skill with its grants and first version.
#[boxed]
pub async fn create(
    db: &Db,
    id: &str,
    snapshot: &Snapshot,
    is_active: bool,
    grants: &[Grant],
    commit: Commit<'_>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let version = versions::SKILLS
        .add(
            &mut tx,
            id,
            &snapshot.to_json(),
            commit.user_id,
            None,
            commit.message,
        )
        .await?;
    let now = db.now();
    let row = SkillRow {
        id: id.to_owned(),
        user_id: commit.user_id.to_owned(),
        name: snapshot.name.clone(),
        description: snapshot.description.clone(),
        content: snapshot.content.clone(),
        meta: Some(snapshot.meta.clone()),
        is_active,
        updated_at: now,
        created_at: now,
        version_id: Some(version),
        data: Some(snapshot.data()),
    };
    row.insert(&mut tx).await?;
    grants::replace(&mut tx, KIND, id, grants).await?;
    tx.commit().await
}

/// Writes changes if the version that `seen` has is the live one still.
async fn write(tx: &mut Tx, seen: &SkillRow, changes: Changes) -> DbResult<bool> {
    let touched = match &seen.version_id {
        Some(version) => {
            SkillRow::update(
                tx,
                changes,
                "WHERE id = ? AND version_id = ?",
                args![seen.id.as_str(), version.as_str()],
            )
            .await?
        }
        None => {
            SkillRow::update(
                tx,
                changes,
                "WHERE id = ? AND version_id IS NULL",
                args![seen.id.as_str()],
            )
            .await?
        }
    };
    Ok(touched == 1)
}

/// Switches a skill and, with a snapshot, gives it a new live version. `false`: another version is live by now.
#[boxed]
pub async fn save(
    db: &Db,
    seen: &SkillRow,
    is_active: bool,
    snapshot: Option<&Snapshot>,
    commit: Commit<'_>,
) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let mut changes = Changes::new()
        .set("is_active", is_active)
        .set("updated_at", db.now());
    if let Some(snapshot) = snapshot {
        let parent = seen.version_id.as_deref();
        let version = versions::SKILLS
            .add(
                &mut tx,
                &seen.id,
                &snapshot.to_json(),
                commit.user_id,
                parent,
                commit.message,
            )
            .await?;
        changes = changes.extend(snapshot.changes()).set("version_id", version);
    }
    if !write(&mut tx, seen, changes).await? {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Makes an older version the live one. `false`: another version is live by now.
#[boxed]
pub async fn restore(db: &Db, seen: &SkillRow, version_id: &str, snapshot: &Snapshot) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let changes = snapshot
        .changes()
        .set("version_id", version_id)
        .set("updated_at", db.now());
    if !write(&mut tx, seen, changes).await? {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Removes a version; followers then come from its parent. `false` when there is none.
#[boxed]
pub async fn remove_version(db: &Db, id: &str, version_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let removed = versions::SKILLS.remove(&mut tx, id, version_id).await?;
    tx.commit().await?;
    Ok(removed)
}
