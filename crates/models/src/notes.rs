//! Tables `note` and `pinned_note`: notes with text in several forms under `data.content`, and which user has
//! pinned which. Times are nanoseconds.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Changes, Db, DbResult, Dialect, sql};
use crate::grants::{self, Grant, GrantRow};
use crate::groups::Membership;
use crate::shared::{self, Condition, Entry, Filter, Reader};
use crate::{args, shared_row, table};

/// `resource_type` of notes in the grants.
pub const KIND: &str = "note";

table! {
    /// One note.
    pub struct NoteRow in "note" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Title shown.
        pub title: Option<String>,
        /// `{content: {json, html, md}, files, ...}`.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// Nanoseconds.
        pub created_at: Option<i64>,
        /// Nanoseconds.
        pub updated_at: Option<i64>,
    }
}

shared_row!(NoteRow, KIND);

/// Brings `data` into form: `content.md` is always text, since models once stored other things there.
pub fn sanitize(data: Option<Value>) -> Option<Value> {
    let mut data = data.filter(|data| !data.is_null())?;
    if !data.is_object() {
        let text = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        return Some(json!({ "content": { "md": text } }));
    }
    if let Some(md) = data.pointer_mut("/content/md") {
        let text = match &*md {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Object(_) | Value::Array(_) => {
                format!(
                    "```json\n{}\n```",
                    serde_json::to_string_pretty(md).unwrap_or_default()
                )
            }
            other => other.to_string(),
        };
        *md = Value::String(text);
    }
    Some(data)
}

impl NoteRow {
    /// `data` in form; empty when there is none.
    pub fn data_object(&self) -> Value {
        sanitize(self.data.clone()).unwrap_or_else(|| json!({}))
    }

    /// The start of the text, as lists carry it instead of `data`.
    pub fn excerpt(&self) -> Value {
        /// Characters of the text that lists carry.
        const LENGTH: usize = 1000;
        let data = self.data_object();
        if data.as_object().is_none_or(Map::is_empty) {
            return data;
        }
        let text = data
            .pointer("/content/md")
            .and_then(Value::as_str)
            .unwrap_or_default();
        json!({ "content": { "md": text.chars().take(LENGTH).collect::<String>() } })
    }

