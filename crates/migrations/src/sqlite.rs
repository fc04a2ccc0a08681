//! SQLite files: looking at one without changing it, taking it over under an exclusive lock, creating the schema.

mod backup;
mod catalogue;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};

use crate::Outcome;
use crate::error::MigrationError;
use crate::own::{MIGRATIONS, apply_next};
use crate::pragmas::SqlitePragmas;
use crate::reference::{REVISION, SQLITE_SCHEMA};
use crate::verdict::{Verdict, judge};

/// See [`crate::prepare`].
pub(crate) async fn prepare(
    path: &Path,
    pragmas: &SqlitePragmas,
    now: i64,
) -> Result<Outcome, MigrationError> {
    let file = File::new(path, pragmas);
    let is_new = !file.exists().await?;
    if !is_new {
        let verdict = file.look().await?;
        if verdict.is_current() && file.is_settled().await? {
            return Ok(Outcome::AlreadyOurs);
        }
    }
    let began = tokio::time::Instant::now();
    loop {
        match file.take_over(now).await {
            // Another process of this server may have been faster and now has its pool open.
            Err(MigrationError::Locked { place }) => match file.look().await {
                Ok(verdict) if verdict.is_current() => return Ok(Outcome::AlreadyOurs),
                // Whoever locks a file that was not there is creating it, which takes a while on a slow disk.
                _ if is_new && began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                _ => return Err(MigrationError::Locked { place }),
            },
            result => return result,
        }
    }
}

/// Between two looks at a file that another process is creating.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

struct File<'a> {
    path: PathBuf,
    pragmas: &'a SqlitePragmas,
    place: String,
}

impl<'a> File<'a> {
    fn new(path: &Path, pragmas: &'a SqlitePragmas) -> Self {
        // SQLite would read a relative name that begins with `file:` as a URI.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            place: format!("SQLite file {}", path.display()),
            path,
            pragmas,
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    /// Whether there is something to look at. An empty file counts as none: SQLite makes one of it.
    async fn exists(&self) -> Result<bool, MigrationError> {
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_file() => {
                self.must_allow_writing(&self.path, "file").await?;
                Ok(found.len() > 0)
            }
            Ok(_) => Err(MigrationError::NotSqlite {
                place: self.place(),
                found: "it is not a regular file".into(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = self.path.parent().unwrap_or(&self.path);
                if !tokio::fs::try_exists(folder).await.unwrap_or(false) {
                    return Err(MigrationError::NoFolder { place: self.place() });
                }
                self.must_allow_writing(folder, "folder").await?;
                Ok(false)
            }
            Err(error) => Err(MigrationError::ReadOnly {
                place: self.place(),
                found: error.to_string(),
            }),
        }
    }

    /// Refuses what is marked read-only for everybody, which would not stop root.
    async fn must_allow_writing(&self, path: &Path, what: &str) -> Result<(), MigrationError> {
        let marked = tokio::fs::metadata(path)
            .await
            .is_ok_and(|found| found.permissions().readonly());
        if marked {
            let found = format!("the {what} is marked read-only");
            return Err(MigrationError::ReadOnly {
                place: self.place(),
                found,
            });
        }
        Ok(())
    }

    /// Reads and judges the database without changing it.
    async fn look(&self) -> Result<Verdict, MigrationError> {
        match self.look_once().await {
            Err(MigrationError::Database { source, .. }) if is(&source, READONLY_ROLLBACK) => {
                // A crash left a rollback journal: any program that opens the file must roll it back first.
                let mut connection = self.open(self.pragmas.quiet_options(&self.path)).await?;
                let recovered = catalogue::read(&mut connection).await;
                finish(connection, recovered)
                    .await
                    .map_err(|error| self.failed("recovering it after a crash", error))?;
                self.look_once().await
            }
            result => result,
        }
    }

    async fn look_once(&self) -> Result<Verdict, MigrationError> {
        // Without a log or journal the file alone is the database, and `immutable` keeps SQLite from making files
        // beside it. With one, SQLite must take it into account; it then reads both and writes neither.
        let alone = !self.has_content("-wal").await && !self.has_content("-journal").await;
        let options = self
            .pragmas
            .quiet_options(&self.path)
            .read_only(true)
            .immutable(alone);
        let mut connection = self.open(options).await?;
        let found = catalogue::read(&mut connection).await;
        let found = finish(connection, found)
            .await
            .map_err(|error| self.failed("reading its tables", error))?;
        judge(&self.place, &found)
    }

    async fn has_content(&self, suffix: &str) -> bool {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        tokio::fs::metadata(name).await.is_ok_and(|side| side.len() > 0)
    }

    /// Whether a database that needs no change can be written and has the journal mode it should have.
    async fn is_settled(&self) -> Result<bool, MigrationError> {
        let mut connection = self.open(self.pragmas.quiet_options(&self.path)).await?;
        let result = async {
            match connection.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => transaction.rollback().await?,
                // Somebody else is writing, so writing is possible.
                Err(error) if is_locked(&error) => {}
                Err(error) => return Err(error),
            }
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
                .fetch_one(&mut connection)
                .await?;
            Ok((mode == "wal") == self.pragmas.wal)
        }
        .await;
        finish(connection, result)
            .await
            .map_err(|error| self.failed("checking that it can be written", error))
    }

    /// Creates or completes the database with everybody else locked out.
    async fn take_over(&self, now: i64) -> Result<Outcome, MigrationError> {
        let options = self.pragmas.quiet_options(&self.path).create_if_missing(true);
        let mut connection = self
            .open(options.locking_mode(SqliteLockingMode::Exclusive))
            .await?;
        let result = self.change(&mut connection, now).await;
        let closed = connection.close().await;
        let outcome = result?;
        closed.map_err(|error| self.failed("closing it", error))?;
        Ok(outcome)
    }

    async fn change(&self, connection: &mut SqliteConnection, now: i64) -> Result<Outcome, MigrationError> {
        // The locking mode makes the first lock stay; judging again under it sees what may have happened meanwhile.
        sqlx::raw_sql("BEGIN EXCLUSIVE; COMMIT")
            .execute(&mut *connection)
            .await
            .map_err(|error| self.failed("locking it", error))?;
        let found = catalogue::read(connection)
            .await
            .map_err(|error| self.failed("reading its tables", error))?;
        let verdict = judge(&self.place, &found)?;
        let outcome = match verdict {
            Verdict::Empty => {
                self.create(connection, now)
                    .await
                    .map_err(|error| self.failed("creating it", error))?;
                Outcome::Created
            }
            Verdict::Original => {
                let backup =
                    backup::make(connection, &self.path, &found, now)
                        .await
                        .map_err(|(backup, source)| MigrationError::Backup {
                            place: self.place(),
                            backup,
                            source,
                        })?;
                tracing::info!(backup = %backup.display(), "made a backup before the first change to the database");
                Outcome::Opened { backup: Some(backup) }
            }
            Verdict::Ours { .. } => Outcome::AlreadyOurs,
        };
        if verdict != Verdict::Empty {
            let applied = verdict.applied();
            self.migrate(connection, applied, now)
                .await
                .map_err(|error| self.failed("migrating it", error))?;
        }
        self.set_journal_mode(connection)
            .await
            .map_err(|error| self.failed("setting its journal mode", error))?;
        Ok(outcome)
    }

    /// The whole schema, its revision and our own tables.
    async fn create(&self, connection: &mut SqliteConnection, now: i64) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(SQLITE_SCHEMA).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO alembic_version (version_num) VALUES ($1)")
            .bind(REVISION)
            .execute(&mut *transaction)
            .await?;
        for applied in 0..MIGRATIONS.len() {
            apply_next::<Sqlite>(&mut transaction, applied, now).await?;
        }
        transaction.commit().await
    }

