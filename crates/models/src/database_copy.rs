//! A copy of the whole database as one file, for download.

use oui_core::boxed;
use std::path::Path;

use crate::args;
use crate::db::{Db, DbResult, Dialect, sql};

/// Writes a consistent copy to `path`, which must not exist; `false` where the database is no file. Others read and
/// write meanwhile.
#[boxed]
pub async fn copy_to(db: &Db, path: &Path) -> DbResult<bool> {
    if db.dialect() != Dialect::Sqlite {
        return Ok(false);
    }
    let path = path.to_string_lossy().into_owned();
    sql("VACUUM INTO ?", args![path]).all(db).await?;
    Ok(true)
}
