//! Table `file`: uploaded files. `data` holds the text and how far the work on the file is (`status`, `error`),
//! `meta` what the upload said about it. The bytes are the storage's; who may see a file is in `folder_files`.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Arg, Changes, Conn, Db, DbResult, Dialect, sql};
use crate::knowledge::KnowledgeRow;
use crate::{Tx, args, knowledge_edits, table};

table! {
    /// One file.
    pub struct FileRow in "file" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Checksum of the text.
        pub hash: Option<String>,
        /// Name shown.
        pub filename: String,
        /// Where the bytes are, for the storage.
        pub path: Option<String>,
        /// `{status, error, content}`.
        pub data: Option<Value>,
        /// `{name, content_type, size, file_hash, data, collection_name}`.
        pub meta: Option<Value>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
    }
}

table! {
    /// What is asked for again and again while a file is worked on: everything but its text.
    pub struct FileHead in "file" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Name shown.
        pub filename: String,
        /// Where the bytes are, for the storage.
        pub path: Option<String>,
        /// Checksum of the text.
        pub hash: Option<String>,
        /// What the upload said.
        pub meta: Option<Value>,
    }
}

impl FileHead {
    /// A text in `meta`.
    pub fn meta_text(&self, name: &str) -> Option<&str> {
        self.meta.as_ref()?.get(name)?.as_str()
    }
}

/// `meta` as answers show it: the declared fields first, whatever else there is after them.
fn shown_meta(meta: Option<&Value>) -> Value {
    let Some(Value::Object(stored)) = meta else {
        return Value::Null;
    };
    let mut shown = Map::new();
    for name in ["name", "content_type", "size"] {
        shown.insert(name.into(), stored.get(name).cloned().unwrap_or_default());
    }
    // Old rows hold lists here.
    let kind = match stored.get("content_type") {
        Some(Value::Array(items)) => items
            .iter()
            .find(|item| item.is_string())
            .cloned()
            .unwrap_or_default(),
        Some(Value::String(text)) => json!(text),
        _ => Value::Null,
    };
    shown.insert("content_type".into(), kind);
    for (name, value) in stored {
        shown.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(shown)
}

impl FileRow {
    /// A text in `data`.
    pub fn data_text(&self, name: &str) -> Option<&str> {
        self.data.as_ref()?.get(name)?.as_str()
    }

    /// A text in `meta`.
    pub fn meta_text(&self, name: &str) -> Option<&str> {
        self.meta.as_ref()?.get(name)?.as_str()
    }

    /// The extracted text; empty while there is none.
    pub fn content(&self) -> &str {
        self.data_text("content").unwrap_or_default()
    }

    /// The row with every column.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = self.to_item();
        object.insert("path".into(), json!(self.path));
        object.insert("meta".into(), self.meta.clone().unwrap_or_default());
        object
    }

    /// The row as lists show it: without its place, and with the declared fields of `meta`.
    pub fn to_item(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("hash", json!(self.hash)),
            ("filename", json!(self.filename)),
            ("data", self.data.clone().unwrap_or_default()),
            ("meta", shown_meta(self.meta.as_ref())),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }

    /// Drops the text, for answers that leave it out.
    pub fn without_content(mut self) -> Self {
        if let Some(Value::Object(data)) = &mut self.data {
            data.shift_remove("content");
        }
        self
    }
}

/// The file.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FileRow>> {
    FileRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The file without its text.
