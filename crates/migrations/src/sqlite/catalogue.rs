//! Reads what an SQLite database holds, as far as the verdict depends on it.

use sqlx::SqliteConnection;

use crate::own::HISTORY_QUERY;
use crate::verdict::Found;

/// Tables, columns, revision and our history. Only reads.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    // Columns of virtual tables are left out: asking for them fails where their module is not loaded.
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        r"SELECT m.name, c.name
          FROM sqlite_master m
          LEFT JOIN pragma_table_info(CASE WHEN m.sql LIKE 'CREATE VIRTUAL%' THEN '' ELSE m.name END) c
          WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (table, column) in rows {
        found.tables.entry(table).or_default().extend(column);
    }
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
