//! New SQLite files.

use std::collections::BTreeMap;

use oui_migrations::testing::SqliteDatabase;
use oui_migrations::{Outcome, REVISION, SqlitePragmas, Target, expected_tables, prepare};
use sqlx::{Connection, Row};

use crate::support::{NOW, connect, fixture_path, hashes, names, own_objects, run, start, texts};

/// Columns and indexes of every table of the original, as SQLite describes them.
async fn structure(path: &std::path::Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = connect(path).await;
    let queries = [
        "SELECT m.name, 'column ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || coalesce(c.dflt_value, '') \
                || ' ' || c.pk
         FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid",
        "SELECT m.name, 'index ' || i.\"unique\" || i.origin || i.partial || ' ' ||
                coalesce((SELECT group_concat(coalesce(x.name, '?') || x.\"desc\")
                          FROM pragma_index_xinfo(i.name) x WHERE x.key), '')
         FROM sqlite_master m, pragma_index_list(m.name) i
         WHERE m.type = 'table' AND i.name NOT LIKE 'oui#_%' ESCAPE '#' ORDER BY 1, 2",
        "SELECT m.name, 'foreign ' || f.\"from\" || ' ' || f.\"table\" || ' ' || coalesce(f.\"to\", '') || ' ' || f.on_delete
         FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY 1, 2",
        "SELECT tbl_name, name || ' ' || sql FROM sqlite_master
         WHERE type = 'index' AND sql IS NOT NULL AND name NOT LIKE 'oui#_%' ESCAPE '#' ORDER BY 1, 2",
    ];
    let mut structure: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for query in queries {
        for row in sqlx::query(query).fetch_all(&mut connection).await.unwrap() {
            structure.entry(row.get(0)).or_default().push(row.get(1));
        }
    }
    connection.close().await.unwrap();
    structure.retain(|table, _| !table.starts_with("oui_"));
    structure
}

#[tokio::test]
async fn a_new_file_is_built_like_one_of_the_original() {
    let database = SqliteDatabase::missing();
    assert_eq!(start(&database).await.unwrap(), Outcome::Created);
    let (ours, theirs) = (
        structure(&database.path()).await,
        structure(&fixture_path()).await,
    );
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        expected_tables().keys().collect::<Vec<_>>()
    );
    for (table, description) in theirs {
        assert_eq!(ours[&table], description, "{table}");
    }
    assert_eq!(
        texts(&database.path(), "SELECT version_num FROM alembic_version").await,
        [REVISION]
    );
}

#[tokio::test]
async fn a_new_file_has_our_tables_and_their_record() {
    let database = SqliteDatabase::missing();
    start(&database).await.unwrap();
    let own = own_objects(&database.path()).await;
    for name in [
        "oui_meta",
        "oui_migration",
        "oui_stream_journal",
        "oui_idx_message_channel",
    ] {
        assert!(own.iter().any(|found| found == name), "{name} in {own:?}");
    }
    let record = texts(
        &database.path(),
        "SELECT version || name || applied_at FROM oui_migration ORDER BY version",
    )
    .await;
    assert_eq!(
        record,
        [
            format!("1meta{NOW}"),
            format!("2stream_journal{NOW}"),
            format!("3indexes{NOW}"),
            format!("4quotas{NOW}"),
            format!("5charts{NOW}")
        ]
    );
}

#[tokio::test]
async fn a_new_file_stands_alone_in_its_folder_and_stays_as_it_is() {
    let database = SqliteDatabase::missing();
    start(&database).await.unwrap();
    let before = hashes(database.folder());
    assert_eq!(before.keys().collect::<Vec<_>>(), ["webui.db"]);
    assert_eq!(start(&database).await.unwrap(), Outcome::AlreadyOurs);
    assert_eq!(hashes(database.folder()), before);
}

#[tokio::test]
async fn an_empty_file_counts_as_new() {
    let database = SqliteDatabase::missing();
    std::fs::write(database.path(), "").unwrap();
    assert_eq!(start(&database).await.unwrap(), Outcome::Created);
    assert_eq!(names(database.folder()), ["webui.db"]);
}

#[tokio::test]
async fn the_journal_mode_follows_the_settings() {
    let database = SqliteDatabase::missing();
    let path = database.path();
    for (wal, outcome, mode) in [
        (false, Outcome::Created, "delete"),
        (true, Outcome::AlreadyOurs, "wal"),
        (false, Outcome::AlreadyOurs, "delete"),
    ] {
        let pragmas = SqlitePragmas {
            wal,
            ..SqlitePragmas::default()
        };
        let target = Target::Sqlite {
            path: path.clone(),
            pragmas,
        };
        assert_eq!(prepare(&target, NOW).await.unwrap(), outcome);
        assert_eq!(texts(&path, "PRAGMA journal_mode").await, [mode]);
        assert_eq!(names(database.folder()), ["webui.db"]);
    }
}

#[tokio::test]
async fn a_server_may_prepare_its_database_in_a_task() {
    let database = SqliteDatabase::missing();
    let target = database.target();
    let task = tokio::spawn(async move { prepare(&target, NOW).await });
    assert_eq!(task.await.unwrap().unwrap(), Outcome::Created);
}

#[tokio::test]
async fn of_two_servers_that_start_together_one_creates() {
    let database = SqliteDatabase::missing();
    let (first, second) = tokio::join!(start(&database), start(&database));
    let outcomes = [first.unwrap(), second.unwrap()];
    assert!(
        outcomes.contains(&Outcome::Created) && outcomes.contains(&Outcome::AlreadyOurs),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_server_waits_longer_for_the_creator_than_a_statement_does() {
    let database = SqliteDatabase::missing();
    let target = || match database.target() {
        Target::Sqlite { path, pragmas } => Target::Sqlite {
            path,
            pragmas: SqlitePragmas {
                busy_timeout: Some(1),
                ..pragmas
            },
        },
        other => other,
    };
    let (one, two) = (target(), target());
    let (first, second) = tokio::join!(prepare(&one, NOW), prepare(&two, NOW));
    let outcomes = [first.unwrap(), second.unwrap()];
    assert!(
        outcomes.contains(&Outcome::Created) && outcomes.contains(&Outcome::AlreadyOurs),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn migrations_that_are_new_are_applied_without_a_backup() {
    let database = SqliteDatabase::prepared().await;
    let path = database.path();
    let complete = own_objects(&path).await;
    for index in complete.iter().filter(|name| name.starts_with("oui_idx_")) {
        run(&path, &format!("DROP INDEX {index}")).await;
    }
    for table in ["oui_quota", "oui_quota_usage", "oui_model_price"] {
        run(&path, &format!("DROP TABLE {table}")).await;
    }
    run(&path, "DELETE FROM oui_migration WHERE version >= 3").await;
    assert_eq!(start(&database).await.unwrap(), Outcome::AlreadyOurs);
    assert_eq!(own_objects(&path).await, complete);
    assert_eq!(names(database.folder()), ["webui.db"]);
}