#[boxed]
pub async fn head(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FileHead>> {
    FileHead::find(conn, "WHERE id = ?", args![id]).await
}

/// `(status, error)` of the work on a file; the outer option is whether there is such a file. The text of the file is
/// only read where the database can not look into it: PostgreSQL refuses JSON with NUL characters.
#[boxed]
pub async fn status(db: &Db, id: &str) -> DbResult<Option<(Option<String>, Option<String>)>> {
    let text = match db.dialect() {
        Dialect::Sqlite => {
            "SELECT json_extract(data, '$.status'), json_extract(data, '$.error') FROM file WHERE id = ?"
        }
        Dialect::Postgres => {
            r"SELECT data ->> 'status', data ->> 'error' FROM file
              WHERE id = ? AND CAST(data AS TEXT) NOT LIKE '%\\u0000%'"
        }
    };
    if let Some(row) = sql(text, args![id]).first(db).await? {
        return Ok(Some((row.at(0)?, row.at(1)?)));
    }
    let row = by_id(db, id).await?;
    let text = |row: &FileRow, name: &str| row.data_text(name).map(str::to_owned);
    Ok(row.map(|row| (text(&row, "status"), text(&row, "error"))))
}

fn of_user(user_id: Option<&str>) -> (String, Vec<Arg>) {
    match user_id {
        Some(user_id) => ("WHERE user_id = ?".into(), args![user_id]),
        None => (String::new(), Vec::new()),
    }
}

/// Number of files of a user, or of all.
#[boxed]
pub async fn count(conn: impl Into<Conn<'_>>, user_id: Option<&str>) -> DbResult<i64> {
    let (condition, args) = of_user(user_id);
    FileRow::count(conn, &condition, args).await
}

/// A page of files, the last changed first.
#[boxed]
pub async fn page(
    conn: impl Into<Conn<'_>>,
    user_id: Option<&str>,
    skip: i64,
    limit: i64,
) -> DbResult<Vec<FileRow>> {
    let (condition, mut args) = of_user(user_id);
    args.extend(args![limit, skip]);
    let rest = format!("{condition} ORDER BY updated_at DESC, id DESC LIMIT ? OFFSET ?");
    FileRow::list(conn, &rest, args).await
}

/// Files whose name fits a pattern with `*` and `?`, the newest first.
#[boxed]
pub async fn search(
    db: &Db,
    user_id: Option<&str>,
    pattern: &str,
    skip: i64,
    limit: i64,
) -> DbResult<Vec<FileRow>> {
    let mut conditions = Vec::new();
    let mut args = Vec::new();
    if let Some(user_id) = user_id {
        conditions.push("user_id = ?");
        args.push(Arg::from(user_id));
    }
    let pattern = like_pattern(pattern);
    if pattern != "%" {
        conditions.push(match db.dialect() {
            Dialect::Sqlite => r"lower(filename) LIKE lower(?) ESCAPE '\'",
            Dialect::Postgres => r"filename ILIKE ? ESCAPE '\'",
        });
        args.push(Arg::from(pattern));
    }
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", conditions.join(" AND ")),
    };
    args.extend(args![limit, skip]);
    let rest = format!("{condition} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?");
    FileRow::list(db, &rest, args).await
}

fn like_pattern(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len());
    for c in glob.chars() {
        match c {
            '\\' | '%' | '_' => pattern.extend(['\\', c]),
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            other => pattern.push(other),
        }
    }
    pattern
}

/// Lays `changes` over a JSON column of the file and stamps the row. False when there is no such file.
async fn lay_over(db: &Db, id: &str, column: &'static str, changes: &Map<String, Value>) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let done = lay_over_in(&mut tx, id, column, changes, Changes::new()).await?;
    tx.commit().await?;
    Ok(done)
}

async fn lay_over_in(
    tx: &mut Tx,
    id: &str,
    column: &'static str,
    changes: &Map<String, Value>,
    more: Changes,
) -> DbResult<bool> {
    // Two writers of one file must not lose each other's members; SQLite's transactions exclude each other anyway.
    let lock = match tx.db().dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    };
    let text = format!("SELECT {column} FROM file WHERE id = ?{lock}");
    let Some(row) = sql(text, args![id]).first(&mut *tx).await? else {
        return Ok(false);
    };
    let mut object = match row.at::<Option<Value>>(0)? {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    object.extend(changes.clone());
    let now = tx.db().now();
    let more = more.set(column, Value::Object(object)).set("updated_at", now);
    FileRow::update(&mut *tx, more, "WHERE id = ?", args![id]).await?;
    Ok(true)
}

fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The work on the file goes on.
#[boxed]
pub async fn set_processing(db: &Db, id: &str) -> DbResult<bool> {
    lay_over(db, id, "data", &members([("status", json!("processing"))])).await
}

/// The work on the file is done.
#[boxed]
pub async fn set_completed(db: &Db, id: &str) -> DbResult<bool> {
    let done = members([("status", json!("completed")), ("error", Value::Null)]);
    lay_over(db, id, "data", &done).await
}

