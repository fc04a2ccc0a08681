//! Table `tag` and the tags in `chat.meta`: a tag's id is its name in lower case with underscores.

use serde_json::{Value, json};

use crate::db::{Conn, Db, DbResult, placeholders};
use crate::{args, chat_edits, table};

table! {
    /// One tag of one user.
    pub struct TagRow in "tag" {
        /// Slug.
        pub id: String,
        /// Text shown.
        pub name: Option<String>,
        /// Owner.
        pub user_id: Option<String>,
        /// Free object.
        pub meta: Option<Value>,
    }
}

impl TagRow {
    /// The tag as routes send it.
    pub fn to_json(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "user_id": self.user_id, "meta": self.meta })
    }
}

/// Id of the tag with this name.
pub fn slug(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_")
}

/// All tags of a user.
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<TagRow>> {
    TagRow::list(conn, "WHERE user_id = ?", args![user_id]).await
}

/// The tags with these ids.
pub async fn by_ids(conn: impl Into<Conn<'_>>, user_id: &str, ids: &[String]) -> DbResult<Vec<TagRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = args![user_id];
    list.extend(ids.iter().map(Into::into));
    TagRow::list(conn, &format!("WHERE user_id = ? AND id IN ({})", placeholders(ids.len())), list).await
}

/// Makes sure that tags of these names exist. Answers their ids.
pub async fn ensure(tx: &mut crate::Tx, user_id: &str, names: &[String]) -> DbResult<Vec<String>> {
    let mut ids = Vec::new();
    for name in names {
        let id = slug(name);
        if id.is_empty() || id == "none" || ids.contains(&id) {
            continue;
        }
        let row = TagRow {
            id: id.clone(),
            name: Some(name.trim().to_owned()),
            user_id: Some(user_id.to_owned()),
            meta: Some(Value::Null),
        };
        row.insert_or(&mut *tx, "ON CONFLICT (id, user_id) DO NOTHING").await?;
        ids.push(id);
    }
    Ok(ids)
}

/// Replaces the tags of a chat.
pub async fn set_of_chat(db: &Db, chat_id: &str, user_id: &str, names: &[String]) -> DbResult<()> {
    let Some(mut edit) = chat_edits::edit(db, chat_id).await? else { return Ok(()) };
    let ids = ensure(edit.tx(), user_id, names).await?;
    let mut meta = edit.row.meta_object();
    meta.insert("tags".into(), json!(ids));
    edit.set("meta", Value::Object(meta));
    edit.save(false).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        assert_eq!(slug(" Machine Learning "), "machine_learning");
    }
}
