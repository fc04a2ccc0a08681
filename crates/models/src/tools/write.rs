//! Writing tools: the row, its versions and its grants in one transaction.

use serde_json::{Value, json};

use super::{KIND, ToolRow};
use crate::db::{Changes, Conn, Db, DbResult, Tx, sql};
use crate::grants::{self, Grant};
use crate::models::Commit;
use crate::{args, versions};

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

/// What a version of a plugin keeps: all but those members of `meta` that follow from the source.
pub(crate) fn snapshot(name: &str, content: &str, meta: &Value, derived: &[&str]) -> Value {
    let mut meta = meta.as_object().cloned().unwrap_or_default();
    meta.entry("description").or_insert(Value::Null);
    let translated = meta
        .get("i18n")
        .is_some_and(|texts| texts.as_object().is_some_and(|texts| !texts.is_empty()));
    if !translated {
        meta.shift_remove("i18n");
    }
    for name in derived {
        meta.shift_remove(*name);
    }
    json!({ "name": name, "content": content, "meta": meta })
}

impl ToolData {
    fn snapshot(&self) -> Value {
        snapshot(&self.name, &self.content, &self.meta, DERIVED)
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

const DERIVED: &[&str] = &["manifest", "has_user_valves"];

/// Inserts a tool with its grants and first version.
pub async fn create(
    db: &Db,
    id: &str,
    data: &ToolData,
    grants: &[Grant],
    commit: Commit<'_>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let version = versions::TOOLS
        .add(
            &mut tx,
            id,
            &data.snapshot(),
            commit.user_id,
            None,
            commit.message,
        )
        .await?;
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
    sql("UPDATE tool SET version_id = version_id WHERE id = ?", args![id])
        .execute(&mut *tx)
        .await?;
    ToolRow::find(&mut *tx, "WHERE id = ?", args![id]).await
}

/// Changes a tool. With `version` that one becomes the live version, otherwise a change of name, source or meta
/// makes one. `false` when the tool is gone.
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
    if let Some(version) = version {
        changes = changes.set("version_id", version);
    } else {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = Value::Object(super::json_object(row.meta.as_deref()));
        let before = snapshot(&text(&row.name), &text(&row.content), &meta, DERIVED);
        let after = data.snapshot();
        if before != after || row.version_id.is_none() {
            let version = versions::TOOLS
                .add(
                    &mut tx,
                    id,
                    &after,
                    commit.user_id,
                    row.version_id.as_deref(),
                    commit.message,
                )
                .await?;
            changes = changes.set("version_id", version);
        }
    }
    ToolRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Stored settings of a tool, as JSON text.
pub async fn valves(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
    let found: Option<Option<String>> = sql("SELECT valves FROM tool WHERE id = ?", args![id])
        .scalar(conn)
        .await?;
    Ok(found.flatten())
}

/// Stores settings of a tool, as JSON text.
pub async fn set_valves(db: &Db, id: &str, valves: &str) -> DbResult<()> {
    let text = "UPDATE tool SET valves = ?, updated_at = ? WHERE id = ?";
    sql(text, args![valves, db.now(), id]).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_what_does_not_follow_from_the_source() {
        let meta = json!({"description": "d", "manifest": {"title": "t"}, "has_user_valves": true, "i18n": {}, "x": 1});
        assert_eq!(
            snapshot("n", "c", &meta, DERIVED),
            json!({"name": "n", "content": "c", "meta": {"description": "d", "x": 1}})
        );
        assert_eq!(
            snapshot("n", "", &Value::Null, DERIVED)["meta"],
            json!({"description": null})
        );
    }
}
