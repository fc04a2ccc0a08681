//! Changes that an administrator makes to an account, and its removal. Each is one transaction over
//! all tables concerned.

use oui_core::boxed;
use oui_core::ids;

use crate::auths::{self, AuthRow};
use crate::db::{Changes, Db, DbResult, sql};
use crate::{args, groups, quotas};

use super::{UserRow, by_id, changed};

/// What an administrator changes; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountEdit {
    /// `admin`, `user` or `pending`.
    pub role: Option<String>,
    /// Name shown.
    pub name: Option<String>,
    /// Address; stored in lower case, in both tables.
    pub email: Option<String>,
    /// Path, address or data URI.
    pub profile_image_url: Option<String>,
    /// Hash of a new password; it ends every session.
    pub password_hash: Option<String>,
}

/// Applies the changes; answers the new row.
#[boxed]
pub async fn edit(db: &Db, id: &str, edit: AccountEdit) -> DbResult<Option<UserRow>> {
    let email = edit.email.map(|email| email.to_lowercase());
    let mut credentials = Changes::new().set_some("email", email.clone());
    let mut tx = db.begin().await?;
    if let Some(hash) = edit.password_hash {
        let mfa = auths::mfa_without_challenges(&mut tx, id).await?;
        credentials = credentials
            .set("password", hash)
            .set("session_stamp", ids::uuid())
            .set_some("mfa", mfa);
    }
    AuthRow::update(&mut tx, credentials, "WHERE id = ?", args![id]).await?;
    let profile = Changes::new()
        .set_some("role", edit.role)
        .set_some("name", edit.name)
        .set_some("email", email)
        .set_some("profile_image_url", edit.profile_image_url);
    UserRow::update(&mut tx, profile, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    changed(db, id);
    by_id(db, id).await
}

/// What goes with an account, in this order; `?` is its id. Workspace items (models, prompts, knowledge, ...)
/// stay, since others may use them.
const REMOVALS: &[&str] = &[
    "DELETE FROM group_member WHERE user_id = ?",
    "DELETE FROM shared_chat WHERE user_id = ?",
    "UPDATE automation_run SET chat_id = NULL WHERE chat_id IN (SELECT id FROM chat WHERE user_id = ?)",
    "DELETE FROM chat_message WHERE chat_id IN (SELECT id FROM chat WHERE user_id = ?)",
    "DELETE FROM chat_file WHERE chat_id IN (SELECT id FROM chat WHERE user_id = ?)",
    "DELETE FROM oui_stream_journal WHERE user_id = ?",
    "DELETE FROM chat WHERE user_id = ?",
    "DELETE FROM api_key WHERE user_id = ?",
    "DELETE FROM oauth_session WHERE user_id = ?",
    "DELETE FROM auth WHERE id = ?",
    "DELETE FROM \"user\" WHERE id = ?",
];

/// Removes an account with its chats, memberships and credentials. An unknown id is no error.
#[boxed]
pub async fn remove(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let touched = "UPDATE \"group\" SET updated_at = ? WHERE id IN (SELECT group_id FROM group_member WHERE user_id = ?)";
    sql(touched, args![db.now(), id]).execute(&mut tx).await?;
    for statement in REMOVALS {
        sql(*statement, args![id]).execute(&mut tx).await?;
    }
    quotas::remove_subject(&mut tx, "user", id).await?;
    tx.commit().await?;
    quotas::changed(db);
    changed(db, id);
    groups::changed(db);
    db.caches().api_keys.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{databases, group, user};
    use crate::{api_keys, users};

    #[tokio::test]
    async fn an_edit_changes_both_tables_and_only_a_password_ends_sessions() {
        for db in databases().await {
            let ada = user(&db, "Ada").await;
            let before = auths::by_id(&db, &ada.id).await.unwrap().unwrap();
            let change = AccountEdit {
                email: Some("New@Example.com".into()),
                role: Some("admin".into()),
                ..AccountEdit::default()
            };
            let row = edit(&db, &ada.id, change).await.unwrap().unwrap();
            assert_eq!(
                (row.email.as_str(), row.role.as_str(), row.name.as_str()),
                ("new@example.com", "admin", "Ada")
            );
            let after = auths::by_id(&db, &ada.id).await.unwrap().unwrap();
            assert_eq!(after.email.as_deref(), Some("new@example.com"));
            assert_eq!(after.session_stamp, before.session_stamp);
            let change = AccountEdit {
                password_hash: Some("hash".into()),
                ..AccountEdit::default()
            };
            edit(&db, &ada.id, change).await.unwrap();
            let after = auths::by_id(&db, &ada.id).await.unwrap().unwrap();
            assert_eq!(after.password.as_deref(), Some("hash"));
            assert_ne!(after.session_stamp, before.session_stamp);
        }
    }

    #[tokio::test]
    async fn removal_takes_everything_of_the_user_and_nothing_of_others() {
        for db in databases().await {
            let (ada, bob) = (user(&db, "Ada").await, user(&db, "Bob").await);
            let writers = group(&db, "Writers").await;
            groups::add_members(&db, &writers, &[ada.id.clone(), bob.id.clone()])
                .await
                .unwrap()
                .unwrap();
            let key = api_keys::replace(&db, &ada.id).await.unwrap();
            for owner in [&ada.id, &bob.id] {
                let chat = format!("chat-of-{owner}");
                sql(
                    "INSERT INTO chat (id, user_id, title, meta) VALUES (?, ?, ?, ?)",
                    args![&chat, owner, "t", serde_json::json!({})],
                )
                .execute(&db)
                .await
                .unwrap();
                sql(
                    "INSERT INTO chat_message (id, chat_id, user_id, role) VALUES (?, ?, ?, 'user')",
                    args![format!("{chat}-m"), &chat, owner],
                )
                .execute(&db)
                .await
                .unwrap();
            }
            remove(&db, &ada.id).await.unwrap();
            assert_eq!(users::by_id(&db, &ada.id).await.unwrap(), None);
            assert_eq!(auths::by_id(&db, &ada.id).await.unwrap(), None);
            assert_eq!(api_keys::owner(&db, &key).await.unwrap(), None);
            for table in ["chat", "chat_message", "group_member"] {
                let left: Vec<String> = sql(format!("SELECT user_id FROM {table}"), args![])
                    .all(&db)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| row.at(0).unwrap())
                    .collect();
                assert_eq!(left, std::slice::from_ref(&bob.id), "{table}");
            }
            remove(&db, &ada.id).await.unwrap();
        }
    }
}