    /// The note as routes send it.
    pub fn to_json(&self, grants: &[GrantRow], pinned: bool) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("title", json!(self.title)),
            ("data", self.data_object()),
            ("meta", json!(self.meta)),
            ("is_pinned", json!(pinned)),
            ("access_grants", shared::grants_json(grants)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// Condition: the word stands in title or text; hyphens and blanks do not count.
pub fn mentions(dialect: Dialect, word: &str) -> Condition {
    let text = match dialect {
        Dialect::Sqlite => "json_extract(r.data, '$.content.md')",
        Dialect::Postgres => "(r.data -> 'content' ->> 'md')",
    };
    let plain = |column: &str| format!("REPLACE(REPLACE({column}, '-', ''), ' ', '')");
    shared::contains(&[&plain("r.title"), &plain(text)], word)
}

/// Whether the user may read the note. False for a note that does not exist.
#[boxed]
pub async fn may_read(db: &Db, note_id: &str, user_id: &str, membership: &Membership) -> DbResult<bool> {
    let owner: Option<Option<String>> = sql("SELECT user_id FROM note WHERE id = ?", args![note_id])
        .scalar(db)
        .await?;
    match owner {
        None => Ok(false),
        Some(Some(owner)) if owner == user_id => Ok(true),
        Some(_) => grants::allows(db, KIND, note_id, "read", user_id, membership).await,
    }
}

/// Ids of the notes that a user has pinned.
#[boxed]
pub async fn pinned_ids(db: &Db, user_id: &str) -> DbResult<Vec<String>> {
    let rows = sql(
        "SELECT note_id FROM pinned_note WHERE user_id = ?",
        args![user_id],
    )
    .all(db)
    .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Notes that the reader has pinned and may still read, newest pin first.
#[boxed]
pub async fn pinned(db: &Db, reader: Reader<'_>) -> DbResult<Vec<Entry<NoteRow>>> {
    let pin = "SELECT p.created_at FROM pinned_note p WHERE p.note_id = r.id AND p.user_id = ?";
    let ids = pinned_ids(db, reader.user_id).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let exists = format!("EXISTS ({pin})");
    let filter = Filter::readable(reader, "r.id").and((exists, args![reader.user_id]));
    let mut notes = shared::list::<NoteRow>(db, &filter).await?;
    let order = sql(
        "SELECT note_id FROM pinned_note WHERE user_id = ? ORDER BY created_at DESC",
        args![reader.user_id],
    )
    .all(db)
    .await?;
    let order: Vec<String> = order.iter().map(|row| row.at(0)).collect::<DbResult<_>>()?;
    notes.sort_by_key(|entry| order.iter().position(|id| *id == entry.row.id));
    Ok(notes)
}

/// Inserts a note with its grants. Answers its id.
#[boxed]
pub async fn create(
    db: &Db,
    user_id: &str,
    title: &str,
    data: Option<Value>,
    meta: Option<Value>,
    grants: &[Grant],
) -> DbResult<String> {
    let now = db.clock().nanos();
    let row = NoteRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        title: Some(title.to_owned()),
        data: Some(sanitize(data).unwrap_or(Value::Null)),
        meta: Some(meta.unwrap_or(Value::Null)),
        created_at: Some(now),
        updated_at: Some(now),
    };
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    grants::replace(&mut tx, KIND, &row.id, grants).await?;
    tx.commit().await?;
    Ok(row.id)
}

/// What a request may change of a note; fields of `data` and `meta` are laid over the stored ones.
#[derive(Debug, Clone, Default)]
pub struct NoteChange {
    /// Title shown.
    pub title: Option<String>,
    /// Fields of `data`.
    pub data: Option<Map<String, Value>>,
    /// Fields of `meta`.
    pub meta: Option<Map<String, Value>>,
}

fn laid_over(stored: Option<Value>, fields: Map<String, Value>) -> Value {
    let mut merged = match stored {
        Some(Value::Object(stored)) => stored,
        _ => Map::new(),
    };
    merged.extend(fields);
    Value::Object(merged)
}

/// Changes a note. `updated_at` moves only when something differs.
#[boxed]
pub async fn update(db: &Db, id: &str, change: NoteChange) -> DbResult<()> {
    let mut tx = db.begin().await?;
    sql("UPDATE note SET title = title WHERE id = ?", args![id])
        .execute(&mut tx)
        .await?;
    let Some(row) = NoteRow::find(&mut tx, "WHERE id = ?", args![id]).await? else {
        return Ok(());
    };
    let mut next = row.clone();
    if let Some(title) = change.title {
        next.title = Some(title);
    }
    if let Some(fields) = change.data {
        next.data = Some(laid_over(sanitize(row.data.clone()), fields));
    }
    if let Some(fields) = change.meta {
        next.meta = Some(laid_over(row.meta.clone(), fields));
    }
    if next != row {
        let changes = Changes::new()
            .set("title", next.title)
            .set("data", next.data)
            .set("meta", next.meta)
            .set("updated_at", db.clock().nanos());
        NoteRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    }
    tx.commit().await
}

/// Pins the note for a user, or takes the pin away. Answers whether it is pinned now.
#[boxed]
pub async fn toggle_pin(db: &Db, id: &str, user_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let removed = sql(
        "DELETE FROM pinned_note WHERE user_id = ? AND note_id = ?",
        args![user_id, id],
    )
    .execute(&mut tx)
    .await?;
    if removed == 0 {
        let text = "INSERT INTO pinned_note (id, user_id, note_id, created_at) VALUES (?, ?, ?, ?) \
                    ON CONFLICT (user_id, note_id) DO NOTHING";
        sql(text, args![ids::uuid(), user_id, id, db.clock().nanos()])
            .execute(&mut tx)
            .await?;
    }
    tx.commit().await?;
    Ok(removed == 0)
}

/// Deletes a note with its grants and pins.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    grants::remove(&mut tx, KIND, id).await?;
    sql("DELETE FROM pinned_note WHERE note_id = ?", args![id])
        .execute(&mut tx)
        .await?;
    NoteRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_always_text() {
        assert_eq!(sanitize(None), None);
        assert_eq!(sanitize(Some(json!("x"))), Some(json!({"content": {"md": "x"}})));
        assert_eq!(
            sanitize(Some(json!({"content": {"md": null}, "files": []}))),
            Some(json!({"content": {"md": ""}, "files": []}))
        );
    }

    #[tokio::test]
    async fn notes_are_found_pinned_and_changed() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let nobody = Membership::default();
            let reader = Reader {
                user_id: &ada.id,
                membership: &nobody,
                sees_all: false,
            };
            let text = |md: &str| Some(json!({"content": {"md": md}}));
            let list = create(&db, &ada.id, "Shopping", text("to-do: milk"), None, &[])
                .await
                .unwrap();
            let other = create(&db, &ada.id, "Other", None, None, &[]).await.unwrap();
            let found = async |word: &str| {
                let filter = Filter::readable(reader, "r.id").and(mentions(db.dialect(), word));
                let notes = shared::list::<NoteRow>(&db, &filter).await.unwrap();
                notes.into_iter().map(|note| note.row.id).collect::<Vec<_>>()
            };
            assert_eq!(found("todo").await, std::slice::from_ref(&list));
            assert_eq!(found("SHOPP").await, std::slice::from_ref(&list));
            assert!(found("bread").await.is_empty());
            assert!(toggle_pin(&db, &list, &ada.id).await.unwrap());
            assert!(toggle_pin(&db, &other, &ada.id).await.unwrap());
            assert!(!toggle_pin(&db, &other, &ada.id).await.unwrap());
            let pins = pinned(&db, reader).await.unwrap();
            assert_eq!(pins.iter().map(|pin| &pin.row.id).collect::<Vec<_>>(), [&list]);
            let files = Map::from_iter([("files".to_owned(), json!([1]))]);
            update(
                &db,
                &list,
                NoteChange {
                    data: Some(files),
                    ..NoteChange::default()
                },
            )
            .await
            .unwrap();
            let row = shared::get::<NoteRow>(&db, &list).await.unwrap().unwrap().row;
            assert_eq!(
                row.data_object(),
                json!({"content": {"md": "to-do: milk"}, "files": [1]})
            );
            delete(&db, &list).await.unwrap();
            assert!(pinned_ids(&db, &ada.id).await.unwrap().is_empty());
        }
    }
}
