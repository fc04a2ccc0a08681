//! Table `channel_member`: who takes part in a channel. In group and direct channels only members read and write;
//! in others membership only keeps what somebody has read and muted. Times are nanoseconds.

use oui_core::boxed;
use std::collections::BTreeSet;

use oui_core::ids;
use serde_json::{Value, json};

use crate::channels::ChannelRow;
use crate::db::{Arg, Changes, Conn, Db, DbResult, placeholders, sql};
use crate::users::UserRow;
use crate::users::list::UserPage;
use crate::{Tx, args, groups, table};

table! {
    /// One member.
    pub struct MemberRow in "channel_member" {
        /// Row id.
        pub id: String,
        /// Channel.
        pub channel_id: String,
        /// Account, for people.
        pub user_id: Option<String>,
        /// Connected app, for apps.
        pub app_id: Option<String>,
        /// `manager` or nothing.
        pub role: Option<String>,
        /// `joined` or `left`.
        pub status: Option<String>,
        /// Whether the channel is shown to them.
        pub is_active: bool,
        /// Whether they are not told of messages.
        pub is_channel_muted: bool,
        /// Whether they have pinned the channel.
        pub is_channel_pinned: bool,
        /// Free object.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// When they were invited.
        pub invited_at: Option<i64>,
        /// Who invited them.
        pub invited_by: Option<String>,
        /// When they joined.
        pub joined_at: Option<i64>,
        /// When they left.
        pub left_at: Option<i64>,
        /// Up to when they have read.
        pub last_read_at: Option<i64>,
        /// When the row was made.
        pub created_at: Option<i64>,
        /// When the row was changed.
        pub updated_at: Option<i64>,
    }
}

impl MemberRow {
    /// A person who joins now.
    fn joining(channel_id: &str, user_id: &str, invited_by: Option<&str>, now: i64) -> Self {
        Self {
            id: ids::uuid(),
            channel_id: channel_id.to_owned(),
            user_id: Some(user_id.to_owned()),
            app_id: None,
            role: None,
            status: Some("joined".into()),
            is_active: true,
            is_channel_muted: false,
            is_channel_pinned: false,
            data: Some(Value::Null),
            meta: Some(Value::Null),
            invited_at: invited_by.map(|_| now),
            invited_by: invited_by.map(str::to_owned),
            joined_at: Some(now),
            left_at: None,
            last_read_at: Some(now),
            created_at: Some(now),
            updated_at: Some(now),
        }
    }

