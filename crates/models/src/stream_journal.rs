//! Table `oui_stream_journal` (ours): replies in flight, written every half second or so while they
//! stream. What is found here at start was cut off by a crash and is completed from the journal.

use oui_core::boxed;
use serde_json::Value;

use crate::db::{Conn, Db, DbResult, sql};
use crate::{args, table};

table! {
    /// One reply in flight.
    pub struct JournalRow in "oui_stream_journal" {
        /// Reply.
        pub message_id: String,
        /// Chat of the reply.
        pub chat_id: String,
        /// Who asked.
        pub user_id: String,
        /// Task that writes it.
        pub task_id: String,
        /// `{output: [...]}` so far.
        pub state: Option<Value>,
        /// Seconds.
        pub updated_at: i64,
    }
}

/// Writes the state of several replies in one transaction. Rows come into being with their reply (see
/// [`chat_edits::begin_reply`](crate::chat_edits::begin_reply)) and go with it; they are only updated here, so that a
/// finished reply can not come back.
#[boxed]
pub async fn update(db: &Db, rows: &[JournalRow]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    for row in rows {
        sql(
            "UPDATE oui_stream_journal SET state = ?, updated_at = ? WHERE message_id = ?",
            args![row.state.clone(), row.updated_at, &row.message_id],
        )
        .execute(&mut tx)
        .await?;
    }
    tx.commit().await
}

/// Forgets a reply that is complete.
#[boxed]
pub async fn remove(conn: impl Into<Conn<'_>>, message_id: &str) -> DbResult<()> {
    sql(
        "DELETE FROM oui_stream_journal WHERE message_id = ?",
        args![message_id],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether replies are being written in a chat, on any server.
#[boxed]
pub async fn any_in(conn: impl Into<Conn<'_>>, chat_id: &str) -> DbResult<bool> {
    Ok(JournalRow::count(conn, "WHERE chat_id = ?", args![chat_id]).await? > 0)
}

/// Everything in the journal.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<JournalRow>> {
    JournalRow::list(conn, "ORDER BY updated_at", args![]).await
}
