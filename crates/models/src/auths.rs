//! Table `auth`: credentials and the session stamp that every token must carry. Hashing and
//! tokens are in the access crate.

use oui_core::ids;
use serde_json::Value;

use crate::db::{Changes, Conn, Db, DbResult};
use crate::users::{self, UserRow};
use crate::{args, table};

table! {
    /// Credentials of one account.
    pub struct AuthRow in "auth" {
        /// Same as the user's.
        pub id: String,
        /// Address, kept equal to the user's.
        pub email: Option<String>,
        /// bcrypt or argon2 hash.
        pub password: Option<String>,
        /// Switched off accounts can not sign in.
        pub active: Option<bool>,
        /// Second factor.
        pub mfa: Option<Value>,
        /// Tokens with another stamp are void.
        pub session_stamp: Option<String>,
    }
}

/// Credentials by user id.
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<AuthRow>> {
    AuthRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Credentials by address, whether the account is active or not.
pub async fn by_email(conn: impl Into<Conn<'_>>, email: &str) -> DbResult<Option<AuthRow>> {
    AuthRow::find(conn, "WHERE lower(email) = ?", args![email.to_lowercase()]).await
}

/// Sets a new password hash and a new stamp, which ends every session. `expected` is the hash that
/// the change was authorised with; `false` means that somebody changed it meanwhile.
pub async fn set_password(db: &Db, id: &str, hash: &str, expected: Option<&str>) -> DbResult<bool> {
    let changes = Changes::new().set("password", hash).set("session_stamp", ids::uuid());
    let touched = match expected {
        Some(old) => AuthRow::update(db, changes, "WHERE id = ? AND password = ?", args![id, old]).await?,
        None => AuthRow::update(db, changes, "WHERE id = ?", args![id]).await?,
    };
    users::changed(db, id);
    Ok(touched > 0)
}

/// Replaces the hash of an unchanged password (another algorithm or cost); sessions stay.
pub async fn rehash(db: &Db, id: &str, hash: &str) -> DbResult<()> {
    AuthRow::update(db, Changes::new().set("password", hash), "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Ends every session of a user.
pub async fn revoke_sessions(db: &Db, id: &str) -> DbResult<()> {
    AuthRow::update(db, Changes::new().set("session_stamp", ids::uuid()), "WHERE id = ?", args![id]).await?;
    users::changed(db, id);
    Ok(())
}

/// Sets the address in both tables.
pub async fn set_email(db: &Db, id: &str, email: &str) -> DbResult<()> {
    let email = email.to_lowercase();
    let mut tx = db.begin().await?;
    AuthRow::update(&mut tx, Changes::new().set("email", email.as_str()), "WHERE id = ?", args![id]).await?;
    UserRow::update(&mut tx, Changes::new().set("email", email), "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    users::changed(db, id);
    Ok(())
}
