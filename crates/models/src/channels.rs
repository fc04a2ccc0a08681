//! Table `channel`: which channels a user hears and sees in the list, making and changing them. Who takes part is in
//! `channel_members`, what they write in `messages`. Times are nanoseconds.

use oui_core::boxed;
use std::collections::HashMap;

use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::channel_members::{self, MemberRow};
use crate::db::{Arg, Changes, Conn, Db, DbResult, FromRow, placeholders, sql};
use crate::grants::{Grant, GrantRow};
use crate::groups::Membership;
use crate::shared::{self, Entry, Filter, Reader};
use crate::users::UserRow;
use crate::{args, grants, shared_row, table};

/// `resource_type` of channels in the grants.
pub const KIND: &str = "channel";

table! {
    /// One channel.
    pub struct ChannelRow in "channel" {
        /// Row id.
        pub id: String,
        /// Who made it.
        pub user_id: Option<String>,
        /// `group`, `dm` or nothing for a standard channel.
        pub kind as "type": Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// Description shown.
        pub description: Option<String>,
        /// Whether a group channel is closed.
        pub is_private: Option<bool>,
        /// Free object.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// When it was made.
        pub created_at: Option<i64>,
        /// When it was changed.
        pub updated_at: Option<i64>,
        /// Who changed it.
        pub updated_by: Option<String>,
        /// When it was archived.
        pub archived_at: Option<i64>,
        /// Who archived it.
        pub archived_by: Option<String>,
        /// When it was deleted.
        pub deleted_at: Option<i64>,
        /// Who deleted it.
        pub deleted_by: Option<String>,
    }
}

shared_row!(ChannelRow, KIND);

impl ChannelRow {
    /// Whether only its members see it.
    pub fn is_closed(&self) -> bool {
        matches!(self.kind.as_deref(), Some("group" | "dm"))
    }

    /// The channel as routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("type", json!(self.kind)),
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("is_private", json!(self.is_private)),
            ("data", json!(self.data)),
            ("meta", json!(self.meta)),
            ("access_grants", shared::grants_json(grants)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
            ("updated_by", json!(self.updated_by)),
            ("archived_at", json!(self.archived_at)),
            ("archived_by", json!(self.archived_by)),
            ("deleted_at", json!(self.deleted_at)),
            ("deleted_by", json!(self.deleted_by)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// Every channel, archived and deleted ones included.
#[boxed]
pub async fn all(db: &Db) -> DbResult<Vec<Entry<ChannelRow>>> {
    let rows = ChannelRow::list(db, "", args![]).await?;
    shared::entries(db, rows).await
}

/// The channels of a user: group and direct ones that they take part in, then standard ones that they own or
/// that grants open to them.
#[boxed]
pub async fn of_user(db: &Db, user_id: &str, membership: &Membership) -> DbResult<Vec<Entry<ChannelRow>>> {
    let member = "WHERE deleted_at IS NULL AND archived_at IS NULL AND \"type\" IN ('group', 'dm') AND id IN (\
                  SELECT channel_id FROM channel_member WHERE user_id = ? AND is_active = ?)";
    let rows = ChannelRow::list(db, member, args![user_id, true]).await?;
    let mut channels = shared::entries(db, rows).await?;
    let standard =
        "r.deleted_at IS NULL AND r.archived_at IS NULL AND COALESCE(r.\"type\", '') NOT IN ('group', 'dm')";
    let reader = Reader {
        user_id,
        membership,
        sees_all: false,
    };
    let filter = Filter::readable(reader, "r.created_at, r.id").and((standard.to_owned(), Vec::new()));
    channels.extend(shared::list(db, &filter).await?);
    Ok(channels)
}

/// What the list shows of a channel for one user.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    /// Time of the newest message.
    pub last_message_at: Option<i64>,
    /// Messages of others since the user last read; 0 for those who are no member.
    pub unread: i64,
    /// Whether the user muted the channel.
    pub muted: bool,
}

/// Activity in channels as a user sees it, in one query.
#[boxed]
pub async fn activity(db: &Db, user_id: &str, channel_ids: &[String]) -> DbResult<HashMap<String, Activity>> {
    if channel_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let text = format!(
        "SELECT c.id, (SELECT MAX(created_at) FROM message WHERE channel_id = c.id), \
           CASE WHEN m.id IS NULL THEN 0 ELSE (SELECT COUNT(*) FROM message x WHERE x.channel_id = c.id \
             AND x.parent_id IS NULL AND x.created_at > COALESCE(m.last_read_at, 0) \
             AND (x.user_id IS NULL OR x.user_id <> ?)) END, \
           COALESCE(m.is_channel_muted, ?) \
         FROM channel c LEFT JOIN channel_member m ON m.channel_id = c.id AND m.user_id = ? WHERE c.id IN ({})",
        placeholders(channel_ids.len())
    );
    let mut args = args![user_id, false, user_id];
    args.extend(channel_ids.iter().map(Arg::from));
    let rows = sql(text, args).all(db).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.at(0)?,
                Activity {
                    last_message_at: row.at(1)?,
                    unread: row.at(2)?,
                    muted: row.at(3)?,
                },
            ))
        })
        .collect()
}

