//! Lists of chats: what the sidebar, the archive and the search show. Lists never read the documents.

use crate::args;
use crate::db::{Conn, DbResult, sql};

/// Condition under which a chat is shown in lists: chats of sub-agents, notes and timers are not.
pub const NOT_INTERNAL: &str =
    "(chat.meta IS NULL OR CAST(chat.meta AS TEXT) NOT LIKE '%\"internal\": true%' \
      AND CAST(chat.meta AS TEXT) NOT LIKE '%\"internal\":true%')";

/// Unread chats of a user by folder.
pub async fn unread_by_folder(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<(String, i64)>> {
    let text = format!(
        "SELECT folder_id, COUNT(*) FROM chat WHERE user_id = ? AND folder_id IS NOT NULL \
         AND archived = ? AND (last_read_at IS NULL OR updated_at > last_read_at) AND {NOT_INTERNAL} \
         GROUP BY folder_id"
    );
    let rows = sql(text, args![user_id, false]).all(conn).await?;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}