/// The work on the file failed. With `forget_hash` the checksum goes as well, so that the same text may come again.
#[boxed]
pub async fn set_failed(db: &Db, id: &str, error: &str, forget_hash: bool) -> DbResult<bool> {
    let failed = members([("status", json!("failed")), ("error", json!(error))]);
    let more = match forget_hash {
        true => Changes::new().set("hash", Arg::Null),
        false => Changes::new(),
    };
    let mut tx = db.begin().await?;
    let done = lay_over_in(&mut tx, id, "data", &failed, more).await?;
    tx.commit().await?;
    Ok(done)
}

/// Keeps the extracted text.
#[boxed]
pub async fn set_content(db: &Db, id: &str, content: &str) -> DbResult<bool> {
    lay_over(db, id, "data", &members([("content", json!(content))])).await
}

/// Keeps the checksum of the text and, when the file was indexed, where its chunks are.
#[boxed]
pub async fn set_indexed(db: &Db, id: &str, hash: &str, collection: Option<&str>) -> DbResult<bool> {
    let meta = match collection {
        Some(name) => members([("collection_name", json!(name))]),
        None => Map::new(),
    };
    let mut tx = db.begin().await?;
    let more = Changes::new().set("hash", hash);
    let done = lay_over_in(&mut tx, id, "meta", &meta, more).await?;
    tx.commit().await?;
    Ok(done)
}

/// Gives the file another name and answers it.
#[boxed]
pub async fn rename(db: &Db, id: &str, name: &str) -> DbResult<Option<FileRow>> {
    let mut tx = db.begin().await?;
    let more = Changes::new().set("filename", name);
    lay_over_in(&mut tx, id, "meta", &members([("name", json!(name))]), more).await?;
    let row = by_id(&mut tx, id).await?;
    tx.commit().await?;
    Ok(row)
}

