//! Which database is used and how its connections are set up; the address itself is read in `database_url`.

use std::time::Duration;

use super::spec::{Spec, flag, optional_int, optional_secret, optional_text, seconds, settings};
use crate::python;
use crate::secret::Secret;

settings! {
    "Database";
    /// Connections to the database.
    pub struct Database {
        /// Address: `sqlite:///path` or `postgresql://user:password@host:port/name`. Empty uses `webui.db` in
        /// `DATA_DIR`.
        DATABASE_URL => pub(crate) given_url: Option<Secret> = optional_secret();
        /// Kind of database; with the five variables below it replaces `DATABASE_URL`.
        DATABASE_TYPE => pub(crate) kind: Option<String> = optional_text();
        /// User of the database.
        DATABASE_USER => pub(crate) user: Option<String> = optional_text();
        /// Password of the database.
        DATABASE_PASSWORD => pub(crate) password: Option<Secret> = optional_secret();
        /// Host of the database.
        DATABASE_HOST => pub(crate) host: Option<String> = optional_text();
        /// Port of the database.
        DATABASE_PORT => pub(crate) port: Option<String> = optional_text();
        /// Name of the database.
        DATABASE_NAME => pub(crate) name: Option<String> = optional_text();
        /// PostgreSQL schema that holds the tables.
        DATABASE_SCHEMA => pub schema: Option<String> = Spec::new("a schema name", "", schema).strict();
        /// Takes passwords from AWS; not available here, a `true` stops the start.
        DATABASE_ENABLE_IAM_TOKEN_AUTH => pub(crate) iam: bool = flag("false");
        /// Brings the schema up to date at the start.
        ENABLE_DB_MIGRATIONS => pub migrate: bool = flag("true");
        /// Connections kept open; empty leaves it to the server, 0 keeps none.
        DATABASE_POOL_SIZE => pub pool_size: Option<u32> = Spec::new("a whole number", "", pool_size);
        /// Connections opened on top of them at peaks.
        DATABASE_POOL_MAX_OVERFLOW => pub pool_overflow: Option<u32> = optional_int("0");
        /// Seconds to wait for a connection.
        DATABASE_POOL_TIMEOUT => pub pool_timeout: Duration = seconds("30");
        /// Seconds after which a connection is replaced.
        DATABASE_POOL_RECYCLE => pub pool_recycle: Duration = seconds("3600");
        /// SQLite: write-ahead log.
        DATABASE_ENABLE_SQLITE_WAL => pub sqlite_wal: bool = flag("true");
        /// SQLite: `synchronous`; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_SYNCHRONOUS => pub(crate) synchronous: Option<String> = pragma("NORMAL");
        /// SQLite: milliseconds to wait for a lock; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_BUSY_TIMEOUT => pub(crate) busy_timeout: Option<String> = pragma("5000");
        /// SQLite: page cache, negative in KiB; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_CACHE_SIZE => pub(crate) cache_size: Option<String> = pragma("-65536");
        /// SQLite: where temporary tables are; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_TEMP_STORE => pub(crate) temp_store: Option<String> = pragma("MEMORY");
        /// SQLite: bytes of the file mapped into memory; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_MMAP_SIZE => pub(crate) mmap_size: Option<String> = pragma("268435456");
        /// SQLite: bytes of the log kept after a checkpoint; empty keeps SQLite's own.
        DATABASE_SQLITE_PRAGMA_JOURNAL_SIZE_LIMIT => pub(crate) journal_size_limit: Option<String> =
            pragma("67108864");
        /// Seconds between two writes of a user's last activity; 0 writes none.
        DATABASE_USER_ACTIVE_STATUS_UPDATE_INTERVAL => pub activity_interval: Duration =
            Spec::new("a number of seconds", "60", interval);
    }
}

settings! {
    "Stored configuration";
    /// How rows of table `config` are treated.
    pub struct Persistence {
        /// Rows of the database win over the environment; off ignores the rows.
        ENABLE_PERSISTENT_CONFIG => pub enabled: bool = flag("true");
        /// The same for the `oauth.*` keys, which otherwise follow the environment.
        ENABLE_OAUTH_PERSISTENT_CONFIG => pub oauth: bool = flag("false");
        /// Deletes all rows at the start.
        RESET_CONFIG_ON_START => pub reset: bool = flag("false");
    }
}

impl Database {
    /// The pragmas to run on every SQLite connection, in order: name and value, both safe to paste into SQL.
    pub fn pragmas(&self) -> Vec<(&'static str, &str)> {
        let mode = if self.sqlite_wal { "WAL" } else { "DELETE" };
        let optional = [
            ("synchronous", &self.synchronous),
            ("busy_timeout", &self.busy_timeout),
            ("cache_size", &self.cache_size),
            ("temp_store", &self.temp_store),
            ("mmap_size", &self.mmap_size),
            ("journal_size_limit", &self.journal_size_limit),
        ];
        let set = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        std::iter::once(("journal_mode", mode)).chain(set).collect()
    }
}

/// A pragma value is pasted into SQL, therefore only words and numbers are taken.
const fn pragma(default: &'static str) -> Spec<Option<String>> {
    Spec::new("a word or a number", default, |text| {
        let text = text.trim();
        let fits = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        fits.then(|| (!text.is_empty()).then(|| text.to_owned()))
    })
    .strict()
}

/// A schema name is pasted into SQL as a quoted identifier, therefore quotes are refused.
fn schema(text: &str) -> Option<Option<String>> {
    let fits = !text.contains(['"', '\0']);
    fits.then(|| (!text.is_empty()).then(|| text.to_owned()))
}

fn pool_size(text: &str) -> Option<Option<u32>> {
    if text.trim().is_empty() {
        return Some(None);
    }
    python::int(text).map(|size| Some(u32::try_from(size.max(0)).unwrap_or(u32::MAX)))
}

fn interval(text: &str) -> Option<Duration> {
    python::float(text).map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO))
}
