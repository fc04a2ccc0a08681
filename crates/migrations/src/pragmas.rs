//! How this server opens an SQLite file: the settings that the configuration may change, and the ones it may not.
//! Used here while a database is prepared and by the connection pool afterwards.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// Rows that the driver's thread may read ahead: a whole page of a list, so that the thread does not stop and wake
/// for every row beyond.
const ROW_BUFFER: usize = 256;

/// The settings of the DATABASE_ENABLE_SQLITE_WAL and DATABASE_SQLITE_PRAGMA_* variables. `None` leaves SQLite's own
/// value, as an empty variable does; the defaults are the original's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlitePragmas {
    /// Write-ahead log; otherwise a rollback journal.
    pub wal: bool,
    /// When SQLite waits for the disk.
    pub synchronous: Option<Synchronous>,
    /// How long a connection waits for another one's lock, in milliseconds.
    pub busy_timeout: Option<u32>,
    /// Page cache of a connection: pages, or KiB when negative.
    pub cache_size: Option<i64>,
    /// Where temporary tables and indexes live.
    pub temp_store: Option<TempStore>,
    /// Bytes of the file that are mapped into memory.
    pub mmap_size: Option<i64>,
    /// Bytes to which the log file shrinks after a checkpoint.
    pub journal_size_limit: Option<i64>,
}

impl Default for SqlitePragmas {
    fn default() -> Self {
        Self {
            wal: true,
            synchronous: Some(Synchronous::Normal),
            busy_timeout: Some(5000),
            cache_size: Some(-65_536),
            temp_store: Some(TempStore::Memory),
            mmap_size: Some(268_435_456),
            journal_size_limit: Some(67_108_864),
        }
    }
}

impl SqlitePragmas {
    /// Options for connections to the existing file `path`: these settings, and what this server relies on. Foreign
    /// keys stay unenforced as in the original, whose rows need not satisfy them (the driver and the library would
    /// switch them on), and `REGEXP` is there for [`like_regex`](crate::like_regex).
    pub fn connect_options(&self, path: &Path) -> SqliteConnectOptions {
        let mut options = self.quiet_options(path).journal_mode(self.journal_mode());
        if let Some(synchronous) = self.synchronous {
            options = options.synchronous(synchronous.into());
        }
        if let Some(store) = self.temp_store {
            options = options.pragma("temp_store", store.to_string());
        }
        let numbers = [
            ("cache_size", self.cache_size),
            ("mmap_size", self.mmap_size),
            ("journal_size_limit", self.journal_size_limit),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                options = options.pragma(name, value.to_string());
            }
        }
        options.row_buffer_size(ROW_BUFFER).with_regexp()
    }

    /// Options that change nothing in the file by themselves: no journal mode.
    pub(crate) fn quiet_options(&self, path: &Path) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
        match self.busy_timeout {
            // The driver hands SQLite a signed 32-bit number and panics beyond it.
            Some(wait) => options.busy_timeout(Duration::from_millis(u64::from(wait).min(i32::MAX as u64))),
            None => options,
        }
    }

    pub(crate) fn journal_mode(&self) -> SqliteJournalMode {
        if self.wal {
            SqliteJournalMode::Wal
        } else {
            SqliteJournalMode::Delete
        }
    }
}

/// A value that the pragma does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not one of {allowed}")]
pub struct UnknownValue {
    value: String,
    allowed: &'static str,
}

/// Values of `PRAGMA synchronous`; parsed from their names or numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// 0: never wait.
    Off,
    /// 1: wait at checkpoints; safe with the write-ahead log.
    Normal,
    /// 2: wait at every commit.
    Full,
    /// 3: also for the folder.
    Extra,
}

impl FromStr for Synchronous {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_uppercase().as_str() {
            "0" | "OFF" => Ok(Self::Off),
            "1" | "NORMAL" => Ok(Self::Normal),
            "2" | "FULL" => Ok(Self::Full),
            "3" | "EXTRA" => Ok(Self::Extra),
            _ => Err(UnknownValue {
                value: text.to_owned(),
                allowed: "OFF, NORMAL, FULL, EXTRA",
            }),
        }
    }
}

impl From<Synchronous> for SqliteSynchronous {
    fn from(value: Synchronous) -> Self {
        match value {
            Synchronous::Off => Self::Off,
            Synchronous::Normal => Self::Normal,
            Synchronous::Full => Self::Full,
            Synchronous::Extra => Self::Extra,
        }
    }
}

/// Values of `PRAGMA temp_store`; parsed from their names or numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempStore {
    /// 0: as SQLite was built.
    Default,
    /// 1: in a file.
    File,
    /// 2: in memory.
    Memory,
}

impl FromStr for TempStore {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_uppercase().as_str() {
            "0" | "DEFAULT" => Ok(Self::Default),
            "1" | "FILE" => Ok(Self::File),
            "2" | "MEMORY" => Ok(Self::Memory),
            _ => Err(UnknownValue {
                value: text.to_owned(),
                allowed: "DEFAULT, FILE, MEMORY",
            }),
        }
    }
}

impl fmt::Display for TempStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Default => "DEFAULT",
            Self::File => "FILE",
            Self::Memory => "MEMORY",
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

    use super::*;

    async fn pragma(connection: &mut SqliteConnection, name: &'static str) -> String {
        let query = sqlx::AssertSqlSafe(format!("PRAGMA {name}"));
        let row = sqlx::query(query).fetch_one(connection).await.unwrap();
        row.try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()))
            .unwrap()
    }

    #[tokio::test]
    async fn connections_get_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let options = SqlitePragmas::default()
            .connect_options(&path)
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        for (name, expected) in [
            ("journal_mode", "wal"),
            ("synchronous", "1"),
            ("busy_timeout", "5000"),
            ("cache_size", "-65536"),
            ("temp_store", "2"),
            ("mmap_size", "268435456"),
            ("journal_size_limit", "67108864"),
            ("foreign_keys", "0"),
        ] {
            assert_eq!(pragma(&mut connection, name).await, expected, "{name}");
        }
        let found: i64 = sqlx::query_scalar("SELECT $1 REGEXP $2")
            .bind("Schöne Grüße")
            .bind(crate::like_regex("%GRÜSSE%", None))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(found, 0, "one letter does not become two");
        let found: i64 = sqlx::query_scalar("SELECT $1 REGEXP $2")
            .bind("SCHÖNE GRÜẞE")
            .bind(crate::like_regex("%schöne%grüße%", None))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(found, 1);
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_left_out_stays_with_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let none = SqlitePragmas {
            wal: false,
            synchronous: None,
            busy_timeout: None,
            cache_size: None,
            temp_store: None,
            mmap_size: None,
            journal_size_limit: None,
        };
        let options = none
            .connect_options(&folder.path().join("a.db"))
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        for (name, expected) in [
            ("journal_mode", "delete"),
            ("synchronous", "2"),
            ("cache_size", "-2000"),
            ("temp_store", "0"),
            ("foreign_keys", "0"),
        ] {
            assert_eq!(pragma(&mut connection, name).await, expected, "{name}");
        }
        connection.close().await.unwrap();
    }

    #[test]
    fn names_and_numbers_are_understood() {
        assert_eq!("normal".parse(), Ok(Synchronous::Normal));
        assert_eq!(" 3 ".parse(), Ok(Synchronous::Extra));
        assert_eq!("memory".parse(), Ok(TempStore::Memory));
        let error = "fast; DROP TABLE user".parse::<Synchronous>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"fast; DROP TABLE user\" is not one of OFF, NORMAL, FULL, EXTRA"
        );
    }
}
