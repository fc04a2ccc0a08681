//! Tables `knowledge`, `knowledge_directory` and `knowledge_file`: collections of files that models answer from,
//! and the files in them. Texts and embeddings are the retrieval's business.

use oui_core::boxed;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::db::{Arg, Conn, Db, DbResult, Dialect, FromRow, placeholders, sql};
use crate::grants::{self, GrantRow};
use crate::shared::{self, Condition, Reader};
use crate::users::{self, UserRow};
use crate::{args, shared_row, table};

/// `resource_type` of knowledge in the grants.
pub const KIND: &str = "knowledge";

table! {
    /// One collection.
    pub struct KnowledgeRow in "knowledge" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Name shown.
        pub name: String,
        /// Description shown.
        pub description: Option<String>,
        /// `{source, external, ...}` of collections that lie elsewhere.
        pub meta: Option<Value>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: Option<i64>,
    }
}

table! {
    /// One folder inside a collection.
    pub struct DirectoryRow in "knowledge_directory" {
        /// Row id.
        pub id: String,
        /// Collection.
        pub knowledge_id: String,
        /// Folder it lies in.
        pub parent_id: Option<String>,
        /// Name shown.
        pub name: String,
        /// Who made it.
        pub user_id: String,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

shared_row!(KnowledgeRow, KIND);

impl KnowledgeRow {
    /// The collection as routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("meta", json!(self.meta)),
            ("access_grants", shared::grants_json(grants)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

impl DirectoryRow {
    /// The folder as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "knowledge_id": self.knowledge_id, "parent_id": self.parent_id, "name": self.name,
            "user_id": self.user_id, "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

/// Condition: the collection lies elsewhere, or (`external` off) does not.
pub fn source(dialect: Dialect, external: bool) -> Condition {
    let source = match dialect {
        Dialect::Sqlite => "json_extract(r.meta, '$.source')",
        Dialect::Postgres => "(r.meta ->> 'source')",
    };
    let text = if external {
        format!("{source} = 'external'")
    } else {
        // A stored JSON null is no SQL NULL; the reference's condition leaves such rows out only by its
        // three-valued comparison, which this one repeats.
        format!("(r.meta IS NULL OR {source} <> 'external')")
    };
    (text, Vec::new())
}

/// Number of files by collection.
#[boxed]
pub async fn file_counts(conn: impl Into<Conn<'_>>, ids: &[String]) -> DbResult<HashMap<String, i64>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let text = format!(
        "SELECT knowledge_id, COUNT(*) FROM knowledge_file WHERE knowledge_id IN ({}) GROUP BY knowledge_id",
        placeholders(ids.len())
    );
    let rows = sql(text, ids.iter().map(Arg::from).collect()).all(conn).await?;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}

/// All folders of a collection by name.
#[boxed]
pub async fn directories(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<DirectoryRow>> {
    DirectoryRow::list(conn, "WHERE knowledge_id = ? ORDER BY name", args![id]).await
}

table! {
    /// A file as lists of knowledge show it, without its text.
    pub struct FileItem in "file" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Checksum of the content.
        pub hash: Option<String>,
        /// Name shown.
        pub filename: Option<String>,
        /// Where the original is stored.
        pub path: Option<String>,
        /// `{name, content_type, size, ...}`.
        pub meta: Option<Value>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
    }
}

impl FileItem {
    /// `meta` with the declared fields first.
    fn meta(&self) -> Value {
        let Some(Value::Object(stored)) = &self.meta else {
            return Value::Null;
        };
        let mut meta = Map::new();
        for name in ["name", "content_type", "size"] {
            meta.insert(name.to_owned(), stored.get(name).cloned().unwrap_or_default());
        }
        for (name, value) in stored {
            meta.insert(name.clone(), value.clone());
        }
        Value::Object(meta)
    }

    /// The file as lists send it.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("hash", json!(self.hash)),
            ("filename", json!(self.filename)),
            ("data", Value::Null),
            ("meta", self.meta()),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// A file in a collection.
pub struct Linked {
    /// The file.
    pub file: FileItem,
    /// The collection.
    pub knowledge_id: String,
    /// Folder in the collection.
    pub directory_id: Option<String>,
    /// Who put it there.
    pub user: Option<UserRow>,
}

/// Which files to list. Columns: `f` the file, `k` the link to the collection, `r` the collection.
pub struct FileFilter {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// ORDER BY list.
    pub order: String,
    /// Rows to skip and at most to return.
    pub window: (i64, i64),
}

/// Condition: the file's name, and with `content` that many characters of its text too, contains the text.
pub fn file_mentions(dialect: Dialect, query: &str, content: Option<i64>) -> Condition {
    let text = match dialect {
        Dialect::Sqlite => "json_extract(f.data, '$.content')",
        Dialect::Postgres => "(f.data ->> 'content')",
    };
    match content {
        Some(length) => shared::contains(&["f.filename", &format!("SUBSTR({text}, 1, {length})")], query),
        None => shared::contains(&["f.filename"], query),
    }
}

/// Condition: the reader may read the collection; administrators have no advantage here.
pub fn readable(reader: Reader<'_>) -> Condition {
    let (reach, mut args) = grants::reach_condition(KIND, "read", reader.user_id, reader.membership);
    args.insert(0, Arg::from(reader.user_id));
    (
        format!(
            "(r.user_id = ? OR EXISTS (SELECT 1 FROM access_grant WHERE resource_id = r.id AND {reach}))"
        ),
        args,
    )
}

/// Files in collections, and how many there are without the window.
#[boxed]
pub async fn files(db: &Db, filter: &FileFilter) -> DbResult<(Vec<Linked>, i64)> {
    let from =
        "FROM file f JOIN knowledge_file k ON k.file_id = f.id JOIN knowledge r ON r.id = k.knowledge_id";
    let condition: Vec<&str> = filter.conditions.iter().map(|(text, _)| text.as_str()).collect();
    let condition = if condition.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", condition.join(" AND "))
    };
    let mut args: Vec<Arg> = filter
        .conditions
        .iter()
        .flat_map(|(_, args)| args.clone())
        .collect();
    let total = sql(format!("SELECT COUNT(*) {from} {condition}"), args.clone())
        .scalar(db)
        .await?
        .unwrap_or(0);
    let columns: Vec<String> = FileItem::NAMES
        .iter()
        .map(|name| format!("f.\"{name}\""))
        .collect();
    let text = format!(
        "SELECT {}, k.knowledge_id, k.directory_id, k.user_id {from} {condition} ORDER BY {} LIMIT ? OFFSET ?",
        columns.join(", "),
        filter.order
    );
    args.extend([Arg::from(filter.window.1), Arg::from(filter.window.0)]);
    let rows = sql(text, args).all(db).await?;
    let next = FileItem::NAMES.len();
    let users: Vec<String> = rows.iter().map(|row| row.at(next + 2)).collect::<DbResult<_>>()?;
    let accounts = users::by_ids(db, &users).await?;
    let linked = rows.iter().zip(users).map(|(row, user)| {
        Ok(Linked {
            file: FileItem::from_row(row)?,
            knowledge_id: row.at(next)?,
            directory_id: row.at(next + 1)?,
            user: accounts.iter().find(|account| account.id == user).cloned(),
        })
    });
    Ok((linked.collect::<DbResult<_>>()?, total))
}

/// Files that were uploaded for a collection and are not in it yet, newest first, with their `data`.
#[boxed]
pub async fn pending_files(db: &Db, id: &str) -> DbResult<Vec<(FileItem, Value)>> {
    let (target, status) = match db.dialect() {
        Dialect::Sqlite => (
            "json_extract(f.meta, '$.data.knowledge_id')",
            "json_extract(f.data, '$.status')",
        ),
        Dialect::Postgres => ("(f.meta -> 'data' ->> 'knowledge_id')", "(f.data ->> 'status')"),
    };
    let columns: Vec<String> = FileItem::NAMES
        .iter()
        .map(|name| format!("f.\"{name}\""))
        .collect();
    let text = format!(
        "SELECT {}, f.data FROM file f WHERE {target} = ? AND {status} IN ('pending', 'processing') \
         AND f.id NOT IN (SELECT file_id FROM knowledge_file WHERE knowledge_id = ?) ORDER BY f.created_at DESC",
        columns.join(", ")
    );
    let rows = sql(text, args![id, id]).all(db).await?;
    let data = |row: &crate::db::Row| {
        row.at::<Option<Value>>(FileItem::NAMES.len())
            .map(Option::unwrap_or_default)
    };
    rows.iter()
        .map(|row| Ok((FileItem::from_row(row)?, data(row)?)))
        .collect()
}

/// Removes all collections with their folders, links and grants.
#[boxed]
pub async fn remove_all(db: &Db) -> DbResult<()> {
    let mut tx = db.begin().await?;
    for text in [
        "DELETE FROM access_grant WHERE resource_type = 'knowledge'",
        "DELETE FROM knowledge_file",
        "DELETE FROM knowledge_directory",
        "DELETE FROM knowledge",
    ] {
        sql(text, args![]).execute(&mut tx).await?;
    }
    tx.commit().await
}

/// The file with this id.
#[boxed]
pub async fn file(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FileItem>> {
    FileItem::find(conn, "WHERE id = ?", args![id]).await
}

/// The file with this id, when the reader may read it: their own, one in a collection that they may read, or any
/// when `all` is on.
#[boxed]
pub async fn readable_file(db: &Db, id: &str, all: bool, reader: Reader<'_>) -> DbResult<Option<FileItem>> {
    let Some(file) = file(db, id).await? else {
        return Ok(None);
    };
    if all || file.user_id.as_deref() == Some(reader.user_id) {
        return Ok(Some(file));
    }
    let (condition, more) = readable(reader);
    let text = format!(
        "SELECT 1 FROM knowledge_file k JOIN knowledge r ON r.id = k.knowledge_id WHERE k.file_id = ? AND {condition}"
    );
    let mut args = args![id];
    args.extend(more);
    Ok(sql(text, args).first(db).await?.map(|_| file))
}
