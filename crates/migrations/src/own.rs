//! Our own numbered migrations and how one is applied. When they run, and in which transaction, is the business of
//! the modules of the two databases.

use sqlx::{Connection, Database, Encode, Executor, IntoArguments, Type};

/// One step of our own tables.
pub(crate) struct Migration {
    /// Stored beside the number, so that a list that was reordered is noticed.
    pub(crate) name: &'static str,
    /// Statements in the SQL that both databases share.
    pub(crate) sql: &'static str,
    /// Statements that only one of them runs, after the shared ones.
    pub(crate) own: Own,
}

/// What the databases can not share.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Own {
    sqlite: &'static str,
    postgres: &'static str,
}

const SHARED: Own = Own {
    sqlite: "",
    postgres: "",
};

impl Own {
    /// The statements for a database, by its name in the driver.
    fn of(&self, database: &str) -> &'static str {
        if database == <sqlx::Sqlite as Database>::NAME {
            self.sqlite
        } else {
            self.postgres
        }
    }
}

/// Every migration in order; the number of one is its place, counted from 1. Entries are only ever appended.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "meta",
        sql: include_str!("../sql/oui/001_meta.sql"),
        own: SHARED,
    },
    Migration {
        name: "stream_journal",
        sql: include_str!("../sql/oui/002_stream_journal.sql"),
        own: SHARED,
    },
    Migration {
        name: "indexes",
        sql: include_str!("../sql/oui/003_indexes.sql"),
        own: SHARED,
    },
    Migration {
        name: "quotas",
        sql: include_str!("../sql/oui/004_quotas.sql"),
        own: SHARED,
    },
    Migration {
        name: "charts",
        sql: "",
        own: Own {
            sqlite: include_str!("../sql/oui/005_charts.sqlite.sql"),
            postgres: include_str!("../sql/oui/005_charts.postgres.sql"),
        },
    },
];

/// The name of the table that records them; a database that has it has been opened by this server before.
pub(crate) const HISTORY_TABLE: &str = "oui_migration";

/// What the history table holds, in order.
pub(crate) const HISTORY_QUERY: &str = "SELECT version, name FROM oui_migration ORDER BY version";

/// Applies the migration after the first `applied` ones and records it at `now` (seconds). The caller holds the
/// transaction and has checked that there is such a migration.
pub(crate) async fn apply_next<DB>(
    connection: &mut DB::Connection,
    applied: usize,
    now: i64,
) -> Result<(), sqlx::Error>
where
    DB: Database,
    DB::Connection: Connection<Database = DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    DB::Arguments: IntoArguments<DB>,
{
    let Some(migration) = MIGRATIONS.get(applied) else {
        return Ok(());
    };
    for sql in [migration.sql, migration.own.of(DB::NAME)] {
        if !sql.is_empty() {
            connection.execute(sqlx::raw_sql(sql)).await?;
        }
    }
    let version = i64::try_from(applied + 1).unwrap_or(i64::MAX);
    sqlx::query("INSERT INTO oui_migration (version, name, applied_at) VALUES ($1, $2, $3)")
        .bind(version)
        .bind(migration.name)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    tracing::info!(version, name = migration.name, "applied a database migration");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_ours_carries_our_prefix() {
        for migration in MIGRATIONS {
            let texts = [migration.sql, migration.own.sqlite, migration.own.postgres];
            let lines = texts.iter().flat_map(|text| text.lines());
            let sql: String = lines.filter(|line| !line.starts_with("--")).collect();
            for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
                let words: Vec<_> = statement.split_whitespace().collect();
                let name = words
                    .iter()
                    .skip_while(|word| !matches!(**word, "TABLE" | "INDEX"))
                    .nth(1);
                assert!(name.is_some_and(|name| name.starts_with("oui_")), "{statement}");
            }
        }
    }
}
