//! SQLite files that must be refused, and left as they were.

use oui_migrations::testing::SqliteDatabase;
use oui_migrations::{BackupError, MigrationError, SqlitePragmas, Target, prepare};
use sqlx::{Connection, Executor};

use crate::support::{NOW, connect, fixture, hash, hashes, run, start};

/// Starts on `database` and hands out the error after comparing every file of the folder.
async fn refused(database: &SqliteDatabase) -> MigrationError {
    let before = hashes(database.folder());
    let error = start(database).await.unwrap_err();
    assert_eq!(hashes(database.folder()), before, "{error}");
    assert!(
        error.to_string().contains(database.folder().to_str().unwrap()),
        "{error}"
    );
    error
}

/// The error for the original's file after some statements.
async fn refused_after(sql: &str) -> MigrationError {
    let database = fixture();
    run(&database.path(), sql).await;
    refused(&database).await
}

#[tokio::test]
async fn other_revisions() {
    let error = refused_after("UPDATE alembic_version SET version_num = 'c92da83b017f'").await;
    assert!(
        matches!(&error, MigrationError::OlderRevision { revision, .. } if revision == "c92da83b017f"),
        "{error}"
    );
    assert!(
        error.to_string().contains("start Open WebUI 0.12.4 on it once"),
        "{error}"
    );
    let error = refused_after("UPDATE alembic_version SET version_num = 'feedfeedfeed'").await;
    assert!(
        matches!(&error, MigrationError::UnknownRevision { revision, .. } if revision == "feedfeedfeed"),
        "{error}"
    );
    let error = refused_after("DELETE FROM alembic_version").await;
    assert!(
        matches!(&error, MigrationError::UnknownRevision { revision, .. } if revision == "none"),
        "{error}"
    );
    let error = refused_after("INSERT INTO alembic_version VALUES ('feedfeedfeed')").await;
    assert!(
        matches!(&error, MigrationError::UnknownRevision { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn no_revision() {
    let error = refused_after("DROP TABLE alembic_version").await;
    assert!(
        matches!(&error, MigrationError::Foreign { tables, .. } if tables.len() == 47),
        "{error}"
    );
    let database = SqliteDatabase::missing();
    std::fs::write(database.path(), "").unwrap();
    run(&database.path(), "CREATE TABLE recipes (id)").await;
    let error = refused(&database).await;
    assert!(
        error
            .to_string()
            .contains("holds 1 table (recipes) and no alembic_version"),
        "{error}"
    );
}

#[tokio::test]
async fn an_incomplete_schema() {
    let error = refused_after("ALTER TABLE chat DROP COLUMN summary; DROP TABLE note").await;
    assert!(
        matches!(&error, MigrationError::Incomplete { missing, .. } if missing == &["chat.summary", "note"]),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_version_of_this_server() {
    let database = SqliteDatabase::prepared().await;
    run(
        &database.path(),
        "INSERT INTO oui_migration VALUES (6, 'of tomorrow', 0)",
    )
    .await;
    let error = refused(&database).await;
    assert!(
        matches!(
            error,
            MigrationError::NewerServer {
                version: 6,
                known: 5,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_revision_that_stands_in_the_log_only() {
    let (running, database) = (fixture(), fixture());
    let mut connection = connect(&running.path()).await;
    connection
        .execute("UPDATE alembic_version SET version_num = 'feedfeedfeed'")
        .await
        .unwrap();
    for name in ["webui.db", "webui.db-wal"] {
        std::fs::copy(running.folder().join(name), database.folder().join(name)).unwrap();
    }
    connection.close().await.unwrap();
    let before = hashes(database.folder());
    let error = start(&database).await.unwrap_err();
    assert!(
        matches!(&error, MigrationError::UnknownRevision { revision, .. } if revision == "feedfeedfeed"),
        "{error}"
    );
    let mut after = hashes(database.folder());
    // Shared memory of readers; it holds nothing that lasts.
    after.remove("webui.db-shm");
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_is_no_database() {
    for content in [
        "no",
        "hello, this is not a database\n",
        &"many words ".repeat(2000),
    ] {
        let database = SqliteDatabase::missing();
        std::fs::write(database.path(), content).unwrap();
        let error = refused(&database).await;
        assert!(matches!(error, MigrationError::NotSqlite { .. }), "{error}");
    }
    let database = SqliteDatabase::missing();
    std::fs::create_dir(database.path()).unwrap();
    assert!(matches!(
        refused(&database).await,
        MigrationError::NotSqlite { .. }
    ));
}

#[tokio::test]
async fn a_damaged_database() {
    let database = fixture();
    let mut bytes = std::fs::read(database.path()).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(database.path(), bytes).unwrap();
    let error = refused(&database).await;
    assert!(matches!(error, MigrationError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_missing() {
    let database = SqliteDatabase::missing();
    let path = database.folder().join("nowhere/webui.db");
    let target = Target::Sqlite {
        path,
        pragmas: SqlitePragmas::default(),
    };
    assert!(matches!(
        prepare(&target, NOW).await.unwrap_err(),
        MigrationError::NoFolder { .. }
    ));
    assert!(hashes(database.folder()).is_empty());
}

fn set_read_only(path: &std::path::Path, on: bool) {
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(on);
    std::fs::set_permissions(path, permissions).unwrap();
}

#[tokio::test]
async fn what_is_marked_read_only() {
    for database in [fixture(), SqliteDatabase::prepared().await] {
        set_read_only(&database.path(), true);
        let error = refused(&database).await;
        assert!(matches!(error, MigrationError::ReadOnly { .. }), "{error}");
    }
    let database = SqliteDatabase::missing();
    set_read_only(database.folder(), true);
    let error = refused(&database).await;
    set_read_only(database.folder(), false);
    assert!(matches!(error, MigrationError::ReadOnly { .. }), "{error}");
}

/// The holder is this process: SQLite keeps its connections apart as it does those of two processes. The file is
/// hashed only while no connection is open, since reading it by other means would drop this process's locks.
async fn refused_while(holding: &'static str) {
    let database = fixture();
    let before = hash(&database.path());
    let mut holder = connect(&database.path()).await;
    holder.execute(holding).await.unwrap();
    let pragmas = SqlitePragmas {
        busy_timeout: Some(50),
        ..SqlitePragmas::default()
    };
    let error = prepare(
        &Target::Sqlite {
            path: database.path(),
            pragmas,
        },
        NOW,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, MigrationError::Locked { .. }), "{error}");
    holder.close().await.unwrap();
    assert_eq!(hash(&database.path()), before);
}

#[tokio::test]
async fn what_another_process_has_locked() {
    refused_while("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").await;
    refused_while("BEGIN IMMEDIATE").await;
}

#[tokio::test]
async fn an_original_that_is_still_running() {
    refused_while("SELECT count(*) FROM chat").await;
}

#[tokio::test]
async fn a_backup_that_cannot_be_made() {
    let database = fixture();
    std::fs::create_dir(database.folder().join("webui.db.backup-20260131T235959Z.partial")).unwrap();
    let error = refused(&database).await;
    assert!(
        matches!(&error, MigrationError::Backup { source: BackupError::Io(_), backup, .. }
            if backup.ends_with("webui.db.backup-20260131T235959Z")),
        "{error}"
    );
    assert!(error.to_string().ends_with("nothing was changed"), "{error}");
}
