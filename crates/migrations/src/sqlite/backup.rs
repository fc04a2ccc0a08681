//! The safety copy of an SQLite database before its first change: `<file>.backup-<UTC time>` beside it, checked
//! before it gets that name.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::error::BackupError;
use crate::verdict::Found;

/// Copies the database of `connection`, which lies at `path` and holds what `found` says, and returns the copy's path.
/// On failure nothing is left behind, and the error tells which path it was to be.
pub(super) async fn make(
    connection: &mut SqliteConnection,
    path: &Path,
    found: &Found,
    now: i64,
) -> Result<PathBuf, (PathBuf, BackupError)> {
    let backup = free_name(path, now);
    let partial = with_suffix(&backup, ".partial");
    match copy(connection, found, &partial, &backup).await {
        Ok(()) => Ok(backup),
        Err(error) => {
            // Absent if SQLite never made it; a rest that cannot be removed must not hide why the copy failed.
            if let Err(rest) = tokio::fs::remove_file(&partial).await {
                tracing::debug!(path = %partial.display(), error = %rest, "no unfinished backup to remove");
            }
            Err((backup, error))
        }
    }
}

async fn copy(
    connection: &mut SqliteConnection,
    found: &Found,
    partial: &Path,
    backup: &Path,
) -> Result<(), BackupError> {
    // SQLite refuses to write into a file that exists; one of this name is the rest of a start that was killed.
    match tokio::fs::remove_file(partial).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let name = partial.to_str().ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidFilename, "the path is not valid UTF-8")
    })?;
    let needed = size(connection).await?;
    sqlx::query("VACUUM INTO $1")
        .bind(name)
        .execute(&mut *connection)
        .await
        .map_err(|error| explained(error, needed))?;
    verify(connection, found, partial).await?;
    tokio::fs::OpenOptions::new()
        .write(true)
        .open(partial)
        .await?
        .sync_all()
        .await?;
    tokio::fs::rename(partial, backup).await?;
    Ok(())
}

/// Size of the database in bytes, the most that its copy can take.
async fn size(connection: &mut SqliteConnection) -> Result<u64, BackupError> {
    let bytes: i64 =
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(connection)
            .await?;
    Ok(bytes.unsigned_abs())
}

fn explained(error: sqlx::Error, needed: u64) -> BackupError {
    match super::code(&error).map(|code| code & 0xff) {
        Some(super::FULL) => BackupError::NoSpace { needed },
        _ => BackupError::Database(error),
    }
}

/// Opens the copy, lets SQLite check it, and compares the number of rows of every table.
async fn verify(connection: &mut SqliteConnection, found: &Found, copy: &Path) -> Result<(), BackupError> {
    let options = SqliteConnectOptions::new()
        .filename(copy)
        .read_only(true)
        .immutable(true);
    let mut copied = options.disable_statement_logging().connect().await?;
    let result = compare(connection, &mut copied, found).await;
    copied.close().await?;
    result
}

async fn compare(
    connection: &mut SqliteConnection,
    copied: &mut SqliteConnection,
    found: &Found,
) -> Result<(), BackupError> {
    let check: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *copied)
        .await?;
    if check != "ok" {
        return Err(BackupError::Damaged(check));
    }
    // Virtual tables have no columns here; their rows live in tables of their own, which are compared.
    for (table, _) in found.tables.iter().filter(|(_, columns)| !columns.is_empty()) {
        let (original, copied) = (count(connection, table).await?, count(copied, table).await?);
        if original != copied {
            return Err(BackupError::Differs {
                table: table.clone(),
                original,
                copied,
            });
        }
    }
    Ok(())
}

async fn count(connection: &mut SqliteConnection, table: &str) -> Result<i64, sqlx::Error> {
    // A quoted identifier: the name comes from the catalogue.
    let query = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(connection)
        .await
}

/// `<file>.backup-20260131T235959Z`, with `-2`, `-3`, ... where that is taken.
fn free_name(path: &Path, now: i64) -> PathBuf {
    let time = OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let stamp = time
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .unwrap_or_else(|_| now.to_string());
    let first = with_suffix(path, &format!(".backup-{stamp}"));
    let mut name = first.clone();
    let mut number = 1;
    while name.exists() {
        number += 1;
        name = with_suffix(&first, &format!("-{number}"));
    }
    name
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31 23:59:59 UTC.
    const NOW: i64 = 1_769_903_999;

    async fn database(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE \"o\"\"dd\" (n); INSERT INTO \"o\"\"dd\" VALUES (1), (2)")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    async fn found(connection: &mut SqliteConnection) -> Found {
        super::super::catalogue::read(connection).await.unwrap()
    }

    #[test]
    fn names_carry_the_time_and_avoid_what_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webui.db");
        let first = free_name(&path, NOW);
        assert_eq!(first.file_name().unwrap(), "webui.db.backup-20260131T235959Z");
        std::fs::write(&first, "").unwrap();
        assert_eq!(
            free_name(&path, NOW).file_name().unwrap(),
            "webui.db.backup-20260131T235959Z-2"
        );
    }

    #[tokio::test]
    async fn a_copy_with_other_rows_is_noticed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut connection = database(&path).await;
        let found = found(&mut connection).await;
        let backup = make(&mut connection, &path, &found, NOW).await.unwrap();
        verify(&mut connection, &found, &backup).await.unwrap();

        sqlx::raw_sql("DELETE FROM \"o\"\"dd\" WHERE n = 2")
            .execute(&mut connection)
            .await
            .unwrap();
        let error = verify(&mut connection, &found, &backup).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the copy holds 2 rows of o\"dd, the database 1"
        );
    }

    #[tokio::test]
    async fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = database(&folder.path().join("a.db")).await;
        let found = found(&mut connection).await;
        let elsewhere = folder.path().join("missing/a.db");
        let (backup, error) = make(&mut connection, &elsewhere, &found, NOW).await.unwrap_err();
        assert!(backup.starts_with(folder.path().join("missing")));
        assert!(matches!(error, BackupError::Database(_)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = database(&folder.path().join("a.db")).await;
        let fill = "PRAGMA max_page_count = 3; CREATE TABLE b (x); INSERT INTO b VALUES (zeroblob(100000))";
        let error = sqlx::raw_sql(fill).execute(&mut connection).await.unwrap_err();
        assert!(matches!(explained(error, 9), BackupError::NoSpace { needed: 9 }));
    }
}
