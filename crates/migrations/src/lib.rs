//! Databases: making new ones, accepting those of Open WebUI 0.12.4, and adding what only this server needs.
//!
//! The schema is the original's, stamped with its revision, so that either server can open the file. [`prepare`] is
//! called once at start, before any other connection of this process to the database:
//!
//! | the database | what happens |
//! |---|---|
//! | has no tables | the whole schema and our own tables, in one transaction: [`Outcome::Created`] |
//! | is the original's at [`REVISION`], complete | a verified backup beside an SQLite file (a warning in the log for PostgreSQL), then our own tables: [`Outcome::Opened`] |
//! | was opened by this server before | our migrations that are new since: [`Outcome::AlreadyOurs`] |
//! | anything else | refused with a [`MigrationError`] that says what was found and what to do; not a byte is changed |
//!
//! An SQLite file is first read without any chance of changing it (opening a database in WAL mode normally can), and
//! it is changed only under an exclusive lock, which a running original would not let us have. The one exception is
//! SQLite's own recovery: a rollback journal that a crash left behind is rolled back before anything can be read.
//!
//! # Adding a migration of our own
//!
//! What only this server needs lives in tables and indexes of our own with the prefix `oui_`; the original ignores
//! them. The original's tables are never altered.
//!
//! 1. Write `sql/oui/NNN_name.sql` with the next number. Both databases run the same text, so keep to what they
//!    share: types `text`, `bigint`, `double precision`, and `json` for objects and arrays (SQLite turns a bare JSON
//!    number in such a column into a number); `NOT NULL` beside every `PRIMARY KEY`; flags as `bigint`; times as
//!    `bigint` with the unit in a comment. Tables are `oui_...`, indexes `oui_idx_...`. An index on a table of the
//!    original names plain columns only: an expression or collation of ours would lock the original out.
//!    What they do not share goes into `NNN_name.sqlite.sql` and `NNN_name.postgres.sql`.
//! 2. Append it to `MIGRATIONS` in `src/own.rs`. The list only grows; released files are never edited, renamed or
//!    reordered, since databases record what they have run (number and name in `oui_migration`) and
//!    a record that differs from the list is refused. A mistake is mended by a further migration.
//! 3. `cargo test -p oui-migrations`: the tests run the list on new databases and on one made by the original, on
//!    SQLite and, with `eval "$(scripts/test-services.sh start)"`, on PostgreSQL.
//!
//! Each migration runs in a transaction of its own together with its record, so a crash leaves it done or not begun.
//! A server that meets a higher number than it knows refuses to start.
//!
//! # For the other crates
//!
//! [`SqlitePragmas::connect_options`] and [`postgres_options`] give the options for the connection pool, the same that
//! the database was prepared with. [`like_regex`] is the way to a case-insensitive `LIKE` on SQLite. The feature
//! `testing` adds databases for tests.

mod error;
mod own;
mod postgres;
mod pragmas;
mod reference;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod text_match;
mod verdict;

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;

pub use error::{BackupError, MigrationError};
pub use postgres::postgres_options;
pub use pragmas::{SqlitePragmas, Synchronous, TempStore, UnknownValue};
pub use reference::{REVISION, Tables, expected_tables};
pub use text_match::like_regex;

/// Which database.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file, which need not exist; its folder must.
    Sqlite {
        /// Path of the file.
        path: PathBuf,
        /// Settings of its connections; the journal mode is put into the file.
        pragmas: SqlitePragmas,
    },
    /// A database of a PostgreSQL server, which must exist.
    Postgres {
        /// Server, database and login, without a search path.
        options: Box<PgConnectOptions>,
        /// Value of DATABASE_SCHEMA: an existing schema. Without it, the first one of the user's search path.
        schema: Option<String>,
    },
}

/// What [`prepare`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The database was empty and now has the schema.
    Created,
    /// The database was the original's and is opened by this server for the first time.
    Opened {
        /// The safety copy; `None` for PostgreSQL, where the operator makes one.
        backup: Option<PathBuf>,
    },
    /// The database had been opened by this server before.
    AlreadyOurs,
}

/// Makes the database ready for this server, or refuses it unchanged. `now` is the time in seconds since the epoch;
/// it names the backup and dates our migrations.
///
/// # Errors
/// See [`MigrationError`].
pub async fn prepare(target: &Target, now: i64) -> Result<Outcome, MigrationError> {
    match target {
        Target::Sqlite { path, pragmas } => sqlite::prepare(path, pragmas, now).await,
        Target::Postgres { options, schema } => postgres::prepare(options, schema.as_deref(), now).await,
    }
}
