//! Keeps what has streamed safe from a crash: a loop writes every reply in flight to the journal twice a
//! second, all in one transaction; at start, what the journal still holds is put into its chat and marked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oui_models::stream_journal::{self, JournalRow};
use oui_models::{Db, DbResult, chat_edits};
use serde_json::{Value, json};

use crate::output::mark_incomplete;
use crate::streams::Streams;
use crate::tasks::TaskRegistry;

/// Pause between two writes: what streamed within it is all that a crash can take.
const INTERVAL: Duration = Duration::from_millis(500);

/// Writes between two signs of life of the replies in flight: 20 seconds.
const SIGN_OF_LIFE: u32 = 40;

/// Seconds without a sign of life after which a reply is taken for one of a server that is gone.
const GONE: i64 = 90;

/// Pause between two looks for such replies.
pub(crate) const LOOK: Duration = Duration::from_secs(30);

/// Shown on a reply that a crash cut off.
const INTERRUPTED: &str = "The server stopped while this reply was being written. What had arrived is kept; regenerate for a whole reply.";

/// Writes the journal until the process ends. Sleeps while nothing streams. With other servers on the database, replies
/// give a sign of life also while no word comes.
pub(crate) async fn run(db: Db, streams: Arc<Streams>, tasks: Arc<TaskRegistry>, alone: bool) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u32;
    loop {
        ticks.tick().await;
        count = count.wrapping_add(1);
        let mut written = write(&db, &streams).await;
        if !alone && count.is_multiple_of(SIGN_OF_LIFE) {
            let ids: Vec<String> = streams
                .all()
                .iter()
                .map(|stream| stream.message_id.clone())
                .collect();
            written = written.and(stream_journal::touch(&db, &tasks.all(), &ids).await);
        }
        if let Err(error) = written {
            tracing::warn!(%error, "could not write the journal of replies in flight; trying again");
        }
    }
}

async fn write(db: &Db, streams: &Streams) -> DbResult<()> {
    let now = db.now();
    let rows: Vec<JournalRow> = streams
        .all()
        .into_iter()
        .filter(|stream| stream.saved && stream.dirty.swap(false, Ordering::AcqRel))
        .map(|stream| JournalRow {
            message_id: stream.message_id.clone(),
            chat_id: stream.chat_id.clone(),
            user_id: stream.user_id.clone(),
            task_id: stream.task_id.clone(),
            state: Some(json!({ "output": stream.output.lock().to_value() })),
            updated_at: now,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    // A reply that ended while this was prepared has left the journal; its row must not come back.
    stream_journal::update(db, &rows).await
}

/// Completes what the journal holds from before a crash: all of it, or, with other servers on the database, what nobody
/// writes any more. Answers the chat of each reply.
pub(crate) async fn recover(db: &Db, alone: bool) -> DbResult<Vec<String>> {
    if alone {
        let rows = stream_journal::all(db).await?;
        return complete(db, rows).await;
    }
    let mut mine = Vec::new();
    for row in stream_journal::untouched_since(db, db.now() - GONE).await? {
        if stream_journal::claim(db, &row).await? {
            mine.push(row);
        }
    }
    complete(db, mine).await
}

async fn complete(db: &Db, rows: Vec<JournalRow>) -> DbResult<Vec<String>> {
    for row in &rows {
        let mut message = serde_json::Map::new();
        let stored = match chat_edits::edit(db, &row.chat_id).await? {
            Some(edit) => edit.message(&row.message_id).cloned(),
            None => None,
        };
        let Some(stored) = stored.filter(|stored| stored["done"] == Value::Bool(false)) else {
            stream_journal::remove(db, &row.message_id).await?;
            continue;
        };
        // Tool calls that ran after the user's consent are in the chat, not in the journal.
        let kept = row
            .state
            .as_ref()
            .and_then(|state| state.get("output")?.as_array());
        let mut items = kept
            .or_else(|| stored.get("output")?.as_array())
            .cloned()
            .unwrap_or_default();
        mark_incomplete(&mut items);
        message.insert("done".into(), json!(true));
        message.insert("output".into(), Value::Array(items));
        message.insert("error".into(), json!({ "content": INTERRUPTED }));
        chat_edits::finish_reply(db, &row.chat_id, &row.message_id, message).await?;
    }
    Ok(rows.into_iter().map(|row| row.chat_id).collect())
}
