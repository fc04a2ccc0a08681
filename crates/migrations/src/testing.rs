//! Databases for tests, of this crate and of every other one (feature `testing`). A test gets a database of its own,
//! prepared and gone afterwards; SQLite files lie in a temporary folder, PostgreSQL databases on the server of
//! `scripts/test-services.sh`.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot have its database must fail"
)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use crate::own::MIGRATIONS;
use crate::reference::POSTGRES_SCHEMA;
use crate::{SqlitePragmas, Synchronous, Target, prepare};

/// The time at which test databases were prepared, in seconds.
pub const PREPARED_AT: i64 = 1_700_000_000;

/// An SQLite file in a folder of its own.
#[derive(Debug)]
pub struct SqliteDatabase {
    folder: TempDir,
}

impl SqliteDatabase {
    /// An empty folder; the file does not exist yet.
    pub fn missing() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    /// A file that `prepare` has created. It is made once per process and copied.
    pub async fn prepared() -> Self {
        static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
        let database = Self::missing();
        if let Some(bytes) = TEMPLATE.get() {
            std::fs::write(database.path(), bytes).expect("a copy of the prepared file");
        } else {
            prepare(&database.target(), PREPARED_AT)
                .await
                .expect("a prepared database");
            let bytes = std::fs::read(database.path()).expect("the prepared file");
            TEMPLATE.get_or_init(|| bytes);
        }
        database
    }

    /// Where the file is or will be.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("webui.db")
    }

    /// The folder, which holds nothing else.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// For [`prepare`] and the pool: the usual settings, but without waiting for the disk.
    pub fn target(&self) -> Target {
        let pragmas = SqlitePragmas {
            synchronous: Some(Synchronous::Off),
            ..SqlitePragmas::default()
        };
        Target::Sqlite {
            path: self.path(),
            pragmas,
        }
    }
}

/// The server that OUI_TEST_POSTGRES_URL names, with a role that may create databases.
#[derive(Clone, Debug)]
pub struct PostgresServer {
    options: PgConnectOptions,
}

impl PostgresServer {
    /// The server, or `None` when the variable is not set: the caller then leaves its test out, and a line says so.
    ///
    /// # Panics
    /// When the variable is not set although CI=true is, or is not a URL.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration to take this from"
    )]
    pub fn from_env() -> Option<Self> {
        let Ok(url) = std::env::var("OUI_TEST_POSTGRES_URL") else {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(
                !ci,
                "CI runs every test on PostgreSQL too, but OUI_TEST_POSTGRES_URL is not set"
            );
            eprintln!(
                "not tested on PostgreSQL: OUI_TEST_POSTGRES_URL is not set, see scripts/test-services.sh"
            );
            return None;
        };
        Some(Self {
            options: PgConnectOptions::from_str(&url).expect("OUI_TEST_POSTGRES_URL is a URL"),
        })
    }

    /// Options for the database that the variable names.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A new database without tables.
    pub async fn empty_database(&self) -> PostgresDatabase {
        self.database("template1").await
    }

    /// A new database that `prepare` has created. It is made once per server and schema, and cloned.
    pub async fn prepared_database(&self) -> PostgresDatabase {
        static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
        let template = TEMPLATE.get_or_init(|| self.template()).await;
        self.database(template).await
    }

    async fn database(&self, template: &str) -> PostgresDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("oui_test_{}_{number}", std::process::id());
        let mut server = self.connect().await;
        // The rest of a killed process that had the same number.
        run(
            &mut server,
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )
        .await;
        run(&mut server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        server.close().await.expect("a closed connection");
        PostgresDatabase {
            server: self.clone(),
            name,
        }
    }

    /// Name of a prepared database, which is made if the server has none of this schema.
    async fn template(&self) -> String {
        let mut hasher = DefaultHasher::new();
        POSTGRES_SCHEMA.hash(&mut hasher);
        MIGRATIONS
            .iter()
            .for_each(|migration| migration.sql.hash(&mut hasher));
        let name = format!("oui_template_{:016x}", hasher.finish());
        let unfinished = format!("{name}_unfinished");
        let mut server = self.connect().await;
        // Held until the connection closes: one process makes the template, the others wait for it.
        run(&mut server, "SELECT pg_advisory_lock(1869965678)".to_owned()).await;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .fetch_one(&mut server)
            .await
            .expect("the list of databases");
        if !exists {
            run(
                &mut server,
                format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
            )
            .await;
            run(&mut server, format!("CREATE DATABASE {unfinished}")).await;
            let options = Box::new(self.options.clone().database(&unfinished));
            prepare(
                &Target::Postgres {
                    options,
                    schema: None,
                },
                PREPARED_AT,
            )
            .await
            .expect("a prepared database");
            run(
                &mut server,
                format!("ALTER DATABASE {unfinished} RENAME TO {name}"),
            )
            .await;
        }
        server.close().await.expect("a closed connection");
        name
    }

    async fn connect(&self) -> PgConnection {
        self.options
            .clone()
            .disable_statement_logging()
            .connect()
            .await
            .expect("a connection to the test server")
    }
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .expect("an administrative statement");
}

/// A PostgreSQL database that is dropped with this value, connections or not.
#[derive(Debug)]
pub struct PostgresDatabase {
    server: PostgresServer,
    name: String,
}

impl PostgresDatabase {
    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Options to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.server.options.clone().database(&self.name)
    }

    /// For [`prepare`] and the pool.
    pub fn target(&self) -> Target {
        Target::Postgres {
            options: Box::new(self.options()),
            schema: None,
        }
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own, since the test's runtime may be the one that is running this.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut connection = server.connect().await;
                run(
                    &mut connection,
                    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                )
                .await;
                connection.close().await.expect("a closed connection");
            });
        });
        if dropped.join().is_err() {
            eprintln!("the test database {} was left behind", self.name);
        }
    }
}
