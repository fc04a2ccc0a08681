//! Table `user`: rows, look-ups and changes. Lists are in [`list`], what administrators change in [`edit`], what
//! users keep about themselves in [`own`], what they can reach in [`preview`], what they have used in [`usage`]. Credentials are in [`auths`](crate::auths).

pub mod edit;
pub mod list;
pub mod own;
pub mod preview;
pub mod usage;

use oui_core::boxed;
use std::sync::Arc;

use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::auths::AuthRow;
use crate::db::{Changes, Conn, Date, Db, DbResult, FromRow, Tx, sql};
use crate::{args, table};

table! {
    /// One account.
    pub struct UserRow in "user" {
        /// Row id, equal to the id in `auth`.
        pub id: String,
        /// Name shown.
        pub name: String,
        /// Address, lower case.
        pub email: String,
        /// `admin`, `user` or `pending`.
        pub role: String,
        /// Path or data URI.
        pub profile_image_url: Option<String>,
        /// Seconds.
        pub last_active_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Handle.
        pub username: Option<String>,
        /// About.
        pub bio: Option<String>,
        /// Free text.
        pub gender: Option<String>,
        /// Day of birth.
        pub date_of_birth: Option<Date>,
        /// Path or data URI.
        pub profile_banner_image_url: Option<String>,
        /// IANA name.
        pub timezone: Option<String>,
        /// Presence chosen by the user.
        pub presence_state: Option<String>,
        /// Emoji of the status.
        pub status_emoji: Option<String>,
        /// Text of the status.
        pub status_message: Option<String>,
        /// Seconds.
        pub status_expires_at: Option<i64>,
        /// Identities at external providers.
        pub oauth: Option<Value>,
        /// Free object of the client.
        pub info: Option<Value>,
        /// Client settings: `{ui: {...}, ...}`.
        pub settings: Option<Value>,
        /// Provisioning data.
        pub scim: Option<Value>,
        /// Prompt variables.
        pub variables: Option<Value>,
    }
}

/// What an authenticated request needs of a user: the row and the stamp that its tokens carry.
#[derive(Debug, Clone)]
pub struct Account {
    /// The row.
    pub user: UserRow,
    /// `auth.session_stamp`.
    pub session_stamp: Option<String>,
    /// `auth.mfa`.
    pub mfa: Option<Value>,
    /// `auth.active`.
    pub active: bool,
}

/// A new user's fields; the rest starts empty.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Name shown.
    pub name: String,
    /// Address; stored in lower case.
    pub email: String,
    /// Hash of the password.
    pub password_hash: String,
    /// Path or data URI.
    pub profile_image_url: String,
    /// `admin`, `user` or `pending`.
    pub role: String,
}

/// Seconds after the last request in which a user counts as active.
const ACTIVE_SECONDS: i64 = 180;

/// Stored JSON that is null counts as absent.
pub(crate) fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

impl UserRow {
    /// The picture, or the path of the generated one.
    pub fn picture(&self) -> String {
        match self.profile_image_url.as_deref() {
            Some(url) if !url.is_empty() => url.to_owned(),
            _ => format!("/api/v1/users/{}/profile/image", self.id),
        }
    }

