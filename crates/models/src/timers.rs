//! Timers of chats: prompts that come back into their chat at a set time. Each is an internal chat of its own whose
//! `meta` says what is to happen, with the time in `timer_at` (nanoseconds). What happens then is not done here.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::chats::ChatRow;
use crate::db::{Changes, Db, DbResult, Dialect};
use crate::{Tx, args};

/// For how long a server has a due timer to itself. One that dies meanwhile leaves the timer to whoever looks next.
pub const LEASE: i64 = 60_000_000_000;

/// A due timer that this server has to itself for [`LEASE`].
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The timer.
    pub timer: ChatRow,
    /// Says whose claim it is.
    pub claim: String,
}

const DUE: &str = "WHERE timer_at <= ? AND meta->>'status' IN ('pending', 'running')";

fn lock(db: &Db) -> &'static str {
    match db.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    }
}

/// Takes the timers that are due, the oldest first. Of several servers only one gets each.
#[boxed]
pub async fn claim_due(db: &Db, limit: i64) -> DbResult<Vec<Claimed>> {
    let now = db.clock().nanos();
    if ChatRow::count(db, DUE, args![now]).await? == 0 {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let due = format!("{DUE} ORDER BY timer_at LIMIT ?{}", lock(db));
    let mut claimed = Vec::new();
    for timer in ChatRow::list(&mut tx, &due, args![now, limit]).await? {
        let claim = ids::uuid();
        let state = json!({ "status": "running", "timer_started_at": now, "timer_claim_id": claim });
        change(&mut tx, &timer, &state, Some(now + LEASE)).await?;
        claimed.push(Claimed { timer, claim });
    }
    tx.commit().await?;
    Ok(claimed)
}

async fn change(tx: &mut Tx, timer: &ChatRow, state: &Value, at: Option<i64>) -> DbResult<()> {
    let mut meta = timer.meta_object();
    meta.extend(state.as_object().cloned().unwrap_or_default());
    let changes = Changes::new()
        .set("meta", Value::Object(meta))
        .set("timer_at", at)
        .set("updated_at", tx.db().now());
    ChatRow::update(tx, changes, "WHERE id = ?", args![&timer.id]).await?;
    Ok(())
}

/// The timer, if it is still claimed by `claim`. It cannot be claimed by others before the transaction ends.
#[boxed]
pub async fn claimed_in(tx: &mut Tx, id: &str, claim: &str) -> DbResult<Option<ChatRow>> {
    let lock = match tx.db().dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    };
    let row = ChatRow::find(&mut *tx, &format!("WHERE id = ?{lock}"), args![id]).await?;
    Ok(row.filter(|row| {
        let meta = row.meta_object();
        meta.get("status") == Some(&json!("running")) && meta.get("timer_claim_id") == Some(&json!(claim))
    }))
}

/// Notes that the timer's prompt stands in its chat.
#[boxed]
pub async fn complete_in(tx: &mut Tx, timer: &ChatRow) -> DbResult<()> {
    let done = json!({ "status": "completed", "timer_completed_at": tx.db().clock().nanos() });
    change(tx, timer, &done, None).await
}

/// Puts a claimed timer back: its chat is busy, so it is tried again.
#[boxed]
pub async fn put_back_in(tx: &mut Tx, timer: &ChatRow) -> DbResult<()> {
    let waits = json!({ "status": "pending", "timer_claim_id": null, "timer_started_at": null });
    let at = timer.meta_object().get("timer_at").and_then(Value::as_i64);
    change(tx, timer, &waits, at.or(Some(tx.db().clock().nanos()))).await
}

/// Notes why a timer came to nothing.
#[boxed]
pub async fn fail(db: &Db, id: &str, error: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    if let Some(timer) = ChatRow::find(&mut tx, "WHERE id = ?", args![id]).await? {
        let state = json!({ "status": "error", "timer_error": error });
        change(&mut tx, &timer, &state, None).await?;
    }
    tx.commit().await
}

