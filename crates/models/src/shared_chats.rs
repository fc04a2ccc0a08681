//! Table `shared_chat`: snapshots of chats that people were given a link to. Who may open the link is in the grants
//! (kind `shared_chat`, resource: the chat).

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Value, json};

use crate::chat_access::KIND;
use crate::chat_lists::{PageFilter, Window};
use crate::chat_search::matches;
use crate::chats::{ChatHead, ChatRow};
use crate::db::{Arg, Changes, Conn, Db, DbResult, placeholders, sql};
use crate::{Tx, args, grants, table};

table! {
    /// One snapshot.
    pub struct SharedChatRow in "shared_chat" {
        /// The token in the link.
        pub id: String,
        /// The chat it was taken of.
        pub chat_id: String,
        /// Who shared it.
        pub user_id: String,
        /// Title at that time.
        pub title: Option<String>,
        /// Document at that time, and `share_mode`.
        pub chat: Option<Value>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
    }
}

impl SharedChatRow {
    /// Whether readers may write in the chat itself.
    pub fn is_to_continue(&self) -> bool {
        self.chat
            .as_ref()
            .and_then(|chat| chat.get("share_mode")?.as_str())
            == Some("continue")
    }

    /// The snapshot in the shape of a chat.
    pub fn into_chat(self) -> ChatRow {
        ChatRow {
            share_id: Some(self.id.clone()),
            id: self.id,
            user_id: Some(self.user_id),
            title: self.title,
            created_at: self.created_at,
            updated_at: self.updated_at,
            archived: Some(false),
            chat: self.chat,
            pinned: Some(false),
            meta: None,
            folder_id: None,
            tasks: None,
            summary: None,
            last_read_at: None,
            current_message_id: None,
            variables: None,
            timer_at: None,
        }
    }
}

/// The snapshot with this token.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<SharedChatRow>> {
    SharedChatRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Whether the link of a chat opens without an account.
#[boxed]
pub async fn is_open(conn: impl Into<Conn<'_>>, chat_id: &str) -> DbResult<bool> {
    let text = "SELECT 1 FROM access_grant WHERE resource_type = ? AND resource_id = ? \
                AND principal_type = 'anyone' AND principal_id = '*' AND permission = 'read' LIMIT 1";
    Ok(sql(text, args![KIND, chat_id]).first(conn).await?.is_some())
}

/// Document of a chat with the mode of the share.
fn snapshot(chat: &ChatRow, mode: Option<&str>) -> Value {
    let mut document = chat.document();
    document.insert("share_mode".into(), json!(mode));
    Value::Object(document)
}

/// Shares a chat, or takes its snapshot again. `mode` is the mode to set, if one was given. `None` when the chat is
/// gone.
#[boxed]
pub async fn share(
    db: &Db,
    chat_id: &str,
    user_id: &str,
    mode: Option<Option<&str>>,
) -> DbResult<Option<ChatRow>> {
    let mut tx = db.begin().await?;
    let Some(mut chat) = crate::chats::by_id(&mut tx, chat_id).await? else {
        return Ok(None);
    };
    let now = tx.db().now();
    let shared = match &chat.share_id {
        Some(share_id) => by_id(&mut tx, share_id).await?,
        None => None,
    };
    if let Some(shared) = shared {
        let kept = shared.is_to_continue().then_some("continue");
        let changes = Changes::new()
            .set("title", chat.title.clone())
            .set("chat", snapshot(&chat, mode.unwrap_or(kept)))
            .set("updated_at", now);
        SharedChatRow::update(&mut tx, changes, "WHERE id = ?", args![&shared.id]).await?;
    } else {
        let row = SharedChatRow {
            id: ids::uuid(),
            chat_id: chat.id.clone(),
            user_id: user_id.to_owned(),
            title: chat.title.clone(),
            chat: Some(snapshot(&chat, mode.flatten())),
            created_at: Some(now),
            updated_at: Some(now),
        };
        row.insert(&mut tx).await?;
        set_share_id(&mut tx, chat_id, Some(&row.id)).await?;
        chat.share_id = Some(row.id);
    }
    tx.commit().await?;
    Ok(Some(chat))
}

async fn set_share_id(tx: &mut Tx, chat_id: &str, share_id: Option<&str>) -> DbResult<()> {
    ChatHead::update(
        tx,
        Changes::new().set("share_id", share_id),
        "WHERE id = ?",
        args![chat_id],
    )
    .await?;
    Ok(())
}

/// Sets who may open the link of a chat and, when `mode` is given, whether they may continue the chat. A chat that is
/// no longer to be continued is shown as it is now.
#[boxed]
pub async fn set_access(
    db: &Db,
    chat: &ChatHead,
    audience: &[grants::Grant],
    mode: Option<Option<&str>>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    grants::replace(&mut tx, KIND, &chat.id, audience).await?;
    if let (Some(mode), Some(share_id)) = (mode, &chat.share_id) {
        set_mode(&mut tx, share_id, mode).await?;
    }
    tx.commit().await
}