/// Collections that have the file.
#[boxed]
pub async fn collections(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<KnowledgeRow>> {
    let rest = "WHERE id IN (SELECT knowledge_id FROM knowledge_file WHERE file_id = ?)";
    KnowledgeRow::list(conn, rest, args![id]).await
}

/// Notes the file in a channel.
#[boxed]
pub async fn note_in_channel(tx: &mut Tx, channel_id: &str, file_id: &str, user_id: &str) -> DbResult<()> {
    let text = "INSERT INTO channel_file (id, user_id, channel_id, file_id, created_at, updated_at) \
                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (channel_id, file_id) DO NOTHING";
    let now = tx.db().now();
    let args = args![ids::uuid(), user_id, channel_id, file_id, now, now];
    sql(text, args).execute(&mut *tx).await?;
    Ok(())
}

/// Puts the file into a collection, if it is not in it already.
#[boxed]
pub async fn note_in_knowledge(
    db: &Db,
    knowledge_id: &str,
    file_id: &str,
    user_id: &str,
    directory_id: Option<&str>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let now = db.now();
    knowledge_edits::link(&mut tx, now, knowledge_id, file_id, user_id, directory_id).await?;
    tx.commit().await
}

/// The collection.
#[boxed]
pub async fn collection(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<KnowledgeRow>> {
    KnowledgeRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Removes the file and its places in collections, chats and channels.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    for table in ["knowledge_file", "chat_file", "channel_file"] {
        sql(format!("DELETE FROM {table} WHERE file_id = ?"), args![id])
            .execute(&mut tx)
            .await?;
    }
    FileRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Removes all files and their places.
#[boxed]
pub async fn delete_all(db: &Db) -> DbResult<()> {
    let mut tx = db.begin().await?;
    for table in ["knowledge_file", "chat_file", "channel_file"] {
        sql(format!("DELETE FROM {table}"), args![])
            .execute(&mut tx)
            .await?;
    }
    FileRow::delete(&mut tx, "", args![]).await?;
    tx.commit().await
}

/// Fails the files that were being worked on when the process ended: nobody works on them any more. Answers their
/// number.
#[boxed]
pub async fn fail_interrupted(db: &Db, error: &str) -> DbResult<usize> {
    let mut failed = 0;
    // This only narrows down what is looked at. The state stands first in what an upload writes.
    let text = "SELECT id FROM (SELECT id, substr(CAST(data AS TEXT), 1, 80) AS start FROM file) f \
                WHERE start LIKE '%\"status\"%pending%' OR start LIKE '%\"status\"%processing%'";
    let ids = sql(text, args![]).all(db).await?;
    for row in &ids {
        let id: String = row.at(0)?;
        let state = status(db, &id).await?.and_then(|(state, _)| state);
        if matches!(state.as_deref(), Some("pending" | "processing")) {
            set_failed(db, &id, error, false).await?;
            failed += 1;
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn file(id: &str, name: &str) -> FileRow {
        FileRow {
            id: id.into(),
            user_id: "u".into(),
            hash: None,
            filename: name.into(),
            path: Some(format!("/x/{id}")),
            data: Some(json!({"status": "pending"})),
            meta: Some(json!({"name": name, "size": 3, "data": {}})),
            created_at: Some(1),
            updated_at: Some(1),
        }
    }

    #[test]
    fn globs_become_patterns() {
        assert_eq!(like_pattern("*.t_t?"), r"%.t\_t_");
        assert_eq!(like_pattern("*"), "%");
    }

    #[test]
    fn old_content_types_are_mended() {
        let shown = shown_meta(Some(&json!({"content_type": [null, "a/b"], "more": 1})));
        assert_eq!(
            shown,
            json!({"name": null, "content_type": "a/b", "size": null, "more": 1})
        );
        assert_eq!(
            shown_meta(Some(&json!({"content_type": 3})))["content_type"],
            Value::Null
        );
        assert_eq!(shown_meta(None), Value::Null);
    }

    #[tokio::test]
    async fn a_file_is_worked_on() {
        for db in testing::databases().await {
            worked_on(&db).await;
        }
    }

    async fn worked_on(db: &Db) {
        file("a", "A.txt").insert(db).await.unwrap();
        file("b", "b_c.md").insert(db).await.unwrap();
        assert!(set_content(db, "a", "text").await.unwrap());
        assert!(set_indexed(db, "a", "h", Some("file-a")).await.unwrap());
        assert!(set_completed(db, "a").await.unwrap());
        let row = by_id(db, "a").await.unwrap().unwrap();
        assert_eq!(row.content(), "text");
        assert_eq!(row.hash.as_deref(), Some("h"));
        assert_eq!(row.meta_text("collection_name"), Some("file-a"));
        assert_eq!(
            status(db, "a").await.unwrap(),
            Some((Some("completed".into()), None))
        );
        set_failed(db, "a", "broken", true).await.unwrap();
        assert_eq!(
            status(db, "a").await.unwrap(),
            Some((Some("failed".into()), Some("broken".into())))
        );
        assert_eq!(by_id(db, "a").await.unwrap().unwrap().hash, None);
        assert_eq!(status(db, "x").await.unwrap(), None);
        assert!(!set_processing(db, "x").await.unwrap());
        let renamed = rename(db, "a", "New.txt").await.unwrap().unwrap();
        assert_eq!(
            (renamed.filename.as_str(), renamed.meta_text("name")),
            ("New.txt", Some("New.txt"))
        );
        assert_eq!(fail_interrupted(db, "cut off").await.unwrap(), 1);
        assert_eq!(
            status(db, "b").await.unwrap(),
            Some((Some("failed".into()), Some("cut off".into())))
        );
    }

    #[tokio::test]
    async fn names_are_searched_with_wildcards() {
        for db in testing::databases().await {
            searched(&db).await;
        }
    }

    async fn searched(db: &Db) {
        file("a", "Report.TXT").insert(db).await.unwrap();
        file("b", "b_c.md").insert(db).await.unwrap();
        let found = async |pattern: &str, user: Option<&str>| {
            let rows = search(db, user, pattern, 0, 10).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>().concat()
        };
        assert_eq!(found("*.txt", Some("u")).await, "a");
        assert_eq!(found("b_?.md", None).await, "b");
        assert_eq!(found("b?c.md", None).await, "b");
        assert_eq!(found("_*", None).await, "");
        assert_eq!(found("*", None).await, "ba");
        assert_eq!(found("*", Some("v")).await, "");
        assert_eq!(count(db, Some("u")).await.unwrap(), 2);
        assert_eq!(page(db, None, 1, 5).await.unwrap()[0].id, "a");
        delete_all(db).await.unwrap();
        assert_eq!(count(db, None).await.unwrap(), 0);
    }
}
