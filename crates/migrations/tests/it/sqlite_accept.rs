//! SQLite files that the original wrote.

use oui_migrations::Outcome;
use sqlx::{Connection, Executor};

use crate::support::{connect, fixture, hashes, names, own_objects, rows, run, start, texts};

const BACKUP: &str = "webui.db.backup-20260131T235959Z";

#[tokio::test]
async fn the_originals_database_is_opened_with_a_backup_and_all_its_rows() {
    let database = fixture();
    let before = rows(&database.path()).await;
    assert_eq!(before["config"].len(), 378);
    assert_eq!(before["chat_message"].len(), 4);

    let backup = database.folder().join(BACKUP);
    assert_eq!(
        start(&database).await.unwrap(),
        Outcome::Opened {
            backup: Some(backup.clone())
        }
    );
    assert_eq!(rows(&database.path()).await, before);
    assert!(
        own_objects(&database.path())
            .await
            .iter()
            .any(|name| name == "oui_stream_journal")
    );
    assert_eq!(names(database.folder()), ["webui.db", BACKUP]);

    assert_eq!(rows(&backup).await, before);
    assert_eq!(own_objects(&backup).await, [""; 0]);
}

#[tokio::test]
async fn a_second_start_makes_no_second_backup() {
    let database = fixture();
    start(&database).await.unwrap();
    let after = hashes(database.folder());
    assert_eq!(start(&database).await.unwrap(), Outcome::AlreadyOurs);
    assert_eq!(hashes(database.folder()), after);
    assert_eq!(after.len(), 2);
}

#[tokio::test]
async fn a_backup_of_the_same_second_is_not_overwritten() {
    let database = fixture();
    std::fs::write(database.folder().join(BACKUP), "older").unwrap();
    let backup = database.folder().join(format!("{BACKUP}-2"));
    assert_eq!(
        start(&database).await.unwrap(),
        Outcome::Opened { backup: Some(backup) }
    );
    assert_eq!(
        std::fs::read_to_string(database.folder().join(BACKUP)).unwrap(),
        "older"
    );
}

#[tokio::test]
async fn tables_that_neither_server_knows_are_kept_and_copied() {
    let database = fixture();
    run(
        &database.path(),
        "CREATE TABLE \"my \"\"notes\" (n); INSERT INTO \"my \"\"notes\" VALUES (7)",
    )
    .await;
    start(&database).await.unwrap();
    for path in [database.path(), database.folder().join(BACKUP)] {
        assert_eq!(
            texts(&path, "SELECT CAST(n AS TEXT) FROM \"my \"\"notes\"").await,
            ["7"]
        );
    }
}

/// A server that was killed leaves rows in the write-ahead log that the file itself does not have.
#[tokio::test]
async fn rows_in_the_write_ahead_log_are_taken_over() {
    let (running, database) = (fixture(), fixture());
    let mut connection = connect(&running.path()).await;
    connection
        .execute("UPDATE chat SET title = 'from the log'")
        .await
        .unwrap();
    for name in ["webui.db", "webui.db-wal"] {
        std::fs::copy(running.folder().join(name), database.folder().join(name)).unwrap();
    }
    connection.close().await.unwrap();

    assert!(matches!(start(&database).await.unwrap(), Outcome::Opened { .. }));
    for path in [database.path(), database.folder().join(BACKUP)] {
        assert_eq!(
            texts(&path, "SELECT DISTINCT title FROM chat").await,
            ["from the log"]
        );
    }
}

/// Without the write-ahead log, a killed server leaves half a transaction in the file and its undoing beside it.
#[tokio::test]
async fn an_interrupted_transaction_is_rolled_back_first() {
    let (running, database) = (fixture(), fixture());
    run(&running.path(), "PRAGMA journal_mode = DELETE").await;
    let before = rows(&running.path()).await;
    let mut connection = connect(&running.path()).await;
    connection
        .execute("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN")
        .await
        .unwrap();
    connection
        .execute("UPDATE config SET value = '\"half done\"'; DELETE FROM alembic_version")
        .await
        .unwrap();
    for name in ["webui.db", "webui.db-journal"] {
        std::fs::copy(running.folder().join(name), database.folder().join(name)).unwrap();
    }
    connection.execute("ROLLBACK").await.unwrap();
    connection.close().await.unwrap();
    let torn = std::fs::read(database.path()).unwrap();
    assert!(
        torn.windows(9).any(|bytes| bytes == b"half done"),
        "the file holds part of the transaction"
    );

    assert!(matches!(start(&database).await.unwrap(), Outcome::Opened { .. }));
    assert_eq!(rows(&database.path()).await, before);
    assert_eq!(names(database.folder()), ["webui.db", BACKUP]);
}
