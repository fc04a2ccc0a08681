//! Who besides its owner may see or continue a chat: people it is shared with in `continue` mode, and
//! readers of the folder it lies in.

use crate::chats::Placed;
use crate::db::{Db, DbResult, sql};
use crate::{args, folders, grants, groups};

/// `resource_type` of shared chats in the grants.
pub const KIND: &str = "shared_chat";

async fn share_mode(db: &Db, chat_id: &str) -> DbResult<Option<String>> {
    // The arrow means the same in both dialects and spares reading the snapshot.
    let text =
        "SELECT chat->>'share_mode' FROM shared_chat WHERE chat_id = ? ORDER BY updated_at DESC LIMIT 1";
    Ok(sql(text, args![chat_id])
        .scalar::<Option<String>>(db)
        .await?
        .flatten())
}

async fn shared_to_continue(db: &Db, chat: &impl Placed, user_id: &str) -> DbResult<bool> {
    if share_mode(db, chat.id()).await?.as_deref() != Some("continue") {
        return Ok(false);
    }
    let membership = groups::membership(db, user_id).await?;
    grants::allows(db, KIND, chat.id(), "read", user_id, &membership).await
}

async fn through_folder(db: &Db, chat: &impl Placed, user_id: &str, to_continue: bool) -> DbResult<bool> {
    let Some(folder_id) = chat.folder_id() else {
        return Ok(false);
    };
    let Some(folder) = folders::by_id(db, folder_id).await? else {
        return Ok(false);
    };
    let mode = folder
        .data
        .as_ref()
        .and_then(|data| data.get("share_mode")?.as_str());
    Ok((!to_continue || mode == Some("continue")) && folders::may_read(db, &folder, user_id).await?)
}

/// Whether somebody else than the owner may write in the chat.
pub async fn may_continue(db: &Db, chat: &impl Placed, user_id: &str) -> DbResult<bool> {
    Ok(shared_to_continue(db, chat, user_id).await? || through_folder(db, chat, user_id, true).await?)
}

/// Whether somebody else than the owner may look at the chat itself (not only at a shared snapshot).
pub async fn may_read(db: &Db, chat: &impl Placed, user_id: &str) -> DbResult<bool> {
    Ok(shared_to_continue(db, chat, user_id).await? || through_folder(db, chat, user_id, false).await?)
}
