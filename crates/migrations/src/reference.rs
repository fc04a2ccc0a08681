//! The schema of Open WebUI 0.12.4: its DDL for both databases, its revision, the revisions before it, and the
//! tables and columns that follow from it. Nothing here talks to a database.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The revision in `alembic_version` of every database of Open WebUI 0.12.4, the one this server works with.
pub const REVISION: &str = "0bd252b206fb";

/// DDL of an empty SQLite database at [`REVISION`].
pub(crate) const SQLITE_SCHEMA: &str = include_str!("../sql/sqlite.sql");

/// DDL of an empty PostgreSQL database at [`REVISION`], without schema names: it fills the current schema.
pub(crate) const POSTGRES_SCHEMA: &str = include_str!("../sql/postgres.sql");

/// The revisions before [`REVISION`], oldest first, one a line.
const OLDER: &str = include_str!("../sql/older-revisions.txt");

/// Column names by table name, both in the original's spelling.
pub type Tables = BTreeMap<&'static str, Vec<&'static str>>;

/// The 48 tables of the original with their columns, in the order of the DDL. Both databases have the same names.
pub fn expected_tables() -> &'static Tables {
    static TABLES: LazyLock<Tables> = LazyLock::new(|| parse(POSTGRES_SCHEMA));
    &TABLES
}

/// Whether `revision` belongs to a version of Open WebUI before the one this server works with.
pub(crate) fn is_older(revision: &str) -> bool {
    OLDER.lines().any(|older| older == revision)
}

/// Reads names out of pg_dump's regular layout: one line per column, one closing line per table. The tests hold the
/// result against the catalogues of both databases.
fn parse(ddl: &'static str) -> Tables {
    let mut tables = Tables::new();
    let mut current: Option<&'static str> = None;
    for line in ddl.lines() {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            current = rest.strip_suffix(" (").map(unquoted);
        } else if line == ");" {
            current = None;
        } else if let (Some(table), Some(column)) = (current, line.split_whitespace().next())
            && column != "CONSTRAINT"
        {
            tables.entry(table).or_default().push(unquoted(column));
        }
    }
    tables
}

fn unquoted(name: &str) -> &str {
    name.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ddl_yields_every_table_and_column() {
        let tables = expected_tables();
        assert_eq!(tables.len(), 48);
        assert_eq!(tables.values().map(Vec::len).sum::<usize>(), 426);
        assert_eq!(tables["alembic_version"], ["version_num"]);
        assert_eq!(tables["tag"], ["id", "name", "user_id", "meta"]);
        assert_eq!(tables["group"].last(), Some(&"parent_group_id"));
        assert!(!tables["channel_member"].contains(&"ck_channel_member_identity"));
    }

    #[test]
    fn older_revisions_do_not_hold_the_current_one() {
        assert_eq!(OLDER.lines().count(), 65);
        assert!(is_older("7e5b5dc7342b") && is_older("c92da83b017f"));
        assert!(!is_older(REVISION) && !is_older("") && !is_older("ffffffffffff"));
    }
}
