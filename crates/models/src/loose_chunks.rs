//! Chunks of files that may lie in a collection without their files being in it: the vectors are kept elsewhere, so no
//! transaction spans both. A note stands in `oui_meta` from before the moment until both agree again; what is noted at
//! start was cut off by a crash.

use oui_core::boxed;

use crate::args;
use crate::db::{Conn, DbResult, Tx, placeholders, sql};

/// Keys are this, the collection, a colon and the file; values are seconds.
const PREFIX: &str = "loose:";

/// A file whose chunks may have to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// Collection.
    pub knowledge_id: String,
    /// File.
    pub file_id: String,
}

fn key(knowledge_id: &str, file_id: &str) -> String {
    format!("{PREFIX}{knowledge_id}:{file_id}")
}

/// Notes files that are about to be put into a collection. The note goes with
/// [`knowledge_edits::link`](crate::knowledge_edits::link).
#[boxed]
pub async fn note(tx: &mut Tx, knowledge_id: &str, files: &[&str]) -> DbResult<()> {
    let now = tx.db().now();
    for file_id in files {
        let text = "INSERT INTO oui_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        sql(text, args![key(knowledge_id, file_id), now.to_string()])
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Notes all files that are in one of the folders, or with none in the collection, and are about to leave it.
#[boxed]
pub(crate) async fn note_leaving(tx: &mut Tx, knowledge_id: &str, folders: &[String]) -> DbResult<()> {
    let mut args = args![PREFIX, tx.db().now().to_string(), knowledge_id];
    let mut condition = String::new();
    if !folders.is_empty() {
        condition = format!("AND directory_id IN ({})", placeholders(folders.len()));
        args.extend(folders.iter().map(crate::db::Arg::from));
    }
    let text = format!(
        "INSERT INTO oui_meta (key, value) SELECT CAST(? AS text) || knowledge_id || ':' || file_id, CAST(? AS text) \
         FROM knowledge_file WHERE knowledge_id = ? {condition} \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    );
    sql(text, args).execute(tx).await?;
    Ok(())
}

/// Takes a note back: collection and vectors agree.
#[boxed]
pub async fn settle(conn: impl Into<Conn<'_>>, knowledge_id: &str, file_id: &str) -> DbResult<()> {
    sql(
        "DELETE FROM oui_meta WHERE key = ?",
        args![key(knowledge_id, file_id)],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes all notes of a collection back, whose vectors are gone.
#[boxed]
pub async fn settle_all(conn: impl Into<Conn<'_>>, knowledge_id: &str) -> DbResult<()> {
    let start = key(knowledge_id, "");
    let length = i64::try_from(start.chars().count()).unwrap_or(i64::MAX);
    sql(
        "DELETE FROM oui_meta WHERE substr(key, 1, CAST(? AS integer)) = ?",
        args![length, start],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was noted before a time, in seconds.
#[boxed]
pub async fn noted_before(conn: impl Into<Conn<'_>>, time: i64) -> DbResult<Vec<Loose>> {
    let length = i64::try_from(PREFIX.len()).unwrap_or(i64::MAX);
    let rows = sql(
        "SELECT key, value FROM oui_meta WHERE substr(key, 1, CAST(? AS integer)) = ? ORDER BY key",
        args![length, PREFIX],
    )
    .all(conn)
    .await?;
    let mut found = Vec::new();
    for row in &rows {
        let (key, since): (String, Option<String>) = (row.at(0)?, row.at(1)?);
        let old = since.and_then(|since| since.parse().ok()).unwrap_or(0_i64) < time;
        let place = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
        if let (true, Some((knowledge_id, file_id))) = (old, place) {
            found.push(Loose {
                knowledge_id: knowledge_id.to_owned(),
                file_id: file_id.to_owned(),
            });
        }
    }
    Ok(found)
}
