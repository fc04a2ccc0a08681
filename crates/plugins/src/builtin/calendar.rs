//! Events of the user's calendars: search, adding, changing, deleting. Models write local times; the database keeps
//! nanoseconds.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use oui_models::calendar_edits::{self, EventInput};
use oui_models::calendars::{self, CalendarRow, Event};
use oui_models::shared::{self, Entry};
use serde_json::{Map, Value, json};

use super::builtins;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// Nanoseconds of an hour: how long an event without end lasts.
const HOUR: i64 = 3_600_000_000_000;

/// Minutes before an event at which people are reminded unless it says otherwise.
const REMINDER: i64 = 10;

builtins! {
    TOOLS {
        "search_calendar_events"
        "Finds events and reminders in the user's calendars by text, by time, or by both."
        [
            optional("query", Shape::Text, "Text in title, description or place."),
            optional("start", Shape::Text, "Only events from this local time on, such as 2026-04-20 00:00."),
            optional("end", Shape::Text, "Only events that begin before this local time."),
            default("count", Shape::Int, "10", "How many at most."),
        ] => search;

        "create_calendar_event"
        "Adds an event or a reminder to a calendar of the user. A mere reminder needs no end and no place, and reminder_minutes 0."
        [
            required("title", Shape::Text, "What it is."),
            required("start", Shape::Text, "When it begins in the user's local time, such as 2026-04-20 09:00."),
            optional("end", Shape::Text, "When it ends in the user's local time; an hour later when left out."),
            optional("description", Shape::Text, "More about it."),
            optional("calendar_id", Shape::Text, "Calendar; the user's default one when left out."),
            default("all_day", Shape::Flag, "false", "Whether it takes whole days."),
            optional("location", Shape::Text, "Where it is."),
            optional("reminder_minutes", Shape::Int, "Minutes before it at which the user is reminded: 10 when left out, 0 for its begin, -1 for never."),
        ] => create;

        "update_calendar_event"
        "Changes an event; what is left out stays."
        [
            required("event_id", Shape::Text, "Id of the event."),
            optional("title", Shape::Text, "New title."),
            optional("description", Shape::Text, "New description."),
            optional("start", Shape::Text, "New begin in the user's local time."),
            optional("end", Shape::Text, "New end in the user's local time."),
            optional("all_day", Shape::Flag, "Whether it takes whole days."),
            optional("location", Shape::Text, "New place."),
            optional("is_cancelled", Shape::Flag, "Whether it is called off."),
            optional("reminder_minutes", Shape::Int, "Minutes before it at which the user is reminded; 0 for its begin, -1 for never."),
        ] => update;

        "delete_calendar_event"
        "Deletes an event for good."
        [required("event_id", Shape::Text, "Id of the event.")] => delete;
    }
}

fn zone(context: &ToolContext) -> TimeZone {
    let name = context.user.timezone.as_deref().filter(|name| !name.is_empty());
    name.and_then(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC)
}

/// The instant of a written time: in the user's time zone unless it names another. Whole milliseconds.
fn instant(text: &str, zone: &TimeZone, name: &str) -> Result<i64, ToolError> {
    let text = text.trim();
    let parsed: Result<Zoned, jiff::Error> = match text.parse::<Timestamp>() {
        Ok(time) => Ok(time.to_zoned(zone.clone())),
        Err(_) => text
            .parse::<DateTime>()
            .and_then(|time| time.to_zoned(zone.clone())),
    };
    parsed
        .map(|time| time.timestamp().as_millisecond() * 1_000_000)
        .map_err(|error| {
            ToolError::new(format!(
                "Invalid {name} datetime: {error}. Write it like 2026-04-20 09:00."
            ))
        })
}

