//! PostgreSQL databases: connecting, looking, creating the schema and adding our own tables. Every change happens in
//! a transaction that holds a lock of ours, so that several nodes may start at once.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};

use crate::Outcome;
use crate::error::MigrationError;
use crate::own::{HISTORY_QUERY, MIGRATIONS, apply_next};
use crate::reference::{POSTGRES_SCHEMA, REVISION};
use crate::verdict::{Found, Verdict, judge};

/// Key of the advisory lock that nodes of this server hold while they change the schema; any fixed number.
const LOCK: i64 = 0x6f75_695f_6d69_6772;

/// How long a connection attempt may take; libpq itself would wait for the operating system's two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Tables by which an installation in the schema `public` is recognised, the original's own test.
const MARKS: [&str; 4] = ["alembic_version", "auth", "chat", "config"];

/// Options for connections that find their tables in `schema` (DATABASE_SCHEMA), if one is given. Extensions stay
/// reachable in `public`.
pub fn postgres_options(options: PgConnectOptions, schema: Option<&str>) -> PgConnectOptions {
    match schema {
        Some(schema) => {
            let quoted = schema.replace('"', "\"\"");
            options.options([("search_path", format!("\"{quoted}\",public"))])
        }
        None => options,
    }
}

/// See [`crate::prepare`].
pub(crate) async fn prepare(
    options: &PgConnectOptions,
    schema: Option<&str>,
    now: i64,
) -> Result<Outcome, MigrationError> {
    let server = Server {
        place: describe(options, schema),
        schema,
    };
    let mut connection = server.connect(options).await?;
    let result = server.change(&mut connection, now).await;
    // The answer to what was asked matters more than how the connection ended.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the connection that prepared the database failed");
    }
    result
}

fn describe(options: &PgConnectOptions, schema: Option<&str>) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let schema = schema.map(|name| format!(", schema {name}")).unwrap_or_default();
    format!("PostgreSQL database {database} at {host} (user {user}{schema})")
}

struct Server<'a> {
    place: String,
    schema: Option<&'a str>,
}

impl Server<'_> {
    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection, MigrationError> {
        let options = postgres_options(options.clone(), self.schema).disable_statement_logging();
        match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
            Ok(connected) => connected.map_err(|error| self.failed("connecting", error)),
            Err(_) => Err(MigrationError::Unreachable {
                place: self.place.clone(),
                found: format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs()),
            }),
        }
    }

    async fn change(&self, connection: &mut PgConnection, now: i64) -> Result<Outcome, MigrationError> {
        let verdict = self.look(connection).await?;
        if verdict == Verdict::Original {
            tracing::warn!(
                database = %self.place,
                "first opening of an existing database: tables of our own (oui_...) are added to it now; \
                 keep a dump (pg_dump) from before, this server makes none"
            );
        }
        let mut created = false;
        // Each round decides under the lock: another node may have done the step meanwhile.
        while let Some(step) = self.step(connection, now).await? {
            created |= step == Verdict::Empty;
        }
        Ok(match verdict {
            _ if created => Outcome::Created,
            Verdict::Original => Outcome::Opened { backup: None },
            Verdict::Empty | Verdict::Ours { .. } => Outcome::AlreadyOurs,
        })
    }

    /// Reads and judges the database.
    async fn look(&self, connection: &mut PgConnection) -> Result<Verdict, MigrationError> {
        let reading = |error| self.failed("reading its tables", error);
        let schema = self.schema_name(connection).await?;
        let found = read(connection, &schema).await.map_err(reading)?;
        if found.tables.is_empty() && self.schema.is_some() && schema != "public" {
            let mut elsewhere = read(connection, "public").await.map_err(reading)?.tables;
            elsewhere.retain(|table, _| MARKS.contains(&table.as_str()));
            if !elsewhere.is_empty() {
                let tables = elsewhere.into_keys().collect();
                return Err(MigrationError::OtherSchema {
                    place: self.place.clone(),
                    tables,
                });
            }
        }
        judge(&self.place, &found)
    }

    async fn schema_name(&self, connection: &mut PgConnection) -> Result<String, MigrationError> {
        // The current schema is the first of the search path that exists, so a missing one shows as another.
        let current: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
            .fetch_one(connection)
            .await
            .map_err(|error| self.failed("reading its schema", error))?;
        match (current, self.schema) {
            (Some(current), None) => Ok(current),
            (Some(current), Some(wanted)) if current == wanted => Ok(current),
            _ => Err(MigrationError::NoSchema {
                place: self.place.clone(),
            }),
        }
    }

    /// Does the next thing that is missing, in a transaction; tells what the database was before, or `None` when
    /// nothing is missing.
    async fn step(&self, connection: &mut PgConnection, now: i64) -> Result<Option<Verdict>, MigrationError> {
        let changing = |error| self.failed("changing it", error);
        let mut transaction = connection.begin().await.map_err(changing)?;
        let verdict = self.look(&mut transaction).await?;
        if verdict.is_current() {
            transaction.rollback().await.map_err(changing)?;
            return Ok(None);
        }
        // Only now: a database that needs nothing must not wait for nodes that hold the lock.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(changing)?;
        let verdict = self.look(&mut transaction).await?;
        match verdict {
            Verdict::Empty => create(&mut transaction, now).await.map_err(changing)?,
            _ => apply_next::<Postgres>(&mut transaction, verdict.applied(), now)
                .await
                .map_err(changing)?,
        }
        transaction.commit().await.map_err(changing)?;
        Ok(Some(verdict))
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> MigrationError {
        let place = self.place.clone();
        if let sqlx::Error::Io(error) = &source {
            return MigrationError::Unreachable {
                place,
                found: error.to_string(),
            };
        }
        let Some(error) = source.as_database_error() else {
            return MigrationError::Database { place, doing, source };
        };
        let found = error.message().to_owned();
        // SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
        match error.code().as_deref() {
            Some("28000" | "28P01") => MigrationError::Login { place, found },
            Some("3D000") => MigrationError::NoDatabase { place },
            Some("42501") => MigrationError::Rights { place, found },
            Some("25006") => MigrationError::ReadOnly { place, found },
            Some("57P01" | "57P02" | "57P03" | "53300") => MigrationError::Unreachable { place, found },
            _ => MigrationError::Database { place, doing, source },
        }
    }
}

/// The whole schema, its revision and our own tables.
async fn create(connection: &mut PgConnection, now: i64) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(POSTGRES_SCHEMA).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO alembic_version (version_num) VALUES ($1)")
        .bind(REVISION)
        .execute(&mut *connection)
        .await?;
    for applied in 0..MIGRATIONS.len() {
        apply_next::<Postgres>(connection, applied, now).await?;
    }
    Ok(())
}

/// Tables, columns, revision and our history in `schema`. Tables that belong to an extension are left out.
async fn read(connection: &mut PgConnection, schema: &str) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attribute a
                ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                           WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')",
    )
    .bind(schema)
    .fetch_all(&mut *connection)
    .await?;
    for (table, column) in rows {
        found.tables.entry(table).or_default().extend(column);
    }
    // The search path begins with `schema` whenever these tables are read for a verdict.
    if found.has_revision() {
        found.revisions = sqlx::query_scalar("SELECT version_num FROM alembic_version ORDER BY version_num")
            .fetch_all(&mut *connection)
            .await?;
    }
    if found.has_history() {
        found.history = sqlx::query_as(HISTORY_QUERY).fetch_all(&mut *connection).await?;
    }
    Ok(found)
}
