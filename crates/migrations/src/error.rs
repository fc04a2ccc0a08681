//! Why a database is refused. Every message names the database, says what was found and what to do; none carries a
//! password or a stored value. The technical cause, where there is one, is the error's source.

use std::path::PathBuf;

/// A database that this server does not open. Unless the message says otherwise, it was left as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The SQLite file lies in a folder that does not exist.
    #[error("{place}: the folder does not exist; create it, or correct DATA_DIR or DATABASE_URL")]
    NoFolder {
        /// The database.
        place: String,
    },
    /// The file holds something else.
    #[error(
        "{place}: this is not an SQLite database ({found}); point DATABASE_URL at the right file or move this one \
         away. Encrypted (SQLCipher) databases cannot be opened"
    )]
    NotSqlite {
        /// The database.
        place: String,
        /// What the file is instead.
        found: String,
    },
    /// The database cannot be written.
    #[error(
        "{place}: cannot be written ({found}); this server must be allowed to write it and, for SQLite, its folder"
    )]
    ReadOnly {
        /// The database.
        place: String,
        /// Which permission is missing, or what the database answered.
        found: String,
    },
    /// Another process has the SQLite file open in a way that keeps us out.
    #[error(
        "{place}: another process has this database open; stop the other server or tool that uses it and start again"
    )]
    Locked {
        /// The database.
        place: String,
    },
    /// The database file is damaged.
    #[error("{place}: the database is damaged ({found}); restore a backup, or try `sqlite3 FILE .recover`")]
    Damaged {
        /// The database.
        place: String,
        /// What the database answered.
        found: String,
    },
    /// Tables, but no revision: another program's database, or one of Open WebUI before it recorded revisions.
    #[error(
        "{place}: holds {} ({}) and no alembic_version, so it is not a database of Open WebUI 0.12.4; choose an empty \
         database. If it comes from a very old Open WebUI, start Open WebUI 0.12.4 on it once, which brings it up to date",
        counted(tables.len(), "table"),
        listed(tables)
    )]
    Foreign {
        /// The database.
        place: String,
        /// Names of the tables found.
        tables: Vec<String>,
    },
    /// A database of an Open WebUI before 0.12.4.
    #[error(
        "{place}: has the revision {revision} of an older Open WebUI; start Open WebUI 0.12.4 on it once, which brings \
         it up to {expected}, then start this server again",
        expected = crate::REVISION
    )]
    OlderRevision {
        /// The database.
        place: String,
        /// What `alembic_version` holds.
        revision: String,
    },
    /// A database of a newer Open WebUI, or of a changed one.
    #[error(
        "{place}: its revision is {revision}, which this server does not know; it works with {expected} (Open WebUI \
         0.12.4). A newer Open WebUI has probably changed it: use a newer version of this server, or a copy of the \
         database from before",
        expected = crate::REVISION
    )]
    UnknownRevision {
        /// The database.
        place: String,
        /// What `alembic_version` holds, or `none`.
        revision: String,
    },
    /// The revision is right but the schema is not.
    #[error(
        "{place}: claims revision {revision} but lacks {}: {}; restore a backup, or start Open WebUI 0.12.4 on a copy \
         and compare",
        counted(missing.len(), "table or column"),
        listed(missing),
        revision = crate::REVISION
    )]
    Incomplete {
        /// The database.
        place: String,
        /// Missing tables (`chat`) and columns (`chat.title`).
        missing: Vec<String>,
    },
    /// A newer version of this server has worked on the database.
    #[error(
        "{place}: a newer version of this server has opened it (our migration {version}; this version knows {known}); \
         use that version or a later one"
    )]
    NewerServer {
        /// The database.
        place: String,
        /// Number of the first migration that is not known here.
        version: i64,
        /// How many migrations this version knows.
        known: usize,
    },
    /// The record of our migrations is not what this version would have written.
    #[error(
        "{place}: oui_migration holds {found} where {expected} belongs; restore a backup from before it was changed"
    )]
    OtherHistory {
        /// The database.
        place: String,
        /// Number and name found.
        found: String,
        /// Number and name expected.
        expected: String,
    },
    /// The PostgreSQL schema that was asked for does not exist.
    #[error("{place}: the schema does not exist; create it with CREATE SCHEMA, or correct DATABASE_SCHEMA")]
    NoSchema {
        /// The database.
        place: String,
    },
    /// The schema that was asked for is empty while `public` holds an installation.
    #[error(
        "{place}: the schema is empty, but the schema public holds {}; correct DATABASE_SCHEMA, or move the tables and \
         alembic_version together",
        listed(tables)
    )]
    OtherSchema {
        /// The database.
        place: String,
        /// Tables found in `public`.
        tables: Vec<String>,
    },
    /// The safety copy before the first change could not be made.
    #[error("{place}: the backup {} could not be made: {source}; nothing was changed", backup.display())]
    Backup {
        /// The database.
        place: String,
        /// Where it was to be.
        backup: PathBuf,
        /// Why not.
        source: BackupError,
    },
    /// The PostgreSQL server cannot be reached.
    #[error(
        "{place}: the server cannot be reached ({found}); check that it runs and the host and port of DATABASE_URL"
    )]
    Unreachable {
        /// The database.
        place: String,
        /// What the connection attempt ended with.
        found: String,
    },
    /// The PostgreSQL server refuses the user or the password.
    #[error("{place}: the server refuses the login ({found}); check user and password of DATABASE_URL")]
    Login {
        /// The database.
        place: String,
        /// The server's answer.
        found: String,
    },
    /// The PostgreSQL server has no such database.
    #[error(
        "{place}: the server has no such database; create it with CREATE DATABASE, or correct DATABASE_URL"
    )]
    NoDatabase {
        /// The database.
        place: String,
    },
    /// The PostgreSQL user lacks a right.
    #[error(
        "{place}: the user lacks a right ({found}); make it the owner of the database or grant it CREATE on the schema"
    )]
    Rights {
        /// The database.
        place: String,
        /// The server's answer.
        found: String,
    },
    /// Anything else the database answered.
    #[error("{place}: {doing} failed: {source}")]
    Database {
        /// The database.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
}

