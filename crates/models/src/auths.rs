//! Table `auth`: credentials and the session stamp that every token must carry. Hashing and
//! tokens are in the access crate.

use oui_core::boxed;
use oui_core::ids;
use serde_json::Value;

use crate::db::{Changes, Conn, Db, DbResult, Tx, sql};
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
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<AuthRow>> {
    AuthRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Credentials by address, whether the account is active or not.
#[boxed]
pub async fn by_email(conn: impl Into<Conn<'_>>, email: &str) -> DbResult<Option<AuthRow>> {
    AuthRow::find(conn, "WHERE lower(email) = ?", args![email.to_lowercase()]).await
}

/// The second factor without what was begun but not finished (challenges, reset tickets), which must not
/// outlive a new stamp; `None` when there is nothing to take away.
pub(crate) async fn mfa_without_challenges(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<Value>> {
    let Some(auth) = by_id(conn, id).await? else {
        return Ok(None);
    };
    let Some(Value::Object(mut mfa)) = auth.mfa else {
        return Ok(None);
    };
    for name in ["login_challenge", "manage_challenge", "reset_ticket"] {
        mfa.insert(name.to_owned(), Value::Null);
    }
    mfa.insert("revision".to_owned(), ids::uuid().into());
    Ok(Some(Value::Object(mfa)))
}

/// Sets a new password hash and a new stamp, which ends every session. `expected` is the hash that
/// the change was authorised with; `false` means that somebody changed it meanwhile.
#[boxed]
pub async fn set_password(db: &Db, id: &str, hash: &str, expected: Option<&str>) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let changes = Changes::new()
        .set("password", hash)
        .set("session_stamp", ids::uuid())
        .set_some("mfa", mfa_without_challenges(&mut tx, id).await?);
    let touched = match expected {
        Some(old) => {
            AuthRow::update(&mut tx, changes, "WHERE id = ? AND password = ?", args![id, old]).await?
        }
        None => AuthRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?,
    };
    tx.commit().await?;
    users::changed(db, id);
    Ok(touched > 0)
}

/// Replaces the hash of an unchanged password (another algorithm or cost); sessions stay.
#[boxed]
pub async fn rehash(db: &Db, id: &str, hash: &str) -> DbResult<()> {
    AuthRow::update(
        db,
        Changes::new().set("password", hash),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(())
}

/// Ends every session of a user; `false` when there is no such user.
#[boxed]
pub async fn revoke_sessions(db: &Db, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let changes = Changes::new()
        .set("session_stamp", ids::uuid())
        .set_some("mfa", mfa_without_challenges(&mut tx, id).await?);
    let found = AuthRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await? > 0;
    tx.commit().await?;
    users::changed(db, id);
    Ok(found)
}

/// Replaces the second factor of an account, provided that its credentials are still those of `seen`; with `revoke`
/// every session ends. Answers the new row; `None` means that somebody changed the account meanwhile.
#[boxed]
pub async fn set_mfa(db: &Db, seen: &AuthRow, mfa: &Value, revoke: bool) -> DbResult<Option<AuthRow>> {
    let revision = seen
        .mfa
        .as_ref()
        .and_then(|mfa| mfa.get("revision"))
        .and_then(Value::as_str);
    let stamp = if revoke {
        Some(ids::uuid())
    } else {
        seen.session_stamp.clone()
    };
    let changes = Changes::new().set("mfa", mfa).set("session_stamp", stamp.clone());
    let unchanged = "WHERE id = ? AND active AND password = ? AND session_stamp IS NOT DISTINCT FROM ? \
                     AND (mfa ->> 'revision') IS NOT DISTINCT FROM ?";
    let touched = AuthRow::update(
        db,
        changes,
        unchanged,
        args![
            &seen.id,
            seen.password.clone(),
            seen.session_stamp.clone(),
            revision
        ],
    )
    .await?;
    users::changed(db, &seen.id);
    Ok((touched > 0).then(|| AuthRow {
        mfa: Some(mfa.clone()),
        session_stamp: stamp,
        ..seen.clone()
    }))
}

/// Every stored second factor, for checks of the key that they are encrypted with.
#[boxed]
pub async fn all_mfa(conn: impl Into<Conn<'_>>) -> DbResult<Vec<Value>> {
    let rows = sql("SELECT mfa FROM auth WHERE mfa IS NOT NULL", args![])
        .all(conn)
        .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Ends every session of everybody, inside the transaction that changes the rules of sign-in. Answers whose;
/// [`users::changed`] must be called for each after the commit.
#[boxed]
pub async fn revoke_all(tx: &mut Tx) -> DbResult<Vec<String>> {
    // Tokens are signed and name their user, so that all may get the same new stamp.
    AuthRow::update(
        &mut *tx,
        Changes::new().set("session_stamp", ids::uuid()),
        "",
        args![],
    )
    .await?;
    let rows = sql("SELECT id, mfa FROM auth", args![]).all(&mut *tx).await?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, mfa): (String, Option<Value>) = (row.at(0)?, row.at(1)?);
        if mfa.is_some_and(|mfa| mfa.is_object())
            && let Some(mfa) = mfa_without_challenges(&mut *tx, &id).await?
        {
            AuthRow::update(
                &mut *tx,
                Changes::new().set("mfa", mfa),
                "WHERE id = ?",
                args![&id],
            )
            .await?;
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Sets the address in both tables.
#[boxed]
pub async fn set_email(db: &Db, id: &str, email: &str) -> DbResult<()> {
    let email = email.to_lowercase();
    let mut tx = db.begin().await?;
    AuthRow::update(
        &mut tx,
        Changes::new().set("email", email.as_str()),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    UserRow::update(
        &mut tx,
        Changes::new().set("email", email),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    tx.commit().await?;
    users::changed(db, id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn a_new_password_needs_the_old_hash_and_ends_what_was_begun() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            let mfa = json!({"secret": "s", "login_challenge": {"token_hash": "x"}, "revision": "r"});
            AuthRow::update(&db, Changes::new().set("mfa", mfa), "WHERE id = ?", args![&ada])
                .await
                .unwrap();
            let before = by_id(&db, &ada).await.unwrap().unwrap();
            assert!(!set_password(&db, &ada, "new", Some("other")).await.unwrap());
            assert_eq!(by_id(&db, &ada).await.unwrap().unwrap(), before);
            assert!(set_password(&db, &ada, "new", Some("none")).await.unwrap());
            let after = by_id(&db, &ada).await.unwrap().unwrap();
            assert_eq!(after.password.as_deref(), Some("new"));
            assert_ne!(after.session_stamp, before.session_stamp);
            let mfa = after.mfa.unwrap();
            assert_eq!(
                (&mfa["secret"], &mfa["login_challenge"]),
                (&json!("s"), &Value::Null)
            );
            assert_ne!(mfa["revision"], "r");
        }
    }

    #[tokio::test]
    async fn a_second_factor_is_swapped_only_where_nothing_changed() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            let seen = by_id(&db, &ada).await.unwrap().unwrap();
            let first = json!({"revision": "1"});
            let after = set_mfa(&db, &seen, &first, false).await.unwrap().unwrap();
            assert_eq!(by_id(&db, &ada).await.unwrap().unwrap(), after);
            assert_eq!(after.session_stamp, seen.session_stamp);
            // The state that was seen has no revision, the stored one has.
            assert_eq!(
                set_mfa(&db, &seen, &json!({"revision": "2"}), false)
                    .await
                    .unwrap(),
                None
            );
            let last = set_mfa(&db, &after, &json!({"revision": "3"}), true)
                .await
                .unwrap()
                .unwrap();
            assert_ne!(last.session_stamp, seen.session_stamp);
            assert_eq!(all_mfa(&db).await.unwrap(), [json!({"revision": "3"})]);
            assert_eq!(set_mfa(&db, &after, &first, false).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn revoking_changes_stamps_only() {
        for db in databases().await {
            let (ada, bob) = (user(&db, "Ada").await.id, user(&db, "Bob").await.id);
            let stamp = async |id: &str| by_id(&db, id).await.unwrap().unwrap().session_stamp;
            let (first, other) = (stamp(&ada).await, stamp(&bob).await);
            assert!(revoke_sessions(&db, &ada).await.unwrap());
            assert!(!revoke_sessions(&db, "nobody").await.unwrap());
            assert_ne!(stamp(&ada).await, first);
            assert_eq!(stamp(&bob).await, other);
            let mut tx = db.begin().await.unwrap();
            let mut all = revoke_all(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            all.sort();
            let mut expected = vec![ada, bob.clone()];
            expected.sort();
            assert_eq!(all, expected);
            assert_ne!(stamp(&bob).await, other);
        }
    }
}