async fn set_mode(tx: &mut Tx, share_id: &str, mode: Option<&str>) -> DbResult<()> {
    let Some(shared) = by_id(&mut *tx, share_id).await? else {
        return Ok(());
    };
    let mut changes = Changes::new();
    let mut document = shared
        .chat
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if mode.is_none()
        && shared.is_to_continue()
        && let Some(chat) = crate::chats::by_id(&mut *tx, &shared.chat_id).await?
    {
        document = chat.document();
        changes = changes.set("title", chat.title);
    }
    document.insert("share_mode".into(), json!(mode));
    let changes = changes.set("chat", Value::Object(document));
    SharedChatRow::update(tx, changes, "WHERE id = ?", args![share_id]).await?;
    Ok(())
}

/// Ends the sharing of a chat.
#[boxed]
pub async fn unshare(db: &Db, chat_id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    SharedChatRow::delete(&mut tx, "WHERE chat_id = ?", args![chat_id]).await?;
    set_share_id(&mut tx, chat_id, None).await?;
    grants::remove(&mut tx, KIND, chat_id).await?;
    tx.commit().await
}

/// Ends the sharing of every chat that the user shared.
#[boxed]
pub async fn unshare_all(db: &Db, user_id: &str) -> DbResult<Vec<String>> {
    let mut tx = db.begin().await?;
    let rows = sql(
        "SELECT DISTINCT chat_id FROM shared_chat WHERE user_id = ?",
        args![user_id],
    )
    .all(&mut tx)
    .await?;
    let chat_ids: Vec<String> = rows.iter().map(|row| row.at(0)).collect::<DbResult<_>>()?;
    SharedChatRow::delete(&mut tx, "WHERE user_id = ?", args![user_id]).await?;
    for ids in chat_ids.chunks(500) {
        let list: Vec<Arg> = ids.iter().map(Arg::from).collect();
        let condition = format!("({})", placeholders(ids.len()));
        let changes = Changes::new().set("share_id", None::<String>);
        ChatHead::update(
            &mut tx,
            changes,
            &format!("WHERE id IN {condition}"),
            list.clone(),
        )
        .await?;
        let mut args = args![KIND];
        args.extend(list);
        let text = format!("DELETE FROM access_grant WHERE resource_type = ? AND resource_id IN {condition}");
        sql(text, args).execute(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(chat_ids)
}

/// What a user shared, as routes send it.
#[boxed]
pub async fn of_user(db: &Db, user_id: &str, filter: &PageFilter, window: Window) -> DbResult<Vec<Value>> {
    let mut args = args![user_id];
    let mut condition = "user_id = ?".to_owned();
    if let Some(query) = filter.query.as_deref().filter(|query| !query.is_empty()) {
        let (text, arg) = matches(db.dialect(), "title", query);
        condition.push_str(&format!(" AND {text}"));
        args.push(arg);
    }
    let order = filter
        .order("shared_chat")
        .unwrap_or_else(|| "updated_at DESC".to_owned());
    let text = format!(
        "SELECT chat_id, title, id, updated_at, created_at FROM shared_chat WHERE {condition} \
         ORDER BY {order} LIMIT ? OFFSET ?"
    );
    args.extend(args![window.limit, window.skip]);
    let rows = sql(text, args).all(db).await?;
    rows.iter()
        .map(|row| {
            let chat_id: String = row.at(0)?;
            Ok(json!({
                "id": chat_id,
                "chat_id": chat_id,
                "title": row.at::<Option<String>>(1)?,
                "share_id": row.at::<String>(2)?,
                "updated_at": row.at::<Option<i64>>(3)?,
                "created_at": row.at::<Option<i64>>(4)?,
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_snapshot_changes_when_it_is_taken_again() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let chat = crate::testing::chat(&db, &ada, "First", "?").await;
            let shared = share(&db, &chat.id, &ada.id, Some(Some("continue")))
                .await
                .unwrap()
                .unwrap();
            let token = shared.share_id.unwrap();
            crate::chat_edits::set_title(&db, &chat.id, "Second")
                .await
                .unwrap();
            let now = async || by_id(&*db, &token).await.unwrap().unwrap();
            assert_eq!(now().await.title.as_deref(), Some("First"));
            // Taking it again keeps link and mode.
            assert_eq!(
                share(&db, &chat.id, &ada.id, None)
                    .await
                    .unwrap()
                    .unwrap()
                    .share_id
                    .as_deref(),
                Some(&*token)
            );
            assert!(now().await.is_to_continue() && now().await.title.as_deref() == Some("Second"));
            crate::chat_edits::set_title(&db, &chat.id, "Third")
                .await
                .unwrap();
            let head = crate::chats::head(&*db, &chat.id).await.unwrap().unwrap();
            let anyone = grants::Grant {
                principal_type: "anyone".into(),
                ..grants::Grant::public_read()
            };
            set_access(&db, &head, &[anyone], Some(None)).await.unwrap();
            assert!(!now().await.is_to_continue() && now().await.title.as_deref() == Some("Third"));
            assert!(is_open(&*db, &chat.id).await.unwrap());
            let list = of_user(&db, &ada.id, &PageFilter::default(), Window::page(1, 60))
                .await
                .unwrap();
            assert_eq!(
                (list.len(), &list[0]["share_id"], &list[0]["id"]),
                (1, &json!(token), &json!(chat.id))
            );
            unshare_all(&db, &ada.id).await.unwrap();
            assert!(!is_open(&*db, &chat.id).await.unwrap() && by_id(&*db, &token).await.unwrap().is_none());
            assert_eq!(
                crate::chats::head(&*db, &chat.id)
                    .await
                    .unwrap()
                    .unwrap()
                    .share_id,
                None
            );
        }
    }
}
