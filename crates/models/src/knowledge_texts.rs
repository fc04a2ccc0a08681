//! Texts of files in collections, as models look through them. Which files there are is in
//! [`knowledge`](crate::knowledge).

use oui_core::boxed;
use serde_json::Value;

use crate::args;
use crate::db::{Arg, Db, DbResult, Dialect, placeholders, sql};
use crate::knowledge::KnowledgeRow;
use crate::shared::{Filter, Reader};

/// A file in a collection, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct FileText {
    /// File id.
    pub id: String,
    /// Name shown.
    pub filename: String,
    /// Text; empty when none was extracted.
    pub content: String,
    /// Seconds.
    pub created_at: Option<i64>,
    /// Seconds.
    pub updated_at: Option<i64>,
}

fn content(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "json_extract(f.data, '$.content')",
        Dialect::Postgres => "(f.data ->> 'content')",
    }
}

/// Ids of the files in these collections, each once, by name.
#[boxed]
pub async fn file_ids(db: &Db, knowledge_ids: &[String]) -> DbResult<Vec<String>> {
    if knowledge_ids.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT f.id FROM file f JOIN knowledge_file k ON k.file_id = f.id WHERE k.knowledge_id IN ({}) \
         GROUP BY f.id, f.filename ORDER BY f.filename, f.id",
        placeholders(knowledge_ids.len())
    );
    let rows = sql(text, knowledge_ids.iter().map(Arg::from).collect())
        .all(db)
        .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// These files with their texts, in the order of the ids; files that are gone are left out.
#[boxed]
pub async fn of_files(db: &Db, ids: &[String]) -> DbResult<Vec<FileText>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT f.id, f.filename, {}, f.created_at, f.updated_at FROM file f WHERE f.id IN ({})",
        content(db.dialect()),
        placeholders(ids.len())
    );
    let rows = sql(text, ids.iter().map(Arg::from).collect()).all(db).await?;
    let mut files = Vec::with_capacity(rows.len());
    for row in &rows {
        files.push(FileText {
            id: row.at(0)?,
            filename: row.at::<Option<String>>(1)?.unwrap_or_default(),
            content: row.at::<Option<String>>(2)?.unwrap_or_default(),
            created_at: row.at(3)?,
            updated_at: row.at(4)?,
        });
    }
    files.sort_by_key(|file| ids.iter().position(|id| *id == file.id));
    Ok(files)
}

/// The first collection with this file that the reader may read.
#[boxed]
pub async fn collection_of(db: &Db, file_id: &str, reader: Reader<'_>) -> DbResult<Option<KnowledgeRow>> {
    let condition = "EXISTS (SELECT 1 FROM knowledge_file k WHERE k.knowledge_id = r.id AND k.file_id = ?)";
    let filter = Filter::readable(reader, "r.updated_at DESC, r.id")
        .and((condition.to_owned(), args![file_id]))
        .page(1, 1);
    let found = crate::shared::list::<KnowledgeRow>(db, &filter).await?;
    Ok(found.into_iter().next().map(|entry| entry.row))
}

/// Collections that the reader may read, whose name or description has the text.
#[boxed]
pub async fn collections(
    db: &Db,
    reader: Reader<'_>,
    query: &str,
    window: (i64, i64),
) -> DbResult<Vec<KnowledgeRow>> {
    let mut filter = Filter::readable(reader, "r.updated_at DESC, r.id");
    if !query.is_empty() {
        filter = filter.and(crate::shared::contains(&["r.name", "r.description"], query));
    }
    filter.window = Some(window);
    let found = crate::shared::list::<KnowledgeRow>(db, &filter).await?;
    Ok(found.into_iter().map(|entry| entry.row).collect())
}

/// The collection, when the reader may read it.
#[boxed]
pub async fn readable(db: &Db, id: &str, reader: &Reader<'_>) -> DbResult<Option<KnowledgeRow>> {
    let found = crate::shared::get::<KnowledgeRow>(db, id).await?;
    Ok(found
        .filter(|entry| entry.permits(reader, "read"))
        .map(|entry| entry.row))
}

/// Whether the collection lies in a service elsewhere, so that it has no files here.
pub fn is_external(row: &KnowledgeRow) -> bool {
    row.meta
        .as_ref()
        .and_then(|meta| meta.get("source"))
        .and_then(Value::as_str)
        == Some("external")
}