    /// `settings` as an object.
    pub fn settings_object(&self) -> Map<String, Value> {
        self.settings
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// `{id, name, role, email, profile_image_url}`.
    pub fn profile_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "role": self.role, "email": self.email,
            "profile_image_url": self.picture(),
        })
    }

    /// Who did something, as events tell it.
    pub fn actor_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "email": self.email, "role": self.role,
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }

    /// What accounts may see of each other. Lists do not tell who is active.
    pub fn info_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "email": self.email,
            "role": self.role,
            "bio": self.bio,
            "last_active_at": self.last_active_at,
            "timezone": self.timezone,
            "status_emoji": self.status_emoji,
            "status_message": self.status_message,
            "status_expires_at": self.status_expires_at,
            "groups": [],
            "is_active": false,
        })
    }

    /// Whether the user did anything in the last minutes; `now` in seconds.
    pub fn is_active(&self, now: i64) -> bool {
        self.last_active_at
            .is_some_and(|at| at != 0 && at >= now - ACTIVE_SECONDS)
    }

    /// `settings` as routes send them: `None` while nothing was stored.
    pub fn settings_json(&self) -> Option<Value> {
        let mut settings = present(self.settings.as_ref())?.clone();
        if let Some(object) = settings.as_object_mut() {
            object.entry("ui").or_insert_with(|| json!({}));
        }
        Some(settings)
    }

    /// The whole model as admin routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "email": self.email,
            "username": self.username,
            "role": self.role,
            "name": self.name,
            "profile_image_url": self.picture(),
            "profile_banner_image_url": self.profile_banner_image_url,
            "bio": self.bio,
            "gender": self.gender,
            "date_of_birth": self.date_of_birth.map(|date| date.to_string()),
            "timezone": self.timezone,
            "presence_state": self.presence_state,
            "status_emoji": self.status_emoji,
            "status_message": self.status_message,
            "status_expires_at": self.status_expires_at,
            "info": self.info,
            "settings": self.settings_json(),
            "oauth": self.oauth,
            "scim": self.scim,
            "last_active_at": self.last_active_at,
            "updated_at": self.updated_at,
            "created_at": self.created_at,
        })
    }
}

/// The account of an authenticated request, from the cache or with one query.
#[boxed]
pub async fn account(db: &Db, id: &str) -> DbResult<Option<Arc<Account>>> {
    let key = id.to_owned();
    db.caches().accounts.get_or_load(&key, load_account(db, id)).await
}

async fn load_account(db: &Db, id: &str) -> DbResult<Option<Arc<Account>>> {
    let columns: Vec<String> = UserRow::NAMES
        .iter()
        .map(|name| format!("u.\"{name}\""))
        .collect();
    let text = format!(
        "SELECT {}, a.session_stamp, a.mfa, a.active FROM \"user\" u JOIN auth a ON a.id = u.id WHERE u.id = ?",
        columns.join(", ")
    );
    let Some(row) = sql(text, args![id]).first(db).await? else {
        return Ok(None);
    };
    let next = UserRow::NAMES.len();
    Ok(Some(Arc::new(Account {
        user: UserRow::from_row(&row)?,
        session_stamp: row.at(next)?,
        mfa: row.at(next + 1)?,
        active: row.at::<Option<bool>>(next + 2)?.unwrap_or(false),
    })))
}

/// Forgets what is cached of a user; every write to `user` or `auth` outside this module ends with it.
pub fn changed(db: &Db, id: &str) {
    db.caches().accounts.invalidate(&id.to_owned());
}

/// The row with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<UserRow>> {
    UserRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The rows with these ids, in no particular order.
#[boxed]
pub async fn by_ids(conn: impl Into<Conn<'_>>, ids: &[String]) -> DbResult<Vec<UserRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list = crate::db::placeholders(ids.len());
    UserRow::list(
        conn,
        &format!("WHERE id IN ({list})"),
        ids.iter().map(Into::into).collect(),
    )
    .await
}

/// The row with this address, in any case.
#[boxed]
pub async fn by_email(conn: impl Into<Conn<'_>>, email: &str) -> DbResult<Option<UserRow>> {
    UserRow::find(conn, "WHERE lower(email) = ?", args![email.to_lowercase()]).await
}

/// Number of accounts.
#[boxed]
pub async fn count(conn: impl Into<Conn<'_>>) -> DbResult<i64> {
    UserRow::count(conn, "", args![]).await
}

/// Whether there is any account.
#[boxed]
pub async fn any(conn: impl Into<Conn<'_>>) -> DbResult<bool> {
    Ok(sql("SELECT 1 FROM \"user\" LIMIT 1", args![])
        .first(conn)
        .await?
        .is_some())
}

/// The oldest account: the one that owns a fresh installation. Of those made in the same second an
/// administrator counts as the older.
#[boxed]
pub async fn first(conn: impl Into<Conn<'_>>) -> DbResult<Option<UserRow>> {
    let order = "ORDER BY created_at, CASE WHEN role = 'admin' THEN 0 ELSE 1 END, id LIMIT 1";
    UserRow::find(conn, order, args![]).await
}

