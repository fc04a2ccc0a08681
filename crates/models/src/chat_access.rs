//! Who besides its owner may see or continue a chat: people it is shared with in `continue` mode, and
//! readers of the folder it lies in.

use serde_json::Value;

use crate::chats::ChatRow;
use crate::db::{Db, DbResult, sql};
use crate::{args, folders, grants, groups};

/// `resource_type` of shared chats in the grants.
pub const KIND: &str = "shared_chat";

async fn share_mode(db: &Db, chat_id: &str) -> DbResult<Option<String>> {
    let snapshot: Option<Option<Value>> =
        sql("SELECT chat FROM shared_chat WHERE chat_id = ?", args![chat_id]).scalar(db).await?;
    let mode = snapshot.flatten().and_then(|chat| chat.get("share_mode")?.as_str().map(str::to_owned));
    Ok(mode)
}

async fn shared_to_continue(db: &Db, chat: &ChatRow, user_id: &str) -> DbResult<bool> {
    if share_mode(db, &chat.id).await?.as_deref() != Some("continue") {
        return Ok(false);
    }
    let membership = groups::membership(db, user_id).await?;
    grants::allows(db, KIND, &chat.id, "read", user_id, &membership).await
}

async fn through_folder(db: &Db, chat: &ChatRow, user_id: &str, to_continue: bool) -> DbResult<bool> {
    let Some(folder_id) = chat.folder_id.as_deref() else { return Ok(false) };
    let Some(folder) = folders::by_id(db, folder_id).await? else { return Ok(false) };
    let mode = folder.data.as_ref().and_then(|data| data.get("share_mode")?.as_str());
    Ok((!to_continue || mode == Some("continue")) && folders::may_read(db, &folder, user_id).await?)
}

/// Whether somebody else than the owner may write in the chat.
pub async fn may_continue(db: &Db, chat: &ChatRow, user_id: &str) -> DbResult<bool> {
    Ok(shared_to_continue(db, chat, user_id).await? || through_folder(db, chat, user_id, true).await?)
}

/// Whether somebody else than the owner may look at the chat itself (not only at a shared snapshot).
pub async fn may_read(db: &Db, chat: &ChatRow, user_id: &str) -> DbResult<bool> {
    Ok(shared_to_continue(db, chat, user_id).await? || through_folder(db, chat, user_id, false).await?)
}
