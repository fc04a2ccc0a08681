//! What the socket server asks of the application, answered from the models and access crates.

use std::sync::Arc;

use async_trait::async_trait;
use oui_access::{Authenticator, is_verified};
use oui_core::ApiResult;
use oui_models::chats::ChatRow;
use oui_models::notes::{self, NoteChange, NoteRow};
use oui_models::shared::{self, Entry, Reader};
use oui_models::{Db, chat_access, chat_lists, chats, folder_files};
use oui_socket::{Backend, ChatAccess, ReadMark, SocketUser};
use serde_json::{Map, Value};

/// The application's side of the socket server.
pub(crate) struct SocketBackend {
    pub(crate) db: Db,
    pub(crate) auth: Arc<Authenticator>,
    /// `ENABLE_ADMIN_CHAT_ACCESS`.
    pub(crate) admin_chats: bool,
}

/// A failing database is answered like a refusal, and logged.
fn or_refuse<T: Default>(result: ApiResult<T>) -> T {
    result.unwrap_or_else(|error| {
        tracing::warn!(%error, "the socket server was refused an answer");
        T::default()
    })
}

impl SocketBackend {
    /// The note, when the user may do what the permission names.
    async fn note(
        &self,
        user: &SocketUser,
        note_id: &str,
        permission: &str,
    ) -> ApiResult<Option<Entry<NoteRow>>> {
        let Some(note) = shared::get::<NoteRow>(&self.db, note_id).await? else {
            return Ok(None);
        };
        let membership = oui_models::groups::membership(&self.db, &user.id).await?;
        let reader = Reader {
            user_id: &user.id,
            membership: &membership,
            sees_all: user.role == oui_access::ADMIN,
        };
        Ok(note.permits(&reader, permission).then_some(note))
    }

    async fn access(&self, user_id: &str, chat: &ChatRow) -> ApiResult<ChatAccess> {
        if chat.is_owned_by(user_id) {
            return Ok(ChatAccess::Owner);
        }
        if chat_access::may_continue(&self.db, chat, user_id).await? {
            return Ok(ChatAccess::Write);
        }
        let account = oui_models::users::account(&self.db, user_id).await?;
        let is_admin = account.is_some_and(|account| account.user.role == oui_access::ADMIN);
        let sees = is_admin && (self.admin_chats || chat.is_internal());
        if sees || chat_access::may_read(&self.db, chat, user_id).await? {
            return Ok(ChatAccess::Read);
        }
        Ok(ChatAccess::None)
    }
}

#[async_trait]
impl Backend for SocketBackend {
    async fn authenticate(&self, token: &str) -> Option<SocketUser> {
        if token.starts_with("sk-") {
            return None;
        }
        let identity = self.auth.by_token(token).await.ok()?;
        let user = &identity.account.user;
        is_verified(&user.role).then(|| SocketUser {
            id: user.id.clone(),
            name: user.name.clone(),
            role: user.role.clone(),
        })
    }

    async fn heartbeat(&self, user_id: &str) {
        self.auth.note_activity(user_id);
    }

    async fn channels_of(&self, user: &SocketUser) -> Vec<String> {
        let ids = async {
            let is_admin = user.role == oui_access::ADMIN;
            if !is_admin && !self.auth.permissions_of(&user.id).await?.has("features.channels") {
                return Ok(Vec::new());
            }
            let membership = oui_models::groups::membership(&self.db, &user.id).await?;
            Ok(oui_models::channels::ids_of_user(&self.db, &user.id, &membership, is_admin).await?)
        };
        or_refuse(ids.await)
    }

    async fn may_read_note(&self, user: &SocketUser, note_id: &str) -> bool {
        let may = async {
            if user.role != oui_access::ADMIN
                && !self.auth.permissions_of(&user.id).await?.has("features.notes")
            {
                return Ok(false);
            }
            Ok(self.note(user, note_id, "read").await?.is_some())
        };
        or_refuse(may.await)
    }

    async fn note_text(&self, user: &SocketUser, note_id: &str) -> Option<Value> {
        let note = or_refuse(self.note(user, note_id, "read").await)?;
        Some(note.row.data_object().get("content").cloned().unwrap_or_default())
    }

    async fn may_write_note(&self, user: &SocketUser, note_id: &str) -> bool {
        or_refuse(self.note(user, note_id, "write").await).is_some()
    }

    async fn may_attach(&self, user: &SocketUser, note_id: &str, files: &Value) -> bool {
        let may = async {
            let (Some(note), Some(account)) = (
                self.note(user, note_id, "write").await?,
                oui_models::users::account(&self.db, &user.id).await?,
            ) else {
                return Ok(false);
            };
            let may = folder_files::may_attach_to_note(&self.db, &note.row, files, &account.user);
            Ok(may.await?)
        };
        or_refuse(may.await)
    }

    async fn save_note(&self, user: &SocketUser, note_id: &str, data: Map<String, Value>) {
        let saved = async {
            if self.note(user, note_id, "write").await?.is_none() {
                return Ok(());
            }
            let data = notes::sanitize(Some(Value::Object(data)));
            let change = NoteChange {
                data: data.and_then(|data| data.as_object().cloned()),
                ..NoteChange::default()
            };
            notes::update(&self.db, note_id, change).await?;
            Ok(())
        };
        or_refuse(saved.await);
    }

    async fn chat_access(&self, user_id: &str, chat_id: &str) -> ChatAccess {
        let access = async {
            match chats::by_id(&self.db, chat_id).await? {
                Some(chat) => self.access(user_id, &chat).await.map(Some),
                None => Ok(None),
            }
        };
        or_refuse(access.await).unwrap_or(ChatAccess::None)
    }

    async fn mark_chat_read(&self, user_id: &str, chat_id: &str) -> Option<ReadMark> {
        let mark = async {
            let Some((last_read_at, was_unread)) = chats::mark_read(&self.db, chat_id, user_id).await? else {
                return Ok(None);
            };
            oui_models::timers::cancel(&self.db, chat_id, user_id, "chat.read").await?;
            let folder_unread_counts = match was_unread {
                true => Some(chat_lists::unread_by_folder(&self.db, user_id).await?),
                false => None,
            };
            Ok(Some(ReadMark {
                last_read_at,
                folder_unread_counts,
            }))
        };
        or_refuse(mark.await)
    }

    async fn mark_channel_read(&self, user_id: &str, channel_id: &str) {
        or_refuse(
            oui_models::channels::mark_read(&self.db, channel_id, user_id)
                .await
                .map_err(Into::into),
        );
    }
}
