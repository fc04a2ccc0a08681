//! Timers: a model sets a prompt that comes back into its chat once, at a time. What is kept of a timer is in
//! `oui_models::timers`; that only one of several servers sets it off is settled there.

use std::sync::Arc;

use oui_access::is_verified;
use oui_core::ids;
use oui_models::chat_edits::{self, NewChat};
use oui_models::timers::{self as rows, Claimed};
use oui_models::{DbResult, chats, history, users};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Engine;
use crate::errands::OfRun;
use crate::inbox;
use crate::turn::Object;

/// Event that ends timers: the user reads the chat.
pub(crate) const READ: &str = "chat.read";

/// Event that ends timers: the user writes in the chat.
pub(crate) const USER_MESSAGE: &str = "chat.user_message";

/// Timers taken at once.
const BATCH: i64 = 10;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

const FORM: &str =
    "at must be a relative time such as 10s or in 10 seconds, or an RFC 3339 timestamp with a timezone.";
const PAST: &str = "at must be in the future.";

/// The time that a model means, in nanoseconds: an interval or an RFC 3339 time.
fn parse_at(text: &str, now: i64) -> Result<i64, &'static str> {
    let text = text.trim();
    if let Some(seconds) = interval(&text.to_lowercase()) {
        let at = seconds.checked_mul(SECOND).and_then(|span| now.checked_add(span));
        return at.filter(|_| seconds > 0).ok_or(PAST);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| FORM)?;
    let at = i64::try_from(at.unix_timestamp_nanos()).map_err(|_| FORM)?;
    if at <= now { Err(PAST) } else { Ok(at) }
}

