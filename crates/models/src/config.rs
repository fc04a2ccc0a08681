//! Table `config`: one row per stored key. What the keys are and which wins, row or environment,
//! is the config crate's; only the SQL is here.

use oui_core::boxed;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::args;
use crate::db::{Db, DbResult, Tx, sql};

/// All stored rows. Scalars come in any storage class on SQLite and are read all the same.
#[boxed]
pub async fn all(db: &Db) -> DbResult<BTreeMap<String, Value>> {
    let rows = sql("SELECT \"key\", value FROM config", args![]).all(db).await?;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}

/// Writes rows in one transaction.
pub async fn write<'a>(db: &Db, rows: impl IntoIterator<Item = (&'a str, &'a Value)>) -> DbResult<()> {
    let mut tx = db.begin().await?;
    write_in(&mut tx, rows).await?;
    tx.commit().await
}

/// Writes rows inside a transaction that changes more.
pub async fn write_in<'a>(tx: &mut Tx, rows: impl IntoIterator<Item = (&'a str, &'a Value)>) -> DbResult<()> {
    let now = tx.db().now();
    for (key, value) in rows {
        sql(
            "INSERT INTO config (\"key\", value, updated_at) VALUES (?, ?, ?) \
             ON CONFLICT (\"key\") DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            args![key, value, now],
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Replaces every row, as an import does.
#[boxed]
pub async fn replace_all(db: &Db, rows: &BTreeMap<String, Value>) -> DbResult<()> {
    let now = db.now();
    let mut tx = db.begin().await?;
    sql("DELETE FROM config", args![]).execute(&mut tx).await?;
    for (key, value) in rows {
        sql(
            "INSERT INTO config (\"key\", value, updated_at) VALUES (?, ?, ?)",
            args![key, value, now],
        )
        .execute(&mut tx)
        .await?;
    }
    tx.commit().await
}
