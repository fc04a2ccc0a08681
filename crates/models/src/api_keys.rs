//! Table `api_key`: at most one `sk-` key per user.

use oui_core::boxed;
use oui_core::ids;
use serde_json::Value;

use crate::db::{Conn, Db, DbResult};
use crate::{args, table};

table! {
    /// One API key.
    pub struct ApiKeyRow in "api_key" {
        /// `key_` and the user's id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// `sk-...`.
        pub key: String,
        /// Free object.
        pub data: Option<Value>,
        /// Seconds.
        pub expires_at: Option<i64>,
        /// Seconds.
        pub last_used_at: Option<i64>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

/// Owner of a key, from the cache or with one query.
#[boxed]
pub async fn owner(db: &Db, key: &str) -> DbResult<Option<String>> {
    let cached = key.to_owned();
    db.caches()
        .api_keys
        .get_or_load(&cached, async {
            let row = ApiKeyRow::find(db, "WHERE \"key\" = ?", args![key]).await?;
            let now = db.now();
            Ok(row
                .filter(|row| row.expires_at.is_none_or(|at| at > now))
                .and_then(|row| row.user_id))
        })
        .await
}

/// The key of a user.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Option<String>> {
    Ok(ApiKeyRow::find(conn, "WHERE user_id = ?", args![user_id])
        .await?
        .map(|row| row.key))
}

/// Gives the user a new key in place of the old one.
#[boxed]
pub async fn replace(db: &Db, user_id: &str) -> DbResult<String> {
    let now = db.now();
    let row = ApiKeyRow {
        id: format!("key_{user_id}"),
        user_id: Some(user_id.to_owned()),
        key: ids::api_key(),
        data: Some(Value::Null),
        expires_at: None,
        last_used_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = db.begin().await?;
    ApiKeyRow::delete(&mut tx, "WHERE user_id = ?", args![user_id]).await?;
    row.insert(&mut tx).await?;
    tx.commit().await?;
    db.caches().api_keys.clear();
    Ok(row.key)
}

/// Takes the user's key away; `false` when there was none.
#[boxed]
pub async fn remove(db: &Db, user_id: &str) -> DbResult<bool> {
    let gone = ApiKeyRow::delete(db, "WHERE user_id = ?", args![user_id]).await?;
    db.caches().api_keys.clear();
    Ok(gone > 0)
}
