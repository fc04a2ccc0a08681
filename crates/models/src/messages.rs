//! Tables `message` and `message_reaction`: what is written in channels, in threads below messages, and the reactions
//! to it. Messages are read together with what is shown beside them: their authors, the messages that they answer,
//! reactions and the size of their threads. Times are nanoseconds.

mod shown;

pub use shown::{Shape, Shown, shown};

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value};

use crate::db::{Arg, Changes, Conn, Db, DbResult, placeholders, sql};
use crate::{args, channel_members, shared, table};

table! {
    /// One message.
    pub struct MessageRow in "message" {
        /// Row id.
        pub id: String,
        /// Author; for webhooks who made the address.
        pub user_id: Option<String>,
        /// Connected app that wrote it.
        pub app_id: Option<String>,
        /// Channel.
        pub channel_id: Option<String>,
        /// Message that it answers.
        pub reply_to_id: Option<String>,
        /// Message whose thread it is in.
        pub parent_id: Option<String>,
        /// Whether it is pinned.
        pub is_pinned: bool,
        /// When it was pinned.
        pub pinned_at: Option<i64>,
        /// Who pinned it.
        pub pinned_by: Option<String>,
        /// Text.
        pub content: Option<String>,
        /// Files, output of models.
        pub data: Option<Value>,
        /// What the server notes: model, webhook, automation.
        pub meta: Option<Value>,
        /// When it was written.
        pub created_at: Option<i64>,
        /// When it was changed.
        pub updated_at: Option<i64>,
    }
}

table! {
    /// One reaction.
    struct ReactionRow in "message_reaction" {
        /// Row id.
        id: String,
        /// Who reacts.
        user_id: String,
        /// Message.
        message_id: String,
        /// Name of the emoji.
        name: String,
        /// When.
        created_at: Option<i64>,
    }
}

/// A new message.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    /// Text.
    pub content: String,
    /// Message that it answers.
    pub reply_to_id: Option<String>,
    /// Message whose thread it is in.
    pub parent_id: Option<String>,
    /// Files, output of models.
    pub data: Option<Map<String, Value>>,
    /// What the server notes.
    pub meta: Option<Map<String, Value>>,
}

/// The message with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<MessageRow>> {
    MessageRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Writes a message. Its author becomes a member of the channel; with `wake`, members who hid the channel see it
/// again, and files that are shared in the channel get to know their message.
#[boxed]
pub async fn create(
    db: &Db,
    channel_id: &str,
    user_id: &str,
    new: NewMessage,
    wake: bool,
) -> DbResult<MessageRow> {
    let now = db.clock().nanos();
    let row = MessageRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        app_id: None,
        channel_id: Some(channel_id.to_owned()),
        reply_to_id: new.reply_to_id,
        parent_id: new.parent_id,
        is_pinned: false,
        pinned_at: None,
        pinned_by: None,
        content: Some(new.content),
        data: Some(new.data.map_or(Value::Null, Value::Object)),
        meta: Some(new.meta.map_or(Value::Null, Value::Object)),
        created_at: Some(now),
        updated_at: Some(now),
    };
    let mut tx = db.begin().await?;
    channel_members::join(&mut tx, channel_id, user_id).await?;
    row.insert(&mut tx).await?;
    if wake {
        channel_members::show_to_all(&mut tx, channel_id, now).await?;
    }
    let files = row.data.as_ref().and_then(|data| data.get("files")?.as_array());
    for file in files
        .into_iter()
        .flatten()
        .filter_map(|file| file.get("id")?.as_str())
    {
        let text =
            "UPDATE channel_file SET message_id = ?, updated_at = ? WHERE channel_id = ? AND file_id = ?";
        sql(text, args![&row.id, now / 1_000_000_000, channel_id, file])
            .execute(&mut tx)
            .await?;
    }
    tx.commit().await?;
    Ok(row)
}

fn laid_over(stored: Option<&Value>, fields: Option<Map<String, Value>>) -> Value {
    let mut merged = stored.and_then(Value::as_object).cloned().unwrap_or_default();
    merged.extend(fields.unwrap_or_default());
    Value::Object(merged)
}