/// Calls off the user's timers of a chat that are to end with this event (`chat.read` or `chat.user_message`).
/// Answers how many there were.
#[boxed]
pub async fn cancel(db: &Db, chat_id: &str, user_id: &str, event: &str) -> DbResult<usize> {
    let waiting = "WHERE timer_at IS NOT NULL AND user_id = ? AND meta->>'parent_chat_id' = ? AND meta->>'status' = \
                   'pending'";
    // Nearly always there are none, and then nothing is locked.
    if ChatRow::count(db, waiting, args![user_id, chat_id]).await? == 0 {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let waiting = format!("{waiting}{}", lock(db));
    let ends = |meta: &Map<String, Value>| {
        let events = meta.get("cancel_on").and_then(Value::as_array);
        events.is_some_and(|events| events.iter().any(|wanted| wanted == event))
    };
    let mut count = 0;
    for timer in ChatRow::list(&mut tx, &waiting, args![user_id, chat_id]).await? {
        if ends(&timer.meta_object()) {
            let state = json!({
                "status": "cancelled", "timer_cancelled_at": db.clock().nanos(), "timer_cancelled_by": event,
            });
            change(&mut tx, &timer, &state, None).await?;
            count += 1;
        }
    }
    tx.commit().await?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat_edits::{self, NewChat};
    use crate::testing::{databases, user};

    async fn timer(db: &Db, owner: &str, at: i64, cancel_on: Value) -> String {
        let id = ids::uuid();
        let meta = json!({
            "internal": true, "type": "timer", "parent_chat_id": "parent", "status": "pending", "timer_at": at,
            "cancel_on": cancel_on,
        });
        let new = NewChat {
            id: id.clone(),
            user_id: owner.to_owned(),
            meta: meta.as_object().cloned().unwrap(),
            timer_at: Some(at),
            ..NewChat::default()
        };
        chat_edits::create(db, new).await.unwrap();
        id
    }

    async fn status(db: &Db, id: &str) -> (Value, Option<i64>) {
        let row = crate::chats::by_id(db, id).await.unwrap().unwrap();
        (row.meta_object()["status"].clone(), row.timer_at)
    }

    #[tokio::test]
    async fn due_timers_are_claimed_once_and_again_when_nobody_finished_them() {
        for db in databases().await {
            let ada = user(&db, "ada").await;
            let now = db.clock().nanos();
            let due = timer(&db, &ada.id, now - 1, json!([])).await;
            let later = timer(&db, &ada.id, now + 10 * LEASE, json!([])).await;
            let first = claim_due(&db, 10).await.unwrap();
            assert_eq!((first.len(), first[0].timer.id.as_str()), (1, due.as_str()));
            assert!(claim_due(&db, 10).await.unwrap().is_empty());
            db.clock().advance(61);
            let second = claim_due(&db, 10).await.unwrap();
            assert_eq!(second.len(), 1);
            let mut tx = db.begin().await.unwrap();
            assert!(
                claimed_in(&mut tx, &due, &first[0].claim)
                    .await
                    .unwrap()
                    .is_none()
            );
            let row = claimed_in(&mut tx, &due, &second[0].claim)
                .await
                .unwrap()
                .unwrap();
            put_back_in(&mut tx, &row).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(status(&db, &due).await, (json!("pending"), Some(now - 1)));
            let third = claim_due(&db, 10).await.unwrap();
            let mut tx = db.begin().await.unwrap();
            complete_in(&mut tx, &third[0].timer).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(status(&db, &due).await, (json!("completed"), None));
            assert_eq!(status(&db, &later).await.0, "pending");
            fail(&db, &later, "gone").await.unwrap();
            assert_eq!(status(&db, &later).await, (json!("error"), None));
        }
    }

    #[tokio::test]
    async fn events_call_off_the_timers_of_their_user() {
        for db in databases().await {
            let (ada, bob) = (user(&db, "ada").await, user(&db, "bob").await);
            let at = db.clock().nanos() + LEASE;
            let read = timer(&db, &ada.id, at, json!(["chat.read"])).await;
            let kept = timer(&db, &ada.id, at, json!([])).await;
            let foreign = timer(&db, &bob.id, at, json!(["chat.read"])).await;
            assert_eq!(
                cancel(&db, "parent", &ada.id, "chat.user_message").await.unwrap(),
                0
            );
            assert_eq!(cancel(&db, "other", &ada.id, "chat.read").await.unwrap(), 0);
            assert_eq!(cancel(&db, "parent", &ada.id, "chat.read").await.unwrap(), 1);
            assert_eq!(status(&db, &read).await, (json!("cancelled"), None));
            assert_eq!(status(&db, &kept).await, (json!("pending"), Some(at)));
            assert_eq!(status(&db, &foreign).await, (json!("pending"), Some(at)));
        }
    }
}
