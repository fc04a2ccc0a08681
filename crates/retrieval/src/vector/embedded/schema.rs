//! The file: its tables, and how it is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{Error, Result};

/// Version of the tables, in the file's `user_version`.
const VERSION: i64 = 1;

/// Entries and their vectors are apart, so that a pass over vectors reads nothing else. `word_change` lists what the
/// index of words has not seen: entries by their number, dropped collections by theirs with a minus.
const TABLES: &str = "
CREATE TABLE collection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL
);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    UNIQUE (collection, key)
);
CREATE INDEX entry_file ON entry (collection, json_extract(metadata, '$.\"file_id\"'));
CREATE INDEX entry_hash ON entry (collection, json_extract(metadata, '$.\"hash\"'));
CREATE TABLE vector (
    entry INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL,
    numbers BLOB NOT NULL
);
CREATE INDEX vector_collection ON vector (collection);
CREATE TABLE word_change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry INTEGER NOT NULL
);
";

/// Opens the file: the writing connection, and a few for reading.
pub(super) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool)> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await
        .map_err(|error| Error::Store(format!("{}: {error}", path.display())))?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&write)
        .await?;
    match version {
        0 => {
            let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(TABLES).execute(&mut *tx).await?;
            sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *tx).await?;
            tx.commit().await?;
        }
        VERSION => {}
        other => {
            return Err(Error::Store(format!(
                "{} has tables of version {other}, made by a newer server",
                path.display()
            )));
        }
    }
    let read = SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(1)
        .connect_with(options.read_only(true).create_if_missing(false))
        .await?;
    Ok((write, read))
}