/// The oldest administrator.
#[boxed]
pub async fn first_admin(conn: impl Into<Conn<'_>>) -> DbResult<Option<UserRow>> {
    UserRow::find(conn, "WHERE role = 'admin' ORDER BY created_at LIMIT 1", args![]).await
}

/// The time of an account that is made now. The oldest account is told by its second alone (see [`first`]), so no
/// later one may share it: whoever was made administrator would pass for the owner of the installation.
async fn second_of_a_new_account(tx: &mut Tx, now: i64) -> DbResult<i64> {
    let oldest = sql("SELECT MIN(created_at) FROM \"user\"", args![])
        .first(tx)
        .await?;
    let oldest: Option<i64> = oldest.map(|row| row.at(0)).transpose()?.flatten();
    Ok(if oldest == Some(now) { now + 1 } else { now })
}

/// Inserts user and credentials in one transaction. With `first_is_admin` the only account becomes
/// administrator, decided inside the transaction so that two first sign-ups can not both win.
#[boxed]
pub async fn create(db: &Db, new: NewUser, first_is_admin: bool) -> DbResult<UserRow> {
    let now = db.now();
    let id = ids::uuid();
    let email = new.email.to_lowercase();
    let mut tx = db.begin().await?;
    if db.dialect() == crate::db::Dialect::Postgres {
        // SQLite's write transaction is exclusive already.
        sql("LOCK TABLE \"user\" IN SHARE ROW EXCLUSIVE MODE", args![])
            .execute(&mut tx)
            .await?;
    }
    let role = if first_is_admin && count(&mut tx).await? == 0 {
        "admin".to_owned()
    } else {
        new.role
    };
    let created_at = second_of_a_new_account(&mut tx, now).await?;
    let auth = AuthRow {
        id: id.clone(),
        email: Some(email.clone()),
        password: Some(new.password_hash),
        active: Some(true),
        mfa: None,
        session_stamp: Some(ids::uuid()),
    };
    let user = UserRow {
        id,
        name: new.name,
        email,
        role,
        profile_image_url: Some(new.profile_image_url),
        last_active_at: Some(now),
        updated_at: Some(now),
        created_at: Some(created_at),
        username: None,
        bio: None,
        gender: None,
        date_of_birth: None,
        profile_banner_image_url: None,
        timezone: None,
        presence_state: None,
        status_emoji: None,
        status_message: None,
        status_expires_at: None,
        // The reference writes JSON null here, not SQL NULL.
        oauth: Some(Value::Null),
        info: Some(Value::Null),
        settings: Some(Value::Null),
        scim: Some(Value::Null),
        variables: None,
    };
    auth.insert(&mut tx).await?;
    user.insert(&mut tx).await?;
    tx.commit().await?;
    changed(db, &user.id);
    Ok(user)
}

/// Sets columns of a user; answers the new row. `updated_at` stays, as at the reference, which stamps it for
/// provisioned accounts only.
#[boxed]
pub async fn update(db: &Db, id: &str, changes: Changes) -> DbResult<Option<UserRow>> {
    UserRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    changed(db, id);
    by_id(db, id).await
}

/// Sets the role and answers the new row. Sessions stay; sockets know the old role and must be closed.
#[boxed]
pub async fn set_role(db: &Db, id: &str, role: &str) -> DbResult<Option<UserRow>> {
    update(db, id, Changes::new().set("role", role)).await
}

/// Notes that the user is here. Callers throttle.
#[boxed]
pub async fn touch(db: &Db, id: &str) -> DbResult<()> {
    sql(
        "UPDATE \"user\" SET last_active_at = ? WHERE id = ?",
        args![db.now(), id],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many users were active since `since` (seconds).
#[boxed]
pub async fn active_since(conn: impl Into<Conn<'_>>, since: i64) -> DbResult<i64> {
    UserRow::count(conn, "WHERE last_active_at >= ?", args![since]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn the_oldest_account_stays_the_oldest_of_its_second() {
        for db in databases().await {
            let owner = user(&db, "owner").await;
            for name in ["a", "b", "c", "d", "e", "f"] {
                let other = user(&db, name).await;
                set_role(&db, &other.id, "admin").await.unwrap();
            }
            assert_eq!(first(&*db).await.unwrap().unwrap().id, owner.id);
        }
    }
}