    /// The member as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "channel_id": self.channel_id, "user_id": self.user_id, "app_id": self.app_id,
            "role": self.role, "status": self.status, "is_active": self.is_active,
            "is_channel_muted": self.is_channel_muted, "is_channel_pinned": self.is_channel_pinned,
            "data": self.data, "meta": self.meta, "invited_at": self.invited_at, "invited_by": self.invited_by,
            "joined_at": self.joined_at, "left_at": self.left_at, "last_read_at": self.last_read_at,
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

const OF_USER: &str = "WHERE channel_id = ? AND user_id = ?";

/// A user's membership.
#[boxed]
pub async fn of_user(
    conn: impl Into<Conn<'_>>,
    channel_id: &str,
    user_id: &str,
) -> DbResult<Option<MemberRow>> {
    MemberRow::find(conn, OF_USER, args![channel_id, user_id]).await
}

/// All people of a channel, those who left too.
#[boxed]
pub async fn of_channel(conn: impl Into<Conn<'_>>, channel_id: &str) -> DbResult<Vec<MemberRow>> {
    let rest = "WHERE channel_id = ? AND user_id IS NOT NULL ORDER BY created_at, id";
    MemberRow::list(conn, rest, args![channel_id]).await
}

/// Ids of the people in a channel, those who hid it included.
#[boxed]
pub async fn user_ids(conn: impl Into<Conn<'_>>, channel_id: &str) -> DbResult<Vec<String>> {
    let text = "SELECT user_id FROM channel_member WHERE channel_id = ? AND user_id IS NOT NULL ORDER BY created_at, id";
    let rows = sql(text, args![channel_id]).all(conn).await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// The people invited: those named, those of the groups, and who invites them.
async fn invited(
    tx: &mut Tx,
    invited_by: &str,
    user_ids: &[String],
    group_ids: &[String],
) -> DbResult<BTreeSet<String>> {
    let mut people: BTreeSet<String> = user_ids.iter().cloned().collect();
    people.insert(invited_by.to_owned());
    for group_id in group_ids {
        people.extend(groups::list::effective_member_ids(&mut *tx, group_id).await?);
    }
    Ok(people)
}

/// Adds those invited who are not in yet. Answers the new members.
#[boxed]
pub async fn invite(
    tx: &mut Tx,
    channel_id: &str,
    invited_by: &str,
    user_ids: &[String],
    group_ids: &[String],
) -> DbResult<Vec<MemberRow>> {
    let now = tx.db().clock().nanos();
    let mut people = invited(tx, invited_by, user_ids, group_ids).await?;
    for present in self::user_ids(&mut *tx, channel_id).await? {
        people.remove(&present);
    }
    let mut members = Vec::with_capacity(people.len());
    for user_id in people {
        let row = MemberRow::joining(channel_id, &user_id, Some(invited_by), now);
        row.insert(&mut *tx).await?;
        members.push(row);
    }
    Ok(members)
}

/// Makes a user a member unless they are one.
#[boxed]
pub async fn join(tx: &mut Tx, channel_id: &str, user_id: &str) -> DbResult<()> {
    if of_user(&mut *tx, channel_id, user_id).await?.is_none() {
        let now = tx.db().clock().nanos();
        MemberRow::joining(channel_id, user_id, None, now)
            .insert(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Takes people out. Answers how many were in.
#[boxed]
pub async fn remove(conn: impl Into<Conn<'_>>, channel_id: &str, user_ids: &[String]) -> DbResult<u64> {
    if user_ids.is_empty() {
        return Ok(0);
    }
    let mut args = args![channel_id];
    args.extend(user_ids.iter().map(Arg::from));
    let rest = format!(
        "WHERE channel_id = ? AND user_id IN ({})",
        placeholders(user_ids.len())
    );
    MemberRow::delete(conn, &rest, args).await
}

/// Shows or hides a channel for a member.
#[boxed]
pub async fn set_active(db: &Db, channel_id: &str, user_id: &str, is_active: bool) -> DbResult<()> {
    let changes = Changes::new()
        .set("is_active", is_active)
        .set("updated_at", db.clock().nanos());
    MemberRow::update(db, changes, OF_USER, args![channel_id, user_id]).await?;
    Ok(())
}

/// Shows a channel to all its members again.
#[boxed]
pub async fn show_to_all(conn: impl Into<Conn<'_>>, channel_id: &str, now: i64) -> DbResult<()> {
    let changes = Changes::new().set("is_active", true).set("updated_at", now);
    let rest = "WHERE channel_id = ? AND user_id IS NOT NULL AND is_active = ?";
    MemberRow::update(conn, changes, rest, args![channel_id, false]).await?;
    Ok(())
}

/// Mutes a channel for a user or not; whoever is no member becomes one who has read nothing.
#[boxed]
pub async fn set_muted(db: &Db, channel_id: &str, user_id: &str, is_muted: bool) -> DbResult<()> {
    let now = db.clock().nanos();
    let mut tx = db.begin().await?;
    let changes = Changes::new()
        .set("is_channel_muted", is_muted)
        .set("updated_at", now);
    if MemberRow::update(&mut tx, changes, OF_USER, args![channel_id, user_id]).await? == 0 {
        let row = MemberRow {
            is_channel_muted: is_muted,
            last_read_at: None,
            ..MemberRow::joining(channel_id, user_id, None, now)
        };
        row.insert(&mut tx).await?;
    }
    tx.commit().await
}

/// The direct channel of exactly these people, accounts that are gone left aside.
#[boxed]
pub async fn direct(db: &Db, user_ids: &BTreeSet<String>) -> DbResult<Option<ChannelRow>> {
    let count = i64::try_from(user_ids.len()).unwrap_or(i64::MAX);
    let list = placeholders(user_ids.len());
    let rest = format!(
        "WHERE \"type\" = 'dm' AND id IN (SELECT m.channel_id FROM channel_member m \
           JOIN \"user\" u ON u.id = m.user_id GROUP BY m.channel_id \
           HAVING COUNT(u.id) = ? AND SUM(CASE WHEN u.id IN ({list}) THEN 1 ELSE 0 END) = ?) \
         ORDER BY created_at, id LIMIT 1"
    );
    let mut args = args![count];
    args.extend(user_ids.iter().map(Arg::from));
    args.push(Arg::from(count));
    ChannelRow::find(db, &rest, args).await
}

/// Which people to list.
#[derive(Debug, Clone, Default)]
pub struct People<'a> {
    /// Members of this channel.
    pub channel_id: Option<&'a str>,
    /// These accounts; everybody when absent.
    pub user_ids: Option<&'a [String]>,
    /// Part of the name or address.
    pub query: Option<&'a str>,
    /// Whether accounts that wait are left out.
    pub admitted: bool,
    /// A column that lists of accounts can be ordered by.
    pub order_by: Option<&'a str>,
    /// Whether small values come first.
    pub ascending: bool,
}

/// Columns that clients may sort by; anything else gives the newest first.
const ORDERS: &[&str] = &[
    "name",
    "email",
    "created_at",
    "last_active_at",
    "updated_at",
    "role",
];

/// A page of people and how many there are.
#[boxed]
pub async fn people(db: &Db, people: &People<'_>, (skip, limit): (i64, i64)) -> DbResult<UserPage> {
    let mut conditions = vec!["1 = 1".to_owned()];
    let mut args = args![];
    if let Some(query) = people.query {
        let pattern = format!("%{query}%");
        conditions.push("(LOWER(name) LIKE LOWER(?) OR LOWER(email) LIKE LOWER(?))".into());
        args.extend(args![&pattern, &pattern]);
    }
    if let Some(channel_id) = people.channel_id {
        let members =
            "EXISTS (SELECT 1 FROM channel_member m WHERE m.user_id = \"user\".id AND m.channel_id = ?)";
        conditions.push(members.into());
        args.extend(args![channel_id]);
    }
    if people.admitted {
        conditions.push("role <> 'pending'".into());
    }
    match people.user_ids {
        Some([]) => conditions.push("1 = 0".into()),
        Some(ids) => {
            conditions.push(format!("id IN ({})", placeholders(ids.len())));
            args.extend(ids.iter().map(Arg::from));
        }
        None => {}
    }
    let rest = format!("WHERE {}", conditions.join(" AND "));
    let total = UserRow::count(db, &rest, args.clone()).await?;
    let order = match people.order_by.filter(|order| ORDERS.contains(order)) {
        Some(order) => format!("\"{order}\" {}", if people.ascending { "ASC" } else { "DESC" }),
        None => "created_at DESC".into(),
    };
    args.extend(args![limit, skip]);
    let users = UserRow::list(
        db,
        &format!("{rest} ORDER BY {order}, email LIMIT ? OFFSET ?"),
        args,
    )
    .await?;
    Ok(UserPage { users, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn people_come_mute_and_go() {
        for db in crate::testing::databases().await {
            let (ada, bob, cleo) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
                crate::testing::user(&db, "cleo").await,
            );
            let channel = crate::channels::NewChannel {
                kind: Some("dm".into()),
                user_ids: vec![bob.id.clone()],
                ..crate::channels::NewChannel::default()
            };
            let (row, members) = crate::channels::create(&db, &ada.id, channel, &[]).await.unwrap();
            assert_eq!(members.len(), 2);
            let both = BTreeSet::from([ada.id.clone(), bob.id.clone()]);
            assert_eq!(direct(&db, &both).await.unwrap().unwrap().id, row.id);
            let others = BTreeSet::from([ada.id.clone(), cleo.id.clone()]);
            assert!(direct(&db, &others).await.unwrap().is_none());
            set_active(&db, &row.id, &bob.id, false).await.unwrap();
            let active = async |id: &str| of_user(&*db, &row.id, id).await.unwrap().unwrap().is_active;
            assert!(!active(&bob.id).await);
            show_to_all(&*db, &row.id, 5).await.unwrap();
            assert!(active(&bob.id).await);
            set_muted(&db, &row.id, &cleo.id, true).await.unwrap();
            let cleo_in = of_user(&*db, &row.id, &cleo.id).await.unwrap().unwrap();
            assert_eq!((cleo_in.is_channel_muted, cleo_in.last_read_at), (true, None));
            let filter = People {
                channel_id: Some(&row.id),
                order_by: Some("name"),
                ascending: true,
                ..People::default()
            };
            let page = people(&db, &filter, (1, 1)).await.unwrap();
            assert_eq!((page.users[0].name.as_str(), page.total), ("bob", 3));
            assert_eq!(
                remove(&*db, &row.id, &[cleo.id.clone(), "x".into()])
                    .await
                    .unwrap(),
                1
            );
        }
    }
}