/// Why a safety copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The disk is full.
    #[error("the disk is full; up to {} MiB are needed", needed.div_ceil(1024 * 1024))]
    NoSpace {
        /// Size of the original in bytes.
        needed: u64,
    },
    /// The copy does not hold what the original holds.
    #[error("the copy holds {copied} rows of {table}, the database {original}")]
    Differs {
        /// The first table that differs.
        table: String,
        /// Rows in the database.
        original: i64,
        /// Rows in the copy.
        copied: i64,
    },
    /// SQLite's own check of the copy failed.
    #[error("the copy did not pass SQLite's check: {0}")]
    Damaged(String),
    /// The file system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// SQLite refused something.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!(
            "{count} {}",
            what.replace("table", "tables").replace("column", "columns")
        ),
    }
}

/// The first ten names; the log line is for reading, not for restoring.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_was_found_and_stay_short() {
        let tables = (1..=12).map(|number| format!("t{number}")).collect();
        let text = MigrationError::Foreign {
            place: "here".into(),
            tables,
        }
        .to_string();
        assert!(
            text.starts_with("here: holds 12 tables (t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, ...) and no"),
            "{text}"
        );
        let text = MigrationError::Incomplete {
            place: "here".into(),
            missing: vec!["chat.title".into()],
        }
        .to_string();
        assert!(text.contains("lacks 1 table or column: chat.title;"), "{text}");
        let text = BackupError::NoSpace {
            needed: 1024 * 1024 + 1,
        }
        .to_string();
        assert_eq!(text, "the disk is full; up to 2 MiB are needed");
    }
}