fn written(nanos: i64, zone: &TimeZone) -> String {
    Timestamp::from_nanosecond(i128::from(nanos))
        .map(|time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

fn event_json(event: &Event, zone: &TimeZone) -> Map<String, Value> {
    let row = &event.row;
    let reminder = row.meta.as_ref().and_then(|meta| meta.get("alert_minutes"));
    let reminder = reminder.filter(|minutes| !minutes.is_null()).cloned();
    let mut shown = Map::new();
    for (name, value) in [
        ("id", json!(row.id)),
        ("calendar_id", json!(row.calendar_id)),
        ("title", json!(row.title)),
        (
            "description",
            json!(row.description.as_deref().unwrap_or_default()),
        ),
        ("start", json!(written(row.start_at, zone))),
        (
            "end",
            json!(row.end_at.filter(|end| *end != 0).map(|end| written(end, zone))),
        ),
        ("all_day", json!(row.all_day)),
        ("location", json!(row.location.as_deref().unwrap_or_default())),
        ("reminder_minutes", reminder.unwrap_or_else(|| json!(REMINDER))),
        ("color", json!(row.color)),
        ("is_cancelled", json!(row.is_cancelled)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    shown
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let zone = zone(context);
    let count = args.count("count", 10);
    let given = |name: &str| args.optional_text(name).filter(|text| !text.trim().is_empty());
    let query = given("query");
    let (start, end) = (given("start"), given("end"));
    let (events, total) = if start.is_none() && end.is_none() {
        calendars::search_events(&context.db, context.reader(), query.as_deref(), (0, count)).await?
    } else {
        let start = start.map_or(Ok(0), |text| instant(&text, &zone, "start"))?;
        let end = end.map_or(Ok(i64::MAX), |text| instant(&text, &zone, "end"))?;
        let mut events = calendars::events_between(&context.db, context.reader(), (start, end), None).await?;
        if let Some(query) = query.map(|query| query.to_lowercase()) {
            let has = |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(&query));
            events.retain(|event| {
                has(Some(&event.row.title[..]))
                    || has(event.row.description.as_deref())
                    || has(event.row.location.as_deref())
            });
        }
        let total = events.len() as i64;
        events.truncate(count as usize);
        (events, total)
    };
    let shown: Vec<Map<String, Value>> = events.iter().map(|event| event_json(event, &zone)).collect();
    Ok(json!({ "events": shown, "total": total }))
}

/// The calendar, if the user may write in it.
async fn writable(context: &ToolContext, id: &str, refusal: &str) -> Result<Entry<CalendarRow>, ToolError> {
    let calendar = shared::get::<CalendarRow>(&context.db, id).await?;
    let calendar = calendar.ok_or_else(|| ToolError::new("Calendar not found"))?;
    if calendar.permits(&context.named_reader(), "write") {
        Ok(calendar)
    } else {
        Err(ToolError::new(refusal))
    }
}

fn succeeded(event: Option<Event>, zone: &TimeZone, failure: &str) -> Answer {
    let event = event.ok_or_else(|| ToolError::new(failure))?;
    let mut told = Map::new();
    told.insert("status".into(), json!("success"));
    told.extend(event_json(&event, zone));
    Ok(Value::Object(told))
}

async fn create(context: &ToolContext, args: Args) -> Answer {
    let (title, start) = (args.text("title")?, args.text("start")?);
    let calendar_id = match args.optional_text("calendar_id").filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => {
            let all = calendars::of_user(&context.db, context.reader()).await?;
            let chosen = all
                .iter()
                .find(|entry| entry.row.is_default)
                .or_else(|| all.first());
            let chosen = chosen.ok_or_else(|| ToolError::new("No calendars found. Cannot create event."))?;
            chosen.row.id.clone()
        }
    };
    writable(context, &calendar_id, "Access denied to this calendar").await?;
    let zone = zone(context);
    let start = instant(&start, &zone, "start")?;
    let all_day = args.flag("all_day", false);
    let end = match args.optional_text("end").filter(|end| !end.is_empty()) {
        Some(end) => Some(instant(&end, &zone, "end")?),
        None => (!all_day).then_some(start.saturating_add(HOUR)),
    };
    let reminder = args.int("reminder_minutes", REMINDER);
    let input = EventInput {
        calendar_id: Some(calendar_id),
        title: Some(title),
        description: Some(args.optional_text("description")),
        start_at: Some(start),
        end_at: Some(end),
        all_day: Some(all_day),
        location: Some(args.optional_text("location")),
        meta: Some(Map::from_iter([("alert_minutes".to_owned(), json!(reminder))])),
        ..EventInput::default()
    };
    let id = calendar_edits::create_event(&context.db, &context.user.id, input).await?;
    succeeded(
        calendars::event(&context.db, &id).await?,
        &zone,
        "Failed to create event",
    )
}

async fn found(context: &ToolContext, args: &Args) -> Result<Event, ToolError> {
    let id = args.text("event_id")?;
    let event = calendars::event(&context.db, &id).await?;
    let event = event.ok_or_else(|| ToolError::new("Event not found"))?;
    writable(context, &event.row.calendar_id, "Access denied").await?;
    Ok(event)
}

async fn update(context: &ToolContext, args: Args) -> Answer {
    let event = found(context, &args).await?;
    let zone = zone(context);
    let time = |name: &'static str| {
        let text = args.optional_text(name);
        text.map(|text| instant(&text, &zone, name)).transpose()
    };
    let flag = |name: &str| args.get(name).map(|_| args.flag(name, false));
    let reminder = args.optional_int("reminder_minutes");
    let input = EventInput {
        title: args.optional_text("title"),
        description: args.optional_text("description").map(Some),
        start_at: time("start")?,
        end_at: time("end")?.map(Some),
        all_day: flag("all_day"),
        location: args.optional_text("location").map(Some),
        is_cancelled: flag("is_cancelled"),
        meta: reminder.map(|minutes| Map::from_iter([("alert_minutes".to_owned(), json!(minutes))])),
        ..EventInput::default()
    };
    calendar_edits::update_event(&context.db, &event.row.id, input).await?;
    let changed = calendars::event(&context.db, &event.row.id).await?;
    succeeded(changed, &zone, "Failed to update event")
}

async fn delete(context: &ToolContext, args: Args) -> Answer {
    let event = found(context, &args).await?;
    calendar_edits::delete_event(&context.db, &event.row.id).await?;
    Ok(json!({ "status": "success", "message": format!("Event \"{}\" deleted", event.row.title) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_are_the_users() {
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let nine = instant("2026-04-20 09:00", &rome, "start").unwrap();
        assert_eq!(nine, instant("2026-04-20T07:00:00Z", &rome, "start").unwrap());
        assert_eq!(written(nine, &rome), "2026-04-20 09:00");
        assert_eq!(written(nine, &TimeZone::UTC), "2026-04-20 07:00");
        assert!(
            instant("soon", &rome, "start").unwrap_err().0["error"]
                .as_str()
                .unwrap()
                .contains("start")
        );
        assert_eq!(
            written(instant("2026-04-20", &rome, "start").unwrap(), &rome),
            "2026-04-20 00:00"
        );
    }
}
