//! What writing tools and functions has in common: versions that keep what does not follow from the source, and
//! settings ("valves") in a column of the row.

use serde_json::{Value, json};

use crate::db::{Conn, Db, DbResult, Tx, sql};
use crate::models::Commit;
use crate::versions::{self, Versions};
use crate::{args, tools::json_object};

/// One of the two kinds of plugins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Name of the table.
    table: &'static str,
    /// Its versions.
    versions: Versions,
    /// Members of `meta` that follow from the source.
    derived: &'static [&'static str],
}

/// Tools.
pub(crate) const TOOLS: Kind = Kind {
    table: "tool",
    versions: versions::TOOLS,
    derived: &["manifest", "has_user_valves"],
};

/// Functions.
pub(crate) const FUNCTIONS: Kind = Kind {
    table: "function",
    versions: versions::FUNCTIONS,
    derived: &["manifest", "has_user_valves", "toggle"],
};

/// The columns of a stored plugin that its versions keep.
pub(crate) struct Stored<'a> {
    pub(crate) id: &'a str,
    pub(crate) version_id: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) content: Option<&'a str>,
    pub(crate) meta: Option<&'a str>,
}

impl Kind {
    /// What a version keeps.
    pub(crate) fn snapshot(self, name: &str, content: &str, meta: &Value) -> Value {
        let mut meta = meta.as_object().cloned().unwrap_or_default();
        meta.entry("description").or_insert(Value::Null);
        let translated = meta
            .get("i18n")
            .is_some_and(|texts| texts.as_object().is_some_and(|texts| !texts.is_empty()));
        if !translated {
            meta.shift_remove("i18n");
        }
        for name in self.derived {
            meta.shift_remove(*name);
        }
        json!({ "name": name, "content": content, "meta": meta })
    }

    /// Adds the first version of a plugin and answers its id.
    pub(crate) async fn first(
        self,
        tx: &mut Tx,
        id: &str,
        snapshot: &Value,
        commit: Commit<'_>,
    ) -> DbResult<String> {
        self.versions
            .add(tx, id, snapshot, commit.user_id, None, commit.message)
            .await
    }

    /// The version that is live after a change: `wanted`, or a new one when name, source or meta change. `None`: it
    /// stays the one that it is.
    pub(crate) async fn next(
        self,
        tx: &mut Tx,
        stored: Stored<'_>,
        after: &Value,
        wanted: Option<&str>,
        commit: Commit<'_>,
    ) -> DbResult<Option<String>> {
        if let Some(version) = wanted {
            return Ok(Some(version.to_owned()));
        }
        let meta = Value::Object(json_object(stored.meta));
        let before = self.snapshot(
            stored.name.unwrap_or_default(),
            stored.content.unwrap_or_default(),
            &meta,
        );
        if before == *after && stored.version_id.is_some() {
            return Ok(None);
        }
        let added = self
            .versions
            .add(
                tx,
                stored.id,
                after,
                commit.user_id,
                stored.version_id,
                commit.message,
            )
            .await?;
        Ok(Some(added))
    }

    /// Takes the row, so that no other change comes between reading and writing it.
    pub(crate) async fn lock(self, tx: &mut Tx, id: &str) -> DbResult<()> {
        let text = format!("UPDATE {} SET version_id = version_id WHERE id = ?", self.table);
        sql(text, args![id]).execute(&mut *tx).await?;
        Ok(())
    }

    /// Stored settings, as JSON text.
    pub(crate) async fn valves(self, conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<String>> {
        let text = format!("SELECT valves FROM {} WHERE id = ?", self.table);
        let found: Option<Option<String>> = sql(text, args![id]).scalar(conn).await?;
        Ok(found.flatten())
    }

    /// Stores settings, as JSON text.
    pub(crate) async fn set_valves(self, db: &Db, id: &str, valves: &str) -> DbResult<()> {
        let text = format!(
            "UPDATE {} SET valves = ?, updated_at = ? WHERE id = ?",
            self.table
        );
        sql(text, args![valves, db.now(), id]).execute(db).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_what_does_not_follow_from_the_source() {
        let meta = json!({"description": "d", "manifest": {"title": "t"}, "has_user_valves": true, "i18n": {}, "toggle": 1});
        assert_eq!(
            TOOLS.snapshot("n", "c", &meta),
            json!({"name": "n", "content": "c", "meta": {"description": "d", "toggle": 1}})
        );
        assert_eq!(
            FUNCTIONS.snapshot("n", "", &meta)["meta"],
            json!({"description": "d"})
        );
        assert_eq!(
            TOOLS.snapshot("n", "", &Value::Null)["meta"],
            json!({"description": null})
        );
    }
}
