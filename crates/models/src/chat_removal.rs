//! Deleting chats with all that hangs on them: messages, files, snapshots, grants and the journal of replies. Runs
//! of automations stay and forget the chat.

use oui_core::boxed;
use serde_json::Value;

use crate::chat_access::KIND;
use crate::chats::ChatHead;
use crate::db::{Arg, Conn, Db, DbResult, placeholders, sql};
use crate::{Tx, args, tags};

/// Statements that clear the way for deleting chats; `{}` is the condition on `chat`.
const DEPENDENTS: &[&str] = &[
    "UPDATE automation_run SET chat_id = NULL WHERE chat_id IN (SELECT id FROM chat WHERE {})",
    "DELETE FROM chat_message WHERE chat_id IN (SELECT id FROM chat WHERE {})",
    "DELETE FROM chat_file WHERE chat_id IN (SELECT id FROM chat WHERE {})",
    "DELETE FROM shared_chat WHERE chat_id IN (SELECT id FROM chat WHERE {})",
    "DELETE FROM oui_stream_journal WHERE chat_id IN (SELECT id FROM chat WHERE {})",
];

async fn delete_where(tx: &mut Tx, condition: &str, args: Vec<Arg>) -> DbResult<u64> {
    for statement in DEPENDENTS {
        sql(statement.replace("{}", condition), args.clone())
            .execute(&mut *tx)
            .await?;
    }
    let mut grant_args = args![KIND];
    grant_args.extend(args.clone());
    let grants = format!(
        "DELETE FROM access_grant WHERE resource_type = ? AND resource_id IN (SELECT id FROM chat WHERE {condition})"
    );
    sql(grants, grant_args).execute(&mut *tx).await?;
    sql(format!("DELETE FROM chat WHERE {condition}"), args)
        .execute(tx)
        .await
}

/// Ids of the hidden chats that sub-agents of a chat wrote.
#[boxed]
pub async fn children(conn: impl Into<Conn<'_>>, chat: &ChatHead) -> DbResult<Vec<String>> {
    let text =
        "SELECT id, meta FROM chat WHERE user_id = ? AND CAST(meta AS TEXT) LIKE '%\"parent_chat_id\"%'";
    let mut ids = Vec::new();
    for row in &sql(text, args![chat.user_id.clone()]).all(conn).await? {
        let meta: Option<Value> = row.at(1)?;
        let is_child = meta.is_some_and(|meta| {
            meta.get("internal") == Some(&Value::Bool(true)) && meta["parent_chat_id"] == chat.id.as_str()
        });
        if is_child {
            ids.push(row.at(0)?);
        }
    }
    Ok(ids)
}

/// Deletes a chat and the hidden ones below it. Its tags go when no other chat carries them.
#[boxed]
pub async fn delete(db: &Db, chat: &ChatHead, children: &[String]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let mut ids: Vec<Arg> = children.iter().map(Arg::from).collect();
    ids.push(Arg::from(&chat.id));
    delete_where(&mut tx, &format!("id IN ({})", placeholders(ids.len())), ids).await?;
    if let Some(owner) = &chat.user_id {
        tags::delete_unused(&mut tx, owner, &chat.tag_ids()).await?;
    }
    tx.commit().await
}

/// Deletes all chats of a user, and their tags.
#[boxed]
pub async fn delete_all(db: &Db, user_id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let ids: Vec<String> = tags::of_user(&mut tx, user_id)
        .await?
        .into_iter()
        .map(|tag| tag.id)
        .collect();
    delete_where(&mut tx, "user_id = ?", args![user_id]).await?;
    // Snapshots of chats that are gone already.
    sql("DELETE FROM shared_chat WHERE user_id = ?", args![user_id])
        .execute(&mut tx)
        .await?;
    tags::delete_unused(&mut tx, user_id, &ids).await?;
    tx.commit().await
}

/// Deletes the chats of a user that lie in one of the folders.
#[boxed]
pub async fn delete_in_folders(tx: &mut Tx, user_id: &str, folder_ids: &[String]) -> DbResult<()> {
    let mut args = args![user_id];
    args.extend(folder_ids.iter().map(Arg::from));
    let condition = format!(
        "user_id = ? AND folder_id IN ({})",
        placeholders(folder_ids.len())
    );
    delete_where(tx, &condition, args).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_of_a_deleted_chat_is_left() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let (gone, kept) = (
                crate::testing::chat(&db, &ada, "gone", "?").await,
                crate::testing::chat(&db, &ada, "kept", "?").await,
            );
            tags::add_to_chat(&db, &gone.id, &ada.id, "only here")
                .await
                .unwrap();
            for chat in [&gone, &kept] {
                tags::add_to_chat(&db, &chat.id, &ada.id, "both").await.unwrap();
            }
            crate::shared_chats::share(&db, &gone.id, &ada.id, None)
                .await
                .unwrap();
            let head = crate::chats::head(&*db, &gone.id).await.unwrap().unwrap();
            let below = children(&*db, &head).await.unwrap();
            assert!(below.is_empty());
            delete(&db, &head, &below).await.unwrap();
            for table in [
                "chat WHERE id",
                "chat_message WHERE chat_id",
                "shared_chat WHERE chat_id",
            ] {
                let text = format!("SELECT COUNT(*) FROM {table} = ?");
                assert_eq!(
                    sql(text, args![&gone.id]).scalar::<i64>(&*db).await.unwrap(),
                    Some(0),
                    "{table}"
                );
            }
            let names = async || {
                let tags = tags::of_user(&*db, &ada.id).await.unwrap();
                tags.into_iter().map(|tag| tag.id).collect::<Vec<_>>()
            };
            assert_eq!(names().await, ["both"]);
            delete_all(&db, &ada.id).await.unwrap();
            assert!(names().await.is_empty() && crate::chats::head(&*db, &kept.id).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn chats_of_sub_agents_are_found() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let chat = crate::testing::chat(&db, &ada, "above", "?").await;
            let meta = serde_json::json!({"internal": true, "parent_chat_id": chat.id});
            let new = crate::chat_edits::NewChat {
                id: "below".into(),
                user_id: ada.id.clone(),
                meta: meta.as_object().cloned().unwrap(),
                ..Default::default()
            };
            crate::chat_edits::create(&db, new).await.unwrap();
            let head = crate::chats::head(&*db, &chat.id).await.unwrap().unwrap();
            assert_eq!(children(&*db, &head).await.unwrap(), ["below"]);
        }
    }
}
