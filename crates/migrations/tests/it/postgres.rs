//! PostgreSQL databases.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use oui_migrations::testing::{PostgresDatabase, PostgresServer};
use oui_migrations::{MigrationError, Outcome, REVISION, Target, expected_tables, postgres_options, prepare};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::support::NOW;

const SCHEMA: &str = include_str!("../../sql/postgres.sql");

async fn start(database: &PostgresDatabase) -> Result<Outcome, MigrationError> {
    prepare(&database.target(), NOW).await
}

async fn start_in(database: &PostgresDatabase, schema: &str) -> Result<Outcome, MigrationError> {
    let schema = Some(schema.to_owned());
    prepare(
        &Target::Postgres {
            options: Box::new(database.options()),
            schema,
        },
        NOW,
    )
    .await
}

async fn run(options: &PgConnectOptions, sql: &str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn texts(connection: &mut PgConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap()
}

/// Every column, index and constraint outside the system's schemas.
async fn catalogue(options: &PgConnectOptions) -> BTreeSet<String> {
    let mut connection = options.connect().await.unwrap();
    let mut all = BTreeSet::new();
    for query in [
        "SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
         FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
        "SELECT schemaname || ' ' || indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog')",
    ] {
        all.extend(texts(&mut connection, query).await);
    }
    connection.close().await.unwrap();
    all
}

/// The original's database as it stands after its own migrations, with a few rows.
async fn original(server: &PostgresServer) -> PostgresDatabase {
    let database = server.empty_database().await;
    run(&database.options(), SCHEMA).await;
    run(
        &database.options(),
        &format!(
            "INSERT INTO alembic_version VALUES ('{REVISION}');
             INSERT INTO \"user\" (id, email, role) VALUES ('u', 'Ä@example.com', 'admin');
             INSERT INTO config (key, value) VALUES ('ui.name', '\"Fixture\"')"
        ),
    )
    .await;
    database
}

#[tokio::test]
async fn an_empty_database_gets_the_whole_schema() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = server.empty_database().await;
    assert_eq!(start(&database).await.unwrap(), Outcome::Created);
    let after = catalogue(&database.options()).await;

    let mut connection = database.options().connect().await.unwrap();
    let columns = texts(
        &mut connection,
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE 'oui#_%' ESCAPE '#' ORDER BY table_name COLLATE \"C\", ordinal_position",
    )
    .await;
    let expected: Vec<_> = expected_tables()
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")))
        .collect();
    assert_eq!(columns, expected);
    assert_eq!(
        texts(&mut connection, "SELECT version_num FROM alembic_version").await,
        [REVISION]
    );
    let indexes = texts(
        &mut connection,
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'",
    )
    .await;
    let (ours, theirs): (Vec<_>, Vec<_>) = indexes.iter().partition(|name| name.starts_with("oui_"));
    assert_eq!(theirs.len(), 123);
    assert!(
        ours.iter().any(|name| *name == "oui_idx_message_channel"),
        "{ours:?}"
    );
    let record = texts(
        &mut connection,
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
    connection.close().await.unwrap();

    assert_eq!(start(&database).await.unwrap(), Outcome::AlreadyOurs);
    assert_eq!(catalogue(&database.options()).await, after);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_originals_database_is_opened_with_a_warning_before_the_first_change() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = original(&server).await;
    let before = catalogue(&database.options()).await;

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    assert_eq!(start(&database).await.unwrap(), Outcome::Opened { backup: None });
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warning = log.find("WARN").unwrap();
    assert!(
        log[warning..]
            .lines()
            .next()
            .unwrap()
            .contains("keep a dump (pg_dump) from before"),
        "{log}"
    );
    assert!(
        log.find("applied a database migration").unwrap() > warning,
        "{log}"
    );

    let after = catalogue(&database.options()).await;
    assert!(after.is_superset(&before));
    assert!(after.difference(&before).all(|line| line.contains("oui_")));
    let mut connection = database.options().connect().await.unwrap();
    assert_eq!(
        texts(&mut connection, "SELECT email FROM \"user\"").await,
        ["Ä@example.com"]
    );
    assert_eq!(
        texts(&mut connection, "SELECT value::text FROM config").await,
        ["\"Fixture\""]
    );
    connection.close().await.unwrap();
    assert_eq!(start(&database).await.unwrap(), Outcome::AlreadyOurs);
}

#[tokio::test]
async fn other_databases_are_refused_unchanged() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    type Expected = fn(&MigrationError) -> bool;
    let cases: [(&str, Expected); 5] = [
        (
            "UPDATE alembic_version SET version_num = 'c92da83b017f'",
            |error| matches!(error, MigrationError::OlderRevision { .. }),
        ),
        (
            "UPDATE alembic_version SET version_num = 'feedfeedfeed'",
            |error| matches!(error, MigrationError::UnknownRevision { .. }),
        ),
        (
            "DROP TABLE alembic_version",
            |error| matches!(error, MigrationError::Foreign { tables, .. } if tables.len() == 47),
        ),
        (
            "ALTER TABLE chat DROP COLUMN summary",
            |error| matches!(error, MigrationError::Incomplete { missing, .. } if missing == &["chat.summary"]),
        ),
        (
            "CREATE TABLE oui_migration (version bigint, name text); INSERT INTO oui_migration VALUES (1, 'other')",
            |error| matches!(error, MigrationError::OtherHistory { .. }),
        ),
    ];
    for (sql, expected) in cases {
        let database = original(&server).await;
        run(&database.options(), sql).await;
        let before = catalogue(&database.options()).await;
        let error = start(&database).await.unwrap_err();
        assert!(expected(&error), "{sql}: {error}");
        assert_eq!(catalogue(&database.options()).await, before, "{sql}");
    }
}

