//! Table `oui_meta`: marks of this installation that only this server needs, one value per key.

use crate::args;
use crate::db::{Conn, DbResult, sql};
use oui_core::boxed;

/// The value of a mark.
#[boxed]
pub async fn get(conn: impl Into<Conn<'_>>, key: &str) -> DbResult<Option<String>> {
    let value: Option<Option<String>> = sql("SELECT value FROM oui_meta WHERE key = ?", args![key])
        .scalar(conn)
        .await?;
    Ok(value.flatten())
}

/// Sets a mark.
#[boxed]
pub async fn set(conn: impl Into<Conn<'_>>, key: &str, value: &str) -> DbResult<()> {
    let text = "INSERT INTO oui_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    sql(text, args![key, value]).execute(conn).await?;
    Ok(())
}