    async fn migrate(
        &self,
        connection: &mut SqliteConnection,
        applied: usize,
        now: i64,
    ) -> Result<(), sqlx::Error> {
        for applied in applied..MIGRATIONS.len() {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            apply_next::<Sqlite>(&mut transaction, applied, now).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn set_journal_mode(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let statement = if self.pragmas.wal {
            "PRAGMA journal_mode = WAL"
        } else {
            "PRAGMA journal_mode = DELETE"
        };
        let mode: String = sqlx::query_scalar(statement).fetch_one(&mut *connection).await?;
        if (mode == "wal") != self.pragmas.wal {
            tracing::warn!(
                mode,
                wal = self.pragmas.wal,
                "SQLite did not take the journal mode"
            );
        }
        Ok(())
    }

    async fn open(&self, options: SqliteConnectOptions) -> Result<SqliteConnection, MigrationError> {
        options
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| self.failed("opening it", error))
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> MigrationError {
        let place = self.place();
        let found = source
            .as_database_error()
            .map_or_else(String::new, |error| error.message().to_owned());
        match code(&source) {
            Some(READONLY_ROLLBACK) => MigrationError::Database { place, doing, source },
            // SQLite fell back to reading only, and the system does not lock such a file for writing.
            Some(IOERR_LOCK) => MigrationError::ReadOnly {
                place,
                found: "it cannot be locked for writing".into(),
            },
            Some(code) => match code & 0xff {
                BUSY | LOCKED => MigrationError::Locked { place },
                PERM | READONLY | CANTOPEN => MigrationError::ReadOnly { place, found },
                NOTADB => MigrationError::NotSqlite { place, found },
                CORRUPT => MigrationError::Damaged { place, found },
                _ => MigrationError::Database { place, doing, source },
            },
            None => MigrationError::Database { place, doing, source },
        }
    }
}

/// Closes a connection after the work that ended in `result`, so that its locks are gone when this returns.
async fn finish<T>(connection: SqliteConnection, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    let closed = connection.close().await;
    let value = result?;
    closed.map(|()| value)
}

// Result codes of SQLite (https://www.sqlite.org/rescode.html); the low byte is the primary one.
const PERM: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;
const IOERR_LOCK: u32 = 10 | (15 << 8);
const READONLY_ROLLBACK: u32 = READONLY | (3 << 8);

fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn is(error: &sqlx::Error, extended: u32) -> bool {
    code(error) == Some(extended)
}

fn is_locked(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}