/// Changes the text of a message; fields of `data` and `meta` are laid over the stored ones.
#[boxed]
pub async fn update(
    db: &Db,
    id: &str,
    content: &str,
    data: Option<Map<String, Value>>,
    meta: Option<Map<String, Value>>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let Some(row) = by_id(&mut tx, id).await? else {
        return Ok(());
    };
    let changes = Changes::new()
        .set("content", content)
        .set("data", laid_over(row.data.as_ref(), data))
        .set("meta", laid_over(row.meta.as_ref(), meta))
        .set("updated_at", db.clock().nanos());
    MessageRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Pins a message, or takes the pin away.
#[boxed]
pub async fn set_pinned(db: &Db, id: &str, by: Option<&str>) -> DbResult<()> {
    let changes = Changes::new()
        .set("is_pinned", by.is_some())
        .set("pinned_at", by.map(|_| db.clock().nanos()))
        .set("pinned_by", by);
    MessageRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Deletes a message with its reactions and its thread.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let reactions = "WHERE message_id = ? OR message_id IN (SELECT id FROM message WHERE parent_id = ?)";
    ReactionRow::delete(&mut tx, reactions, args![id, id]).await?;
    MessageRow::delete(&mut tx, "WHERE id = ? OR parent_id = ?", args![id, id]).await?;
    tx.commit().await
}

const REACTION: &str = "WHERE message_id = ? AND user_id = ? AND name = ?";

/// Adds a reaction of a user unless it is there.
#[boxed]
pub async fn react(db: &Db, message_id: &str, user_id: &str, name: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    if ReactionRow::count(&mut tx, REACTION, args![message_id, user_id, name]).await? == 0 {
        let row = ReactionRow {
            id: ids::uuid(),
            user_id: user_id.to_owned(),
            message_id: message_id.to_owned(),
            name: name.to_owned(),
            created_at: Some(db.clock().nanos()),
        };
        row.insert(&mut tx).await?;
    }
    tx.commit().await
}

/// Takes a reaction of a user away.
#[boxed]
pub async fn unreact(db: &Db, message_id: &str, user_id: &str, name: &str) -> DbResult<()> {
    ReactionRow::delete(db, REACTION, args![message_id, user_id, name]).await?;
    Ok(())
}

/// Messages of a channel that are in no thread, newest first.
#[boxed]
pub async fn of_channel(db: &Db, channel_id: &str, (skip, limit): (i64, i64)) -> DbResult<Vec<MessageRow>> {
    let rest = "WHERE channel_id = ? AND parent_id IS NULL ORDER BY created_at DESC LIMIT ? OFFSET ?";
    MessageRow::list(db, rest, args![channel_id, limit, skip]).await
}

/// Pinned messages of a channel, newest pin first.
#[boxed]
pub async fn pinned(db: &Db, channel_id: &str, (skip, limit): (i64, i64)) -> DbResult<Vec<MessageRow>> {
    let rest = "WHERE channel_id = ? AND is_pinned = ? ORDER BY pinned_at DESC LIMIT ? OFFSET ?";
    MessageRow::list(db, rest, args![channel_id, true, limit, skip]).await
}

/// Which part of a thread.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// From the newest on, without so many.
    After(i64),
    /// What is older than a message.
    Before(&'a str),
    /// From ten messages above one on.
    Around(&'a str),
}

/// Messages above the one that a window is asked around.
const ABOVE: i64 = 10;

/// Messages of a thread, newest first; when all fit, the message that began it is the last.
#[boxed]
pub async fn of_thread(
    db: &Db,
    channel_id: &str,
    parent_id: &str,
    part: Part<'_>,
    limit: i64,
) -> DbResult<Vec<MessageRow>> {
    let Some(parent) = by_id(db, parent_id).await? else {
        return Ok(Vec::new());
    };
    if parent.channel_id.as_deref() != Some(channel_id) {
        return Ok(Vec::new());
    }
    let mut text = "WHERE channel_id = ? AND parent_id = ?".to_owned();
    let mut args = args![channel_id, parent_id];
    let mut skip = 0;
    match part {
        Part::After(count) => skip = count,
        Part::Before(id) | Part::Around(id) => {
            let anchor = by_id(db, id).await?.filter(|anchor| {
                anchor.channel_id.as_deref() == Some(channel_id)
                    && (anchor.id == parent_id || anchor.parent_id.as_deref() == Some(parent_id))
            });
            let Some(anchor) = anchor else {
                return Ok(Vec::new());
            };
            let at = anchor.created_at.unwrap_or(0);
            if matches!(part, Part::Before(_)) {
                text.push_str(" AND (created_at < ? OR (created_at = ? AND id < ?))");
                args.extend(args![at, at, &anchor.id]);
            } else {
                let newer = format!("{text} AND (created_at > ? OR (created_at = ? AND id > ?))");
                let newer =
                    MessageRow::count(db, &newer, args![channel_id, parent_id, at, at, &anchor.id]).await?;
                skip = (newer - ABOVE).max(0);
            }
        }
    }
    args.extend(args![limit, skip]);
    let rest = format!("{text} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?");
    let mut rows = MessageRow::list(db, &rest, args).await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit {
        rows.push(parent);
    }
    Ok(rows)
}

/// Messages of these channels that contain a text, newest first. The period is in nanoseconds.
#[boxed]
pub async fn search(
    db: &Db,
    channel_ids: &[String],
    text: &str,
    (start, end): (Option<i64>, Option<i64>),
    limit: i64,
) -> DbResult<Vec<MessageRow>> {
    if channel_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (condition, found) = shared::contains(&["content"], text);
    let list = placeholders(channel_ids.len());
    let mut rest = format!("WHERE channel_id IN ({list}) AND {condition}");
    let mut args: Vec<Arg> = channel_ids.iter().map(Into::into).collect();
    args.extend(found);
    for (limit, sign) in [(start, ">="), (end, "<=")] {
        if let Some(at) = limit {
            rest.push_str(&format!(" AND created_at {sign} ?"));
            args.push(at.into());
        }
    }
    rest.push_str(" ORDER BY created_at DESC LIMIT ?");
    args.push(limit.into());
    MessageRow::list(db, &rest, args).await
}

/// How many messages the thread below a message has.
#[boxed]
pub async fn replies(db: &Db, id: &str) -> DbResult<i64> {
    MessageRow::count(db, "WHERE parent_id = ?", args![id]).await
}

/// Messages of others in a channel, in no thread, since a time.
#[boxed]
pub async fn unread(db: &Db, channel_id: &str, user_id: &str, since: Option<i64>) -> DbResult<i64> {
    let rest = "WHERE channel_id = ? AND parent_id IS NULL AND created_at > ? \
                AND (user_id IS NULL OR user_id <> ?)";
    MessageRow::count(db, rest, args![channel_id, since.unwrap_or(0), user_id]).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn messages_threads_and_reactions() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let (channel, _) = crate::channels::create(&db, &ada.id, Default::default(), &[])
                .await
                .unwrap();
            let write = async |user: &str, text: &str, parent: Option<&str>, reply: Option<&str>| {
                let new = NewMessage {
                    content: text.into(),
                    parent_id: parent.map(str::to_owned),
                    reply_to_id: reply.map(str::to_owned),
                    ..NewMessage::default()
                };
                create(&db, &channel.id, user, new, false).await.unwrap().id
            };
            let first = write(&ada.id, "Hello", None, None).await;
            let second = write(&bob.id, "Hi", None, Some(&first)).await;
            let below = write(&bob.id, "In the thread", Some(&first), None).await;
            react(&db, &first, &bob.id, "thumbsup").await.unwrap();
            react(&db, &first, &bob.id, "thumbsup").await.unwrap();
            react(&db, &first, &ada.id, "thumbsup").await.unwrap();
            let rows = of_channel(&db, &channel.id, (0, 10)).await.unwrap();
            assert_eq!(
                rows.iter().map(|row| &row.id).collect::<Vec<_>>(),
                [&second, &first]
            );
            let all = shown(&db, rows).await.unwrap();
            let list: Vec<Value> = all.iter().map(|one| one.to_json(Shape::Listed)).collect();
            assert_eq!(list[1]["reply_count"], 1);
            assert_eq!(list[1]["reactions"][0]["count"], 2);
            assert_eq!(
                list[1]["user"],
                json!({"id": ada.id, "name": "ada", "role": ada.role})
            );
            assert_eq!(list[0]["reply_to_message"]["content"], "Hello");
            assert_eq!(list[0]["data"], false);
            let thread = of_thread(&db, &channel.id, &first, Part::After(0), 50)
                .await
                .unwrap();
            assert_eq!(
                thread.iter().map(|row| &row.id).collect::<Vec<_>>(),
                [&below, &first]
            );
            let before = of_thread(&db, &channel.id, &first, Part::Before(&below), 1)
                .await
                .unwrap();
            assert_eq!(before.iter().map(|row| &row.id).collect::<Vec<_>>(), [&first]);
            assert_eq!(unread(&db, &channel.id, &ada.id, None).await.unwrap(), 1);
            update(
                &db,
                &first,
                "Hello all",
                Some(Map::from_iter([("files".into(), json!([1]))])),
                None,
            )
            .await
            .unwrap();
            set_pinned(&db, &first, Some(&bob.id)).await.unwrap();
            let row = pinned(&db, &channel.id, (0, 5)).await.unwrap().remove(0);
            assert_eq!(
                (row.content.as_deref(), row.data),
                (Some("Hello all"), Some(json!({"files": [1]})))
            );
            unreact(&db, &first, &bob.id, "thumbsup").await.unwrap();
            delete(&db, &first).await.unwrap();
            assert!(by_id(&*db, &below).await.unwrap().is_none());
            crate::channels::delete(&db, &channel.id).await.unwrap();
            assert!(by_id(&*db, &second).await.unwrap().is_none());
        }
    }
}
