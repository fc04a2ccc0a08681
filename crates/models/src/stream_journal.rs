//! Table `oui_stream_journal` (ours): replies in flight, written every half second or so while they
//! stream. What is found here at start was cut off by a crash and is completed from the journal; where several servers
//! share the database, only what none of them has touched for a while.

use oui_core::boxed;
use serde_json::Value;

use crate::db::{Conn, Db, DbResult, placeholders, sql};
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

/// Says that replies are still being written: those of these tasks, and these.
#[boxed]
pub async fn touch(db: &Db, task_ids: &[String], message_ids: &[String]) -> DbResult<()> {
    for (column, ids) in [("task_id", task_ids), ("message_id", message_ids)] {
        for some in ids.chunks(1000) {
            let mut args = args![db.now()];
            args.extend(some.iter().map(|id| id.as_str().into()));
            let text = format!(
                "UPDATE oui_stream_journal SET updated_at = ? WHERE {column} IN ({})",
                placeholders(some.len())
            );
            sql(text, args).execute(db).await?;
        }
    }
    Ok(())
}

/// Takes a reply that nobody writes any more. `false` when another server did, or somebody writes it after all.
#[boxed]
pub async fn claim(db: &Db, row: &JournalRow) -> DbResult<bool> {
    let text = "UPDATE oui_stream_journal SET updated_at = ? WHERE message_id = ? AND updated_at = ?";
    let args = args![db.now(), &row.message_id, row.updated_at];
    Ok(sql(text, args).execute(db).await? > 0)
}

/// Replies that nobody has touched since `before`, in seconds.
#[boxed]
pub async fn untouched_since(conn: impl Into<Conn<'_>>, before: i64) -> DbResult<Vec<JournalRow>> {
    JournalRow::list(conn, "WHERE updated_at < ? ORDER BY updated_at", args![before]).await
}

/// Everything in the journal.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<JournalRow>> {
    JournalRow::list(conn, "ORDER BY updated_at", args![]).await
}