/// Accounts of the people in channels, as `(channel id, account)`.
#[boxed]
pub async fn people(db: &Db, channel_ids: &[String]) -> DbResult<Vec<(String, UserRow)>> {
    if channel_ids.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<String> = UserRow::NAMES
        .iter()
        .map(|name| format!("u.\"{name}\""))
        .collect();
    let text = format!(
        "SELECT {}, m.channel_id FROM channel_member m JOIN \"user\" u ON u.id = m.user_id WHERE m.channel_id IN ({})",
        columns.join(", "),
        placeholders(channel_ids.len())
    );
    let rows = sql(text, channel_ids.iter().map(Arg::from).collect())
        .all(db)
        .await?;
    rows.iter()
        .map(|row| Ok((row.at(UserRow::NAMES.len())?, UserRow::from_row(row)?)))
        .collect()
}

/// Ids of the channels whose events a user hears: those they are a member of, and standard ones that grants
/// open to them (all, for administrators).
#[boxed]
pub async fn ids_of_user(
    conn: impl Into<Conn<'_>>,
    user_id: &str,
    membership: &Membership,
    is_admin: bool,
) -> DbResult<Vec<String>> {
    let (reach, grant_args) = grants::reach_condition(KIND, "read", user_id, membership);
    let text = format!(
        "SELECT id FROM channel c WHERE c.deleted_at IS NULL AND c.archived_at IS NULL AND (\
           EXISTS (SELECT 1 FROM channel_member m WHERE m.channel_id = c.id AND m.user_id = ? AND m.is_active = ?) \
           OR (COALESCE(c.\"type\", '') NOT IN ('group', 'dm') AND (? OR c.user_id = ? OR \
               EXISTS (SELECT 1 FROM access_grant WHERE resource_id = c.id AND {reach}))))"
    );
    let mut args = args![user_id, true, is_admin, user_id];
    args.extend(grant_args);
    let rows = sql(text, args).all(conn).await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// What a request says about a channel.
#[derive(Debug, Clone, Default)]
pub struct NewChannel {
    /// `group`, `dm` or nothing for a standard channel.
    pub kind: Option<String>,
    /// Name shown.
    pub name: String,
    /// Description shown.
    pub description: Option<String>,
    /// Whether a group channel is closed.
    pub is_private: Option<bool>,
    /// Free object.
    pub data: Option<Value>,
    /// Free object.
    pub meta: Option<Value>,
    /// People of a closed channel.
    pub user_ids: Vec<String>,
    /// Groups whose people take part in a closed channel.
    pub group_ids: Vec<String>,
}

/// Makes a channel; closed ones get their members, the maker among them. Answers the channel and its members.
#[boxed]
pub async fn create(
    db: &Db,
    user_id: &str,
    new: NewChannel,
    grants: &[Grant],
) -> DbResult<(ChannelRow, Vec<MemberRow>)> {
    let now = db.clock().nanos();
    let row = ChannelRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        kind: new.kind.filter(|kind| !kind.is_empty()),
        name: Some(new.name.to_lowercase()),
        description: new.description,
        is_private: new.is_private,
        data: Some(new.data.unwrap_or(Value::Null)),
        meta: Some(new.meta.unwrap_or(Value::Null)),
        created_at: Some(now),
        updated_at: Some(now),
        updated_by: None,
        archived_at: None,
        archived_by: None,
        deleted_at: None,
        deleted_by: None,
    };
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    let mut members = Vec::new();
    if row.is_closed() {
        members = channel_members::invite(&mut tx, &row.id, user_id, &new.user_ids, &new.group_ids).await?;
    }
    grants::replace(&mut tx, KIND, &row.id, grants).await?;
    tx.commit().await?;
    Ok((row, members))
}

/// Replaces what a request says about a channel; kind and people stay.
#[boxed]
pub async fn update(db: &Db, id: &str, new: NewChannel) -> DbResult<()> {
    let changes = Changes::new()
        .set("name", new.name)
        .set("description", new.description)
        .set("is_private", new.is_private)
        .set("data", new.data.unwrap_or(Value::Null))
        .set("meta", new.meta.unwrap_or(Value::Null))
        .set("updated_at", db.clock().nanos());
    ChannelRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Deletes a channel with everything in it.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    for text in [
        "DELETE FROM message_reaction WHERE message_id IN (SELECT id FROM message WHERE channel_id = ?)",
        "DELETE FROM channel_file WHERE channel_id = ?",
        "DELETE FROM message WHERE channel_id = ?",
        "DELETE FROM channel_webhook WHERE channel_id = ?",
        "DELETE FROM channel_member WHERE channel_id = ?",
    ] {
        sql(text, args![id]).execute(&mut tx).await?;
    }
    grants::remove(&mut tx, KIND, id).await?;
    ChannelRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Notes that a member has read the channel up to now.
#[boxed]
pub async fn mark_read(db: &Db, channel_id: &str, user_id: &str) -> DbResult<()> {
    sql(
        "UPDATE channel_member SET last_read_at = ? WHERE channel_id = ? AND user_id = ?",
        args![db.clock().nanos(), channel_id, user_id],
    )
    .execute(db)
    .await?;
    Ok(())
}
