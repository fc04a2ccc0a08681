//! What happens by the clock: timers and automations that are due, and alerts before events of calendars. The loops
//! end with the engine.

use std::sync::Arc;
use std::time::Duration;

use oui_config::features;
use oui_core::{Notice, Room};
use oui_models::automations::{self as rows, AutomationRow};
use oui_models::calendar_edits::{self, EventInput};
use oui_models::calendars::{self, EventRow};
use oui_models::{DbResult, users};
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::{automations, recurrence, timers};

/// Automations taken at once.
const BATCH: i64 = 10;
/// Nanoseconds of a minute.
const MINUTE: i64 = 60_000_000_000;
/// Minutes before an event in which the earliest alert can be asked for.
const WIDEST: i64 = 60;
/// Seconds after its begin in which an event is still announced, above the interval of the loop.
const GRACE: i64 = 5;

/// Starts the loops.
pub fn start(engine: &Arc<Engine>) {
    let interval = Duration::from_secs(engine.settings.scheduler.automations.max(1));
    let often = Duration::from_secs(engine.settings.scheduler.timers.max(1));
    let engine = Arc::downgrade(engine);
    let of_timers = engine.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(often).await;
            let Some(engine) = of_timers.upgrade() else { return };
            if let Err(error) = timers::run_due(&engine).await {
                tracing::error!(%error, "due timers could not be looked for");
            }
        }
    });
    tokio::spawn(async move {
        loop {
            // Several servers on one database do not all look at the same moment.
            let jitter = rand::random_range(0..2_000);
            tokio::time::sleep(interval + Duration::from_millis(jitter)).await;
            let Some(engine) = engine.upgrade() else { return };
            look(&engine).await;
        }
    });
}

async fn look(engine: &Arc<Engine>) {
    if engine.config.get(&features::ENABLE_AUTOMATIONS)
        && let Err(error) = run_due(engine).await
    {
        tracing::error!(%error, "due automations could not be looked for");
    }
    if engine.config.get(&features::ENABLE_CALENDAR)
        && let Err(error) = alert(engine).await
    {
        tracing::error!(%error, "events to announce could not be looked for");
    }
}

fn rule(row: &AutomationRow) -> &str {
    row.data.get("rrule").and_then(Value::as_str).unwrap_or_default()
}

/// Starts the automations that are due.
async fn run_due(engine: &Arc<Engine>) -> DbResult<()> {
    let now = engine.clock.nanos();
    let next = |row: &AutomationRow, zone: Option<&str>| {
        recurrence::next_runs(rule(row), zone, now, 1)
            .unwrap_or_default()
            .first()
            .copied()
    };
    for automation in rows::claim_due(&engine.db, BATCH, next).await? {
        tracing::info!(automation = automation.id, "an automation is due");
        tokio::spawn(automations::run(engine.clone(), automation));
    }
    Ok(())
}

/// Minutes before its begin at which an event is announced; nothing for one that is not to be.
fn lead(event: &EventRow, default: i64) -> Option<f64> {
    let asked = event
        .meta
        .as_ref()
        .and_then(|meta| meta.get("alert_minutes")?.as_f64());
    let minutes = asked.unwrap_or(default as f64);
    (minutes >= 0.0 || asked.is_none()).then_some(minutes)
}

/// Whether the alert for this begin was sent already.
fn is_announced(event: &EventRow) -> bool {
    let announced = event
        .meta
        .as_ref()
        .and_then(|meta| meta.get("alerted_at")?.as_i64());
    announced == Some(event.start_at)
}

/// Tells people of events of theirs that begin soon.
async fn alert(engine: &Arc<Engine>) -> DbResult<()> {
    let now = engine.clock.nanos();
    let schedule = &engine.settings.scheduler;
    let grace = (i64::try_from(schedule.automations).unwrap_or(10) + GRACE) * 1_000_000_000;
    let until = now + schedule.calendar_minutes.max(WIDEST) * MINUTE;
    for event in calendars::beginning_between(&engine.db, now - grace, until).await? {
        let Some(lead) = lead(&event, schedule.calendar_minutes).filter(|_| !is_announced(&event)) else {
            continue;
        };
        if event.start_at > now + (lead * MINUTE as f64) as i64 {
            continue;
        }
        let minutes = ((event.start_at - now) / MINUTE).max(0);
        let data = json!({
            "event_id": event.id,
            "title": event.title,
            "description": event.description.clone().unwrap_or_default(),
            "start_at": event.start_at,
            "minutes_until": minutes,
            "calendar_id": event.calendar_id,
            "location": event.location.clone().unwrap_or_default(),
        });
        let told = json!({ "data": { "type": "calendar:alert", "data": data } });
        if users::by_id(&engine.db, &event.user_id).await?.is_some() {
            let room = Room::User(event.user_id.clone());
            engine.emitter.emit(&room, "events", &told, None).await;
        }
        let noted = EventInput {
            meta: Some(Map::from_iter([("alerted_at".to_owned(), json!(event.start_at))])),
            ..EventInput::default()
        };
        calendar_edits::update_event(&engine.db, &event.id, noted).await?;
        engine.tell(news(&event, data, minutes));
    }
    Ok(())
}

/// What webhooks and targets of the owner learn of an event that begins soon.
fn news(event: &EventRow, data: Value, minutes: i64) -> Notice {
    let starts_in = match minutes {
        0 => "now".to_owned(),
        minutes => format!("in {minutes} min"),
    };
    Notice::new("calendar.alert")
        .about_kind("calendar.event", event.id.as_str())
        .from_source("scheduler")
        .titled(&event.title)
        .with(data)
        .with(json!({
            "user_id": event.user_id, "starts_in": starts_in,
            "message": format!("{}: starting {starts_in}", event.title),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(meta: Value) -> EventRow {
        EventRow {
            id: "e".into(),
            calendar_id: "c".into(),
            user_id: "u".into(),
            title: "Meeting".into(),
            description: None,
            start_at: 7,
            end_at: None,
            all_day: false,
            rrule: None,
            color: None,
            location: None,
            data: None,
            meta: Some(meta),
            is_cancelled: false,
            created_at: 0,
            updated_at: 0,
        }
    }

    #[test]
    fn events_say_when_they_are_announced() {
        assert_eq!(lead(&event(json!({})), 10), Some(10.0));
        assert_eq!(lead(&event(json!({"alert_minutes": 30})), 10), Some(30.0));
        assert_eq!(lead(&event(json!({"alert_minutes": 0})), 10), Some(0.0));
        assert_eq!(lead(&event(json!({"alert_minutes": -1})), 10), None);
        assert!(is_announced(&event(json!({"alerted_at": 7}))));
        assert!(!is_announced(&event(json!({"alerted_at": 6}))));
    }
}
