//! What the tests of SQLite files share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oui_migrations::testing::SqliteDatabase;
use oui_migrations::{MigrationError, Outcome, expected_tables, prepare};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

/// 2026-01-31 23:59:59 UTC.
pub const NOW: i64 = 1_769_903_999;

/// The file that Open WebUI 0.12.4 wrote; see the README beside it.
pub fn fixture_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference-0.12.4.db")
}

/// A copy of the original's file.
pub fn fixture() -> SqliteDatabase {
    let database = SqliteDatabase::missing();
    std::fs::copy(fixture_path(), database.path()).unwrap();
    database
}

/// Prepares the database as a server would.
pub async fn start(database: &SqliteDatabase) -> Result<Outcome, MigrationError> {
    prepare(&database.target(), NOW).await
}

/// A plain connection that does not touch the journal mode.
pub async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap()
}

/// Runs statements and leaves a single file behind.
pub async fn run(path: &Path, sql: &str) {
    let mut connection = connect(path).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Hashes of all files of a folder.
pub fn hashes(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), hash(&entry.path())))
        .collect()
}

pub fn hash(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Names of the files of a folder.
pub fn names(folder: &Path) -> Vec<String> {
    hashes(folder).into_keys().collect()
}

/// Every row of the original's tables as text with its storage classes.
pub async fn rows(path: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let mut connection = connect(path).await;
    let mut all = BTreeMap::new();
    for (table, columns) in expected_tables() {
        let values: Vec<_> = columns
            .iter()
            .map(|column| format!("typeof(\"{column}\") || quote(\"{column}\")"))
            .collect();
        let query = format!(
            "SELECT {} FROM \"{table}\" ORDER BY 1",
            values.join(" || '|' || ")
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        all.insert(*table, rows.iter().map(|row| row.get::<String, _>(0)).collect());
    }
    connection.close().await.unwrap();
    all
}

/// Texts of a query's first column.
pub async fn texts(path: &Path, query: &'static str) -> Vec<String> {
    let mut connection = connect(path).await;
    let texts = sqlx::query_scalar(query)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    texts
}

/// Tables and indexes of ours.
pub async fn own_objects(path: &Path) -> Vec<String> {
    texts(
        path,
        "SELECT name FROM sqlite_master WHERE name LIKE 'oui#_%' ESCAPE '#' ORDER BY name",
    )
    .await
}