#[tokio::test]
async fn servers_that_do_not_let_us_in() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let options = server.options().clone();
    let error = |options: PgConnectOptions| async {
        let target = Target::Postgres {
            options: Box::new(options.password("s3cret-pw")),
            schema: None,
        };
        let error = prepare(&target, NOW).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret-pw"), "{error:?}");
        error
    };
    assert!(matches!(
        error(options.clone()).await,
        MigrationError::Login { .. }
    ));
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let unreachable = error(options.clone().port(closed)).await;
    assert!(
        matches!(unreachable, MigrationError::Unreachable { .. }),
        "{unreachable}"
    );
    assert!(
        unreachable.to_string().contains(&format!(":{closed} ")),
        "{unreachable}"
    );

    let target = Target::Postgres {
        options: Box::new(options.database("oui_nowhere")),
        schema: None,
    };
    let error = prepare(&target, NOW).await.unwrap_err();
    assert!(matches!(error, MigrationError::NoDatabase { .. }), "{error}");
    assert!(error.to_string().contains("oui_nowhere"), "{error}");
}

#[tokio::test]
async fn databases_that_may_not_be_changed() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = server.empty_database().await;
    let role = format!("{}_reader", database.name());
    run(
        server.options(),
        &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'reader'"),
    )
    .await;
    let options = Box::new(database.options().username(&role).password("reader"));
    let error = prepare(
        &Target::Postgres {
            options,
            schema: None,
        },
        NOW,
    )
    .await
    .unwrap_err();
    run(server.options(), &format!("DROP ROLE {role}")).await;
    assert!(matches!(error, MigrationError::Rights { .. }), "{error}");

    run(
        server.options(),
        &format!(
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            database.name()
        ),
    )
    .await;
    let error = start(&database).await.unwrap_err();
    assert!(matches!(error, MigrationError::ReadOnly { .. }), "{error}");
    assert!(catalogue(&database.options()).await.is_empty());
}

#[tokio::test]
async fn a_schema_of_its_own() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = server.empty_database().await;
    let name = "Open \"Web\" UI";
    let error = start_in(&database, name).await.unwrap_err();
    assert!(matches!(error, MigrationError::NoSchema { .. }), "{error}");

    run(&database.options(), "CREATE SCHEMA \"Open \"\"Web\"\" UI\"").await;
    assert_eq!(start_in(&database, name).await.unwrap(), Outcome::Created);
    assert_eq!(start_in(&database, name).await.unwrap(), Outcome::AlreadyOurs);
    let all = catalogue(&database.options()).await;
    assert!(
        all.iter().all(|line| line.starts_with("Open \"Web\" UI")),
        "{all:?}"
    );
    let mut connection = postgres_options(database.options(), Some(name))
        .connect()
        .await
        .unwrap();
    assert_eq!(
        texts(&mut connection, "SELECT version_num FROM alembic_version").await,
        [REVISION]
    );
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_schema_beside_an_installation_is_taken_for_a_mistake() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = original(&server).await;
    run(&database.options(), "CREATE SCHEMA elsewhere").await;
    let before = catalogue(&database.options()).await;
    let error = start_in(&database, "elsewhere").await.unwrap_err();
    assert!(
        matches!(&error, MigrationError::OtherSchema { tables, .. } if tables == &["alembic_version", "auth", "chat", "config"]),
        "{error}"
    );
    assert_eq!(catalogue(&database.options()).await, before);
}

#[tokio::test]
async fn of_several_nodes_that_start_together_one_creates() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let database = server.empty_database().await;
    let outcomes = tokio::join!(start(&database), start(&database), start(&database));
    let outcomes = [outcomes.0.unwrap(), outcomes.1.unwrap(), outcomes.2.unwrap()];
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Created)
            .count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::AlreadyOurs)
            .count(),
        2,
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn cloned_databases_are_ready_and_apart() {
    let Some(server) = PostgresServer::from_env() else {
        return;
    };
    let (first, second) = tokio::join!(server.prepared_database(), server.prepared_database());
    assert_ne!(first.name(), second.name());
    run(&first.options(), "INSERT INTO oui_meta VALUES ('a', 'b')").await;
    assert_eq!(start(&second).await.unwrap(), Outcome::AlreadyOurs);
    let mut connection = second.options().connect().await.unwrap();
    assert_eq!(texts(&mut connection, "SELECT key FROM oui_meta").await, [""; 0]);
    connection.close().await.unwrap();
}
