//! Table `chat_file`: which uploaded files belong to which chat.

use oui_core::boxed;
use oui_core::ids;

use crate::db::DbResult;
use crate::{Tx, table};

table! {
    /// One file of a chat.
    pub struct ChatFileRow in "chat_file" {
        /// Row id.
        pub id: String,
        /// Who attached it.
        pub user_id: String,
        /// Chat.
        pub chat_id: String,
        /// File.
        pub file_id: String,
        /// Message it came with.
        pub message_id: Option<String>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

/// Notes files of a chat; files that are noted already stay as they are.
#[boxed]
pub async fn insert(
    tx: &mut Tx,
    chat_id: &str,
    message_id: Option<&str>,
    file_ids: &[String],
    user_id: &str,
) -> DbResult<()> {
    let now = tx.db().now();
    for file_id in file_ids {
        let row = ChatFileRow {
            id: ids::uuid(),
            user_id: user_id.to_owned(),
            chat_id: chat_id.to_owned(),
            file_id: file_id.clone(),
            message_id: message_id.map(str::to_owned),
            created_at: now,
            updated_at: now,
        };
        row.insert_or(&mut *tx, "ON CONFLICT (chat_id, file_id) DO NOTHING")
            .await?;
    }
    Ok(())
}
