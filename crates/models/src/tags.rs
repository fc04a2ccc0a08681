//! Table `tag` and the tags in `chat.meta`: a tag's id is its name in lower case with underscores.

use oui_core::boxed;
use serde_json::{Value, json};

use crate::chats::ChatHead;
use crate::db::{Arg, Changes, Conn, Db, DbResult, Dialect, placeholders, sql};
use crate::{Tx, args, table};

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
    name.to_lowercase().replace(' ', "_")
}

/// Condition that a chat carries the tag whose id is the argument.
pub(crate) fn tag_condition(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "EXISTS (SELECT 1 FROM json_each(chat.meta, '$.tags') AS t WHERE t.value = ?)",
        Dialect::Postgres => concat!(
            "EXISTS (SELECT 1 FROM json_array_elements_text(CASE WHEN json_typeof(chat.meta -> 'tags') = 'array' ",
            "THEN chat.meta -> 'tags' ELSE '[]' END) AS t(value) WHERE t.value = ?)"
        ),
    }
}

/// Condition that a chat carries no tag.
pub(crate) fn untagged_condition(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "NOT EXISTS (SELECT 1 FROM json_each(chat.meta, '$.tags'))",
        Dialect::Postgres => concat!(
            "NOT EXISTS (SELECT 1 FROM json_array_elements_text(CASE WHEN json_typeof(chat.meta -> 'tags') = 'array' ",
            "THEN chat.meta -> 'tags' ELSE '[]' END))"
        ),
    }
}

/// All tags of a user.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<TagRow>> {
    TagRow::list(conn, "WHERE user_id = ?", args![user_id]).await
}

/// The tags with these ids.
#[boxed]
pub async fn by_ids(conn: impl Into<Conn<'_>>, user_id: &str, ids: &[String]) -> DbResult<Vec<TagRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = args![user_id];
    list.extend(ids.iter().map(Into::into));
    TagRow::list(
        conn,
        &format!(
            "WHERE user_id = ? AND id IN ({}) ORDER BY id",
            placeholders(ids.len())
        ),
        list,
    )
    .await
}

/// Makes sure that tags of these names exist. Answers their ids.
#[boxed]
pub async fn ensure(tx: &mut Tx, user_id: &str, names: &[String]) -> DbResult<Vec<String>> {
    let mut ids = Vec::new();
    for name in names {
        let id = slug(name);
        if id.is_empty() || id == "none" || ids.contains(&id) {
            continue;
        }
        let row = TagRow {
            id: id.clone(),
            name: Some(name.clone()),
            user_id: Some(user_id.to_owned()),
            meta: Some(Value::Null),
        };
        row.insert_or(&mut *tx, "ON CONFLICT (id, user_id) DO NOTHING")
            .await?;
        ids.push(id);
    }
    Ok(ids)
}

/// How many listed chats of the user carry each of the tags, in one statement.
async fn counts(tx: &mut Tx, user_id: &str, ids: &[String]) -> DbResult<Vec<i64>> {
    let dialect = tx.db().dialect();
    let count = format!(
        "(SELECT COUNT(*) FROM chat WHERE user_id = ? AND {} AND {})",
        crate::chat_lists::NOT_INTERNAL,
        tag_condition(dialect)
    );
    let text = format!("SELECT {}", vec![count.as_str(); ids.len()].join(", "));
    let args: Vec<Arg> = ids.iter().flat_map(|id| args![user_id, id]).collect();
    let Some(row) = sql(text, args).first(tx).await? else {
        return Ok(vec![0; ids.len()]);
    };
    (0..ids.len()).map(|index| row.at(index)).collect()
}

/// Deletes those of the tags that no chat of the user carries any more. Call it in the transaction that took the tags
/// off, or deleted the chats.
#[boxed]
pub async fn delete_unused(tx: &mut Tx, user_id: &str, ids: &[String]) -> DbResult<()> {
    // A statement takes a limited number of arguments.
    for ids in ids.chunks(100) {
        let counts = counts(tx, user_id, ids).await?;
        let unused: Vec<String> = ids
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count == 0)
            .map(|(id, _)| id.clone())
            .collect();
        if !unused.is_empty() {
            let mut list = args![user_id];
            list.extend(unused.iter().map(Into::into));
            let condition = format!("WHERE user_id = ? AND id IN ({})", placeholders(unused.len()));
            TagRow::delete(&mut *tx, &condition, list).await?;
        }
    }
    Ok(())
}

/// [`delete_unused`] in a transaction of its own.
#[boxed]
pub async fn sweep(db: &Db, user_id: &str, ids: &[String]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    delete_unused(&mut tx, user_id, ids).await?;
    tx.commit().await
}

/// Changes the tag ids of a chat without touching its document.
async fn write_tag_ids(tx: &mut Tx, chat_id: &str, change: impl FnOnce(&mut Vec<String>)) -> DbResult<()> {
    let Some(head) = ChatHead::find(&mut *tx, "WHERE id = ?", args![chat_id]).await? else {
        return Ok(());
    };
    let mut ids = head.tag_ids();
    change(&mut ids);
    let mut meta = head
        .meta
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    meta.insert("tags".into(), json!(ids));
    let changes = Changes::new().set("meta", Value::Object(meta));
    ChatHead::update(tx, changes, "WHERE id = ?", args![chat_id]).await?;
    Ok(())
}

/// Puts a tag on a chat; the tag is made if the owner has none of this name.
#[boxed]
pub async fn add_to_chat(db: &Db, chat_id: &str, owner: &str, name: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let id = slug(name);
    let row = TagRow {
        id: id.clone(),
        name: Some(name.to_owned()),
        user_id: Some(owner.to_owned()),
        meta: None,
    };
    row.insert_or(&mut tx, "ON CONFLICT (id, user_id) DO NOTHING")
        .await?;
    write_tag_ids(&mut tx, chat_id, |ids| {
        if !ids.contains(&id) {
            ids.push(id);
        }
    })
    .await?;
    tx.commit().await
}

/// Takes a tag off a chat; the tag goes when no other chat carries it.
#[boxed]
pub async fn remove_from_chat(db: &Db, chat_id: &str, owner: &str, name: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let id = slug(name);
    write_tag_ids(&mut tx, chat_id, |ids| ids.retain(|known| *known != id)).await?;
    delete_unused(&mut tx, owner, &[id]).await?;
    tx.commit().await
}

/// Replaces the tags of a chat; those it loses go when no other chat carries them.
#[boxed]
pub async fn set_of_chat(db: &Db, chat_id: &str, user_id: &str, names: &[String]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let new = ensure(&mut tx, user_id, names).await?;
    let mut lost = Vec::new();
    write_tag_ids(&mut tx, chat_id, |ids| {
        lost = std::mem::replace(ids, new.clone())
            .into_iter()
            .filter(|id| !new.contains(id))
            .collect();
    })
    .await?;
    delete_unused(&mut tx, user_id, &lost).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        assert_eq!(slug("Machine Learning"), "machine_learning");
    }
}
