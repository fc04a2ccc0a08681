//! Table `channel_webhook`: addresses at which programs may write into a channel. Times are nanoseconds.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Value, json};

use crate::db::{Changes, Conn, Db, DbResult};
use crate::{args, table};

table! {
    /// One address.
    pub struct WebhookRow in "channel_webhook" {
        /// Row id.
        pub id: String,
        /// Channel.
        pub channel_id: String,
        /// Who made it.
        pub user_id: String,
        /// Name under which it writes.
        pub name: String,
        /// Path or data URI.
        pub profile_image_url: Option<String>,
        /// Secret of the address.
        pub token: String,
        /// When it wrote last.
        pub last_used_at: Option<i64>,
        /// When it was made.
        pub created_at: i64,
        /// When it was changed.
        pub updated_at: i64,
    }
}

impl WebhookRow {
    /// The address as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "channel_id": self.channel_id, "user_id": self.user_id, "name": self.name,
            "profile_image_url": self.profile_image_url, "token": self.token, "last_used_at": self.last_used_at,
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }

    /// Who a message of it is from.
    pub fn author_json(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "role": "webhook" })
    }
}

/// The address with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<WebhookRow>> {
    WebhookRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Addresses of a channel.
#[boxed]
pub async fn of_channel(db: &Db, channel_id: &str) -> DbResult<Vec<WebhookRow>> {
    WebhookRow::list(db, "WHERE channel_id = ? ORDER BY created_at", args![channel_id]).await
}

/// Inserts an address with the given secret.
#[boxed]
pub async fn create(
    db: &Db,
    channel_id: &str,
    user_id: &str,
    (name, picture): (&str, Option<String>),
    token: String,
) -> DbResult<WebhookRow> {
    let now = db.clock().nanos();
    let row = WebhookRow {
        id: ids::uuid(),
        channel_id: channel_id.to_owned(),
        user_id: user_id.to_owned(),
        name: name.to_owned(),
        profile_image_url: picture,
        token,
        last_used_at: None,
        created_at: now,
        updated_at: now,
    };
    row.insert(db).await?;
    Ok(row)
}

/// Changes name and picture.
#[boxed]
pub async fn update(db: &Db, id: &str, name: &str, picture: Option<String>) -> DbResult<()> {
    let changes = Changes::new()
        .set("name", name)
        .set("profile_image_url", picture)
        .set("updated_at", db.clock().nanos());
    WebhookRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Notes that it has written now.
#[boxed]
pub async fn mark_used(db: &Db, id: &str) -> DbResult<()> {
    let changes = Changes::new().set("last_used_at", db.clock().nanos());
    WebhookRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Deletes an address. False when there is none.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<bool> {
    Ok(WebhookRow::delete(db, "WHERE id = ?", args![id]).await? > 0)
}
