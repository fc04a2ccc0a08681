//! What the steps before a reply share: the request, the model, how the user is told, and what the account may do.

use std::sync::Arc;

use oui_core::ApiResult;
use oui_models::chats;
use oui_models::folders::{self, FolderRow};
use serde_json::Value;

use crate::catalogue::Model;
use crate::emit::ChatEmitter;
use crate::engine::Engine;
use crate::turn::Turn;

/// What the steps before a reply have to know.
pub(super) struct Step<'a> {
    pub(super) engine: &'a Engine,
    pub(super) turn: &'a Turn,
    pub(super) model: &'a Arc<Model>,
    pub(super) emitter: &'a ChatEmitter,
    /// Whether the model calls tools itself.
    pub(super) native: bool,
}

impl Step<'_> {
    pub(super) async fn status(&self, data: Value) {
        self.emitter.status(&self.engine.db, data).await;
    }

    /// Whether the account has a permission; what the request says of features is the client's word only.
    pub(super) async fn may(&self, permission: &str) -> bool {
        let user = &self.turn.user.user;
        if user.role == oui_access::ADMIN {
            return true;
        }
        match self.engine.auth.permissions_of(&user.id).await {
            Ok(permissions) => permissions.has(permission),
            Err(error) => {
                tracing::error!(%error, "permissions could not be read");
                false
            }
        }
    }

    /// Whether the model is told by name what is attached, because it can look into it: in a chat of the user's own.
    pub(super) async fn names_files(&self) -> ApiResult<bool> {
        let turn = self.turn;
        let has_tools = turn.session_id.is_some()
            && self.native
            && !turn.choices.own_tools
            && self.model.capability("builtin_tools", true);
        let Some(chat_id) = turn.chat.saved().filter(|_| has_tools) else {
            return Ok(false);
        };
        let head = chats::head(&self.engine.db, chat_id).await?;
        Ok(head.is_some_and(|head| head.is_owned_by(&turn.user.user.id)))
    }

    /// The folder that the chat lies in, if the user may read it.
    pub(super) async fn folder(&self) -> ApiResult<Option<FolderRow>> {
        let (engine, user) = (self.engine, &self.turn.user.user);
        let of_chat = match self.turn.chat.saved() {
            Some(chat_id) => chats::folder_id(&engine.db, chat_id).await?,
            None => None,
        };
        let Some(folder_id) = of_chat.or_else(|| self.turn.folder_id.clone()) else {
            return Ok(None);
        };
        let Some(folder) = folders::by_id(&engine.db, &folder_id).await? else {
            return Ok(None);
        };
        let readable =
            user.role == oui_access::ADMIN || folders::may_read(&engine.db, &folder, &user.id).await?;
        Ok(Some(folder).filter(|_| readable))
    }
}

/// The system prompt of a folder.
pub(super) fn folder_prompt(folder: &FolderRow) -> Option<&str> {
    let prompt = folder.data.as_ref()?.get("system_prompt")?.as_str()?;
    Some(prompt).filter(|prompt| !prompt.is_empty())
}