/// Seconds of `10s`, `+5 min` or `in 2 days`.
fn interval(text: &str) -> Option<i64> {
    let rest = match text.strip_prefix("in") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        Some(_) => return None,
        None => text.strip_prefix('+').unwrap_or(text),
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = rest.split_at(digits);
    let factor = match unit.trim_start() {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(factor)
}

/// A time as the reference writes it: in UTC, with microseconds where there are any.
fn written(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, (hour, minute, second, micro)) = (at.date(), at.time().as_hms_micro());
    let fraction = if micro == 0 {
        String::new()
    } else {
        format!(".{micro:06}")
    };
    format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Sets a timer. Answers when it goes off, or what is wrong.
pub(crate) async fn set(engine: &Engine, of: &OfRun, prompt: &str, at: &str, cancel_on: &[String]) -> Value {
    let (prompt, now) = (prompt.trim(), engine.clock.nanos());
    if prompt.is_empty() {
        return json!("Error: prompt must not be empty.");
    }
    let at = match parse_at(at, now) {
        Ok(at) => at,
        Err(error) => return json!(format!("Error: {error}")),
    };
    if cancel_on
        .iter()
        .any(|event| event != READ && event != USER_MESSAGE)
    {
        return json!("Error: cancel_on accepts only chat.read and chat.user_message.");
    }
    if of.direct {
        return json!("Error: timers are unavailable for direct connections.");
    }
    let mut events: Vec<&String> = Vec::new();
    for event in cancel_on {
        if !events.contains(&event) {
            events.push(event);
        }
    }
    let (id, message_id, model_id) = (ids::uuid(), ids::uuid(), &of.run["model_id"]);
    let title: String = prompt.chars().take(60).collect();
    let document = json!({
        "id": id,
        "title": format!("Timer: {title}"),
        "models": [model_id],
        "history": { "currentId": message_id, "messages": { &message_id: {
            "id": message_id, "parentId": null, "childrenIds": [], "role": "user", "content": prompt,
            "timestamp": engine.clock.seconds(), "models": [model_id],
        } } },
        "messages": [{ "role": "user", "content": prompt }],
    });
    let meta = json!({
        "internal": true, "type": "timer", "parent_chat_id": of.chat_id, "parent_message_id": of.message_id,
        "timer_at": at, "status": "pending", "timer_model_id": model_id, "timer_task_message_id": message_id,
        "cancel_on": events, "run": of.run,
    });
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let new = NewChat {
        id,
        user_id: of.user.user.id.clone(),
        document: object(document),
        meta: object(meta),
        timer_at: Some(at),
        ..NewChat::default()
    };
    if let Err(error) = chat_edits::create(&engine.db, new).await {
        tracing::error!(%error, "a timer could not be kept");
        return json!("Error: failed to create timer.");
    }
    json!({ "status": "set", "at": written(at), "cancel_on": events })
}

/// Sets off the timers that are due.
pub(crate) async fn run_due(engine: &Arc<Engine>) -> DbResult<()> {
    for claimed in rows::claim_due(&engine.db, BATCH).await? {
        let engine = engine.clone();
        tokio::spawn(async move {
            let id = claimed.timer.id.clone();
            let failure = match set_off(&engine, &claimed).await {
                Ok(failure) => failure,
                // The claim ends by itself, and then it is tried again.
                Err(error) => return tracing::error!(%error, timer = id, "a timer could not be set off"),
            };
            let Some(failure) = failure else { return };
            tracing::warn!(timer = id, failure, "a timer came to nothing");
            let failure: String = failure.chars().take(500).collect();
            if let Err(error) = rows::fail(&engine.db, &id, &failure).await {
                tracing::error!(%error, timer = id, "the end of a timer could not be noted");
            }
        });
    }
    Ok(())
}

/// Puts the prompt of a timer into its chat and has it answered. Answers why that cannot be done, if so.
async fn set_off(engine: &Arc<Engine>, claimed: &Claimed) -> DbResult<Option<String>> {
    let failed = |text: &str| Ok(Some(text.to_owned()));
    let timer = &claimed.timer;
    let (meta, document) = (
        Value::Object(timer.meta_object()),
        Value::Object(timer.document()),
    );
    let owner = timer.user_id.clone().unwrap_or_default();
    let chat_id = history::text(&meta, "parent_chat_id").unwrap_or_default();
    let chat = chats::head(&engine.db, chat_id).await?;
    if !chat.is_some_and(|chat| chat.is_owned_by(&owner)) {
        return failed("parent chat no longer exists");
    }
    let messages = &document["history"]["messages"];
    let prompt = messages.get(history::text(&meta, "timer_task_message_id").unwrap_or_default());
    let Some(prompt) = prompt.map(|message| &message["content"]) else {
        return failed("timer task message is missing");
    };
    let Some(account) = users::account(&engine.db, &owner).await? else {
        return failed("timer user no longer exists");
    };
    if !is_verified(&account.user.role) {
        return failed("owner no longer permitted to run timers");
    }
    let run: Object = meta["run"].as_object().cloned().unwrap_or_default();
    let model_id = run.get("model_id").and_then(Value::as_str);
    let Some(model_id) = model_id.or_else(|| history::text(&meta, "timer_model_id")) else {
        return failed("model context is missing");
    };
    let Some(mut edit) = chat_edits::edit(&engine.db, chat_id).await? else {
        return failed("parent chat no longer exists");
    };
    let Some(timer) = rows::claimed_in(edit.tx(), &timer.id, &claimed.claim).await? else {
        return Ok(None);
    };
    match inbox::is_busy(engine, &mut edit).await {
        Ok(false) => {}
        Ok(true) => {
            rows::put_back_in(edit.tx(), &timer).await?;
            edit.leave().await?;
            return Ok(None);
        }
        Err(error) => return Ok(Some(error.detail_text())),
    }
    let parent = inbox::last_reply(&mut edit, None)
        .or_else(|| history::text(&meta, "parent_message_id").map(str::to_owned));
    let user_message = json!({
        "id": ids::uuid(), "parentId": parent, "childrenIds": [], "role": "user", "content": prompt,
        "model": model_id, "meta": { "internal": true, "type": "timer", "timer_id": timer.id },
        "timestamp": engine.clock.seconds(),
    });
    let reply_id = match inbox::open_turn(&mut edit, &user_message, model_id).await {
        Ok(reply_id) => reply_id,
        Err(error) => return Ok(Some(error.detail_text())),
    };
    rows::complete_in(edit.tx(), &timer).await?;
    edit.save(true).await?;
    Ok(inbox::begin(
        engine,
        chat_id,
        &account,
        &run,
        model_id,
        &user_message,
        &reply_id,
        false,
    )
    .await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_intervals_or_dates() {
        let now = 1_000 * SECOND;
        for (text, seconds) in [
            ("10s", 10),
            ("+5 min", 300),
            ("in 2 hours", 7_200),
            (" IN 1 Day ", 86_400),
            ("3 seconds", 3),
            ("1970-01-01T00:30:00Z", 800),
            ("1970-01-01T02:30:00+02:00", 800),
        ] {
            assert_eq!(parse_at(text, now), Ok(now + seconds * SECOND), "{text}");
        }
        for text in ["0s", "1970-01-01T00:00:00Z", "99999999999d"] {
            assert!(parse_at(text, now).is_err(), "{text}");
        }
        for text in [
            "",
            "s",
            "10",
            "10 weeks",
            "in10s",
            "tomorrow",
            "1970-01-01T00:30:00",
        ] {
            assert_eq!(parse_at(text, now), Err(FORM), "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(written(1_500_000), "1970-01-01T00:00:00.001500Z");
        assert_eq!(written(86_400 * SECOND), "1970-01-02T00:00:00Z");
    }
}
