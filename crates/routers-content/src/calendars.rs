//! Calendars and their events: `/api/v1/calendars`. Here they are listed and shown, with the runs of automations
//! as events of a calendar of their own; making and changing them is in `changes`.

mod changes;

use axum::Json;
use axum::extract::Path;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use oui_chat::recurrence::{Span, begin, occurrences};
use oui_config::features;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::automations::{self, AutomationRow, RunRow};
use oui_models::calendars::{self, CalendarRow, Event};
use oui_models::shared;
use oui_web::{Area, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::automations::allowed as automations_allowed;
use crate::common::{Reading, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "calendars" at "/api/v1/calendars";
        GET    "/"                            Verified => list,
        POST   "/create"                      Verified => changes::create,
        GET    "/events"                      Verified => events,
        POST   "/events/create"               Verified => changes::create_event,
        GET    "/events/search"               Verified => search,
        GET    "/events/{event_id}"           Verified => event,
        POST   "/events/{event_id}/update"    Verified => changes::update_event,
        DELETE "/events/{event_id}/delete"    Verified => changes::delete_event,
        POST   "/events/{event_id}/rsvp"      Verified => changes::answer,
        GET    "/{calendar_id}"               Verified => get,
        POST   "/{calendar_id}/update"        Verified => changes::update,
        POST   "/{calendar_id}/access/update" Verified => changes::set_access,
        DELETE "/{calendar_id}/delete"        Verified => changes::delete,
        POST   "/{calendar_id}/default"       Verified => changes::set_default,
    }
}

/// Id, name and colour of the calendar of automations; clients know the id.
const TASKS: (&str, &str, &str) = ("__scheduled_tasks__", "Scheduled Tasks", "#8b5cf6");

form! {
    /// Which events.
    struct EventsQuery {
        /// ISO 8601.
        start: String,
        /// ISO 8601.
        end: String,
        /// Ids, separated by commas; all when absent.
        calendar_ids: Option<String>,
    }
}

form! {
    /// What to look for among events.
    struct SearchQuery {
        /// Text in title, description or place.
        query: Option<String>,
        /// Events to leave out.
        skip: i64 = 0,
        /// Events at most.
        limit: i64 = 30,
    }
}

/// Refuses when calendars are switched off or not for the caller.
async fn check(caller: &Caller<Verified>) -> ApiResult<()> {
    let on = caller.app().config.get(&features::ENABLE_CALENDAR) && caller.may("features.calendar").await?;
    if on {
        Ok(())
    } else {
        Err(ApiError::forbidden(messages::UNAUTHORIZED))
    }
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let reading = Reading::of(&caller).await?;
    let entries = calendars::of_user(caller.db(), reading.as_user()).await?;
    let mut items: Vec<Value> = entries
        .iter()
        .map(|entry| entry.row.to_json(&entry.grants))
        .collect();
    if automations_allowed(&caller).await? {
        let now = caller.app().clock.nanos();
        let (id, name, color) = TASKS;
        items.push(json!({
            "id": id, "user_id": caller.id(), "name": name, "color": color, "is_default": false, "is_system": true,
            "data": null, "meta": null, "access_grants": [], "created_at": now, "updated_at": now,
        }));
    }
    Ok(Json(Value::Array(items)))
}

/// Nanoseconds of an ISO 8601 time, to the millisecond; times without zone are universal.
fn instant(text: &str) -> Option<i64> {
    let millis = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.timestamp_millis(),
        Err(_) => {
            let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
                .or_else(|_| {
                    NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN))
                });
            naive.ok()?.and_utc().timestamp_millis()
        }
    };
    millis.checked_mul(1_000_000)
}

/// An event as many times as it occurs in the span.
fn expanded(event: &Map<String, Value>, rule: &str, span: Span, timezone: Option<&str>) -> Vec<Value> {
    let number = |name: &str| event.get(name).and_then(Value::as_i64);
    let first = number("start_at").unwrap_or(0);
    let length = number("end_at").filter(|end| *end != 0).map(|end| end - first);
    let Some(begins) = occurrences(rule, first, length, span, timezone) else {
        return vec![Value::Object(event.clone())];
    };
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
    let occurrence = |begin: i64| {
        let mut occurrence = event.clone();
        occurrence.insert("start_at".into(), json!(begin));
        occurrence.insert(
            "end_at".into(),
            json!(length.filter(|length| *length != 0).map(|length| begin + length)),
        );
        occurrence.insert("instance_id".into(), json!(format!("{id}_{begin}")));
        Value::Object(occurrence)
    };
    begins.into_iter().map(occurrence).collect()
}

async fn events(caller: Caller<Verified>, Query(query): Query<EventsQuery>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let bad = || ApiError::bad_request("Invalid date format. Use ISO 8601 (e.g. 2026-04-01T00:00:00)");
    let span = Span {
        start: instant(&query.start).ok_or_else(bad)?,
        end: instant(&query.end).ok_or_else(bad)?,
    };
    let wanted: Option<Vec<String>> =
        given(&query.calendar_ids).map(|ids| ids.split(',').map(str::to_owned).collect());
    let reading = Reading::of(&caller).await?;
    let bounds = (span.start, span.end);
    let stored = calendars::events_between(caller.db(), reading.as_user(), bounds, wanted.as_deref()).await?;
    let timezone = caller.user().timezone.as_deref();
    let mut items = Vec::new();
    for event in &stored {
        let mut json = event.to_json();
        json.insert("user".into(), event.user_json());
        match event.row.rrule.as_deref().filter(|rule| !rule.is_empty()) {
            Some(rule) => items.extend(expanded(&json, rule, span, timezone)),
            None => items.push(Value::Object(json)),
        }
    }
    let tasks_wanted = wanted
        .as_ref()
        .is_none_or(|wanted| wanted.iter().any(|id| id == TASKS.0));
    if tasks_wanted && automations_allowed(&caller).await? {
        items.extend(tasks(&caller, span).await?);
    }
    Ok(Json(Value::Array(items)))
}

/// What an event of the calendar of automations has in common with stored ones.
fn task(id: String, owner: &str, title: &str, fields: Value) -> Map<String, Value> {
    let mut task = Map::new();
    for (name, value) in [
        ("id", json!(id)),
        ("calendar_id", json!(TASKS.0)),
        ("user_id", json!(owner)),
        ("title", json!(title)),
        ("description", Value::Null),
        ("start_at", json!(0)),
        ("end_at", Value::Null),
        ("all_day", json!(false)),
        ("rrule", Value::Null),
        ("color", Value::Null),
        ("location", Value::Null),
        ("data", Value::Null),
        ("meta", Value::Null),
        ("is_cancelled", json!(false)),
        ("attendees", json!([])),
        ("created_at", json!(0)),
        ("updated_at", json!(0)),
        ("user", Value::Null),
    ] {
        task.insert(name.to_owned(), value);
    }
    if let Value::Object(fields) = fields {
        task.extend(fields);
    }
    task
}

fn planned(row: &AutomationRow, rule: &str, start_at: i64) -> Map<String, Value> {
    let prompt = row.data.get("prompt").and_then(Value::as_str).unwrap_or_default();
    let fields = json!({
        "description": prompt, "start_at": start_at, "rrule": rule,
        "meta": { "automation_id": row.id }, "created_at": row.created_at, "updated_at": row.updated_at,
    });
    task(format!("auto_{}", row.id), &row.user_id, &row.name, fields)
}

fn done(run: &RunRow, owner: &str, name: &str) -> Map<String, Value> {
    let description = if run.status == "error" {
        json!(run.error)
    } else {
        json!("")
    };
    let fields = json!({
        "description": description, "start_at": run.created_at,
        "meta": {
            "automation_id": run.automation_id, "run_id": run.id, "chat_id": run.chat_id, "status": run.status,
        },
        "created_at": run.created_at, "updated_at": run.created_at,
    });
    task(format!("run_{}", run.id), owner, name, fields)
}

/// Runs to come, by the rules of the automations, and runs that were.
async fn tasks(caller: &Caller<Verified>, span: Span) -> ApiResult<Vec<Value>> {
    let timezone = caller.user().timezone.as_deref();
    let coming = Span {
        start: span.start.max(caller.app().clock.nanos()),
        end: span.end,
    };
    let mut items = Vec::new();
    for row in automations::active_of(caller.db(), caller.id()).await? {
        let rule = row
            .data
            .get("rrule")
            .and_then(Value::as_str)
            .filter(|rule| !rule.is_empty());
        let Some(rule) = rule.filter(|_| row.next_run_at.is_some()) else {
            continue;
        };
        let mut first = row.next_run_at.unwrap_or(0);
        let upper = rule.to_uppercase();
        if upper.contains("COUNT=") && upper.contains("DTSTART") {
            // What is counted begins with the schedule, not with the next run.
            first = begin(rule, timezone, caller.app().clock.nanos()).unwrap_or(first);
        }
        items.extend(expanded(&planned(&row, rule, first), rule, coming, timezone));
    }
    for (run, name) in automations::runs_between(caller.db(), caller.id(), span.start, span.end).await? {
        items.push(Value::Object(done(&run, caller.id(), &name)));
    }
    Ok(items)
}

/// The calendar, when the caller may do what the permission names.
async fn reachable(
    caller: &Caller<Verified>,
    id: &str,
    permission: &str,
) -> ApiResult<shared::Entry<CalendarRow>> {
    let entry = shared::get::<CalendarRow>(caller.db(), id).await?;
    let entry = entry.ok_or_else(|| ApiError::not_found("Calendar not found"))?;
    if Reading::of(caller).await?.may_or_admin(&entry, permission) {
        Ok(entry)
    } else {
        Err(ApiError::forbidden("Access denied"))
    }
}

async fn search(caller: Caller<Verified>, Query(query): Query<SearchQuery>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let reading = Reading::of(&caller).await?;
    let window = (query.skip, query.limit);
    let (events, total) =
        calendars::search_events(caller.db(), reading.as_user(), given(&query.query), window).await?;
    let item = |event: &Event| {
        let mut json = event.to_json();
        json.insert("user".into(), event.user_json());
        Value::Object(json)
    };
    Ok(Json(
        json!({ "items": events.iter().map(item).collect::<Vec<_>>(), "total": total }),
    ))
}

/// The event, when the caller may do with its calendar what the permission names.
async fn reachable_event(caller: &Caller<Verified>, id: &str, permission: &str) -> ApiResult<Event> {
    let event = calendars::event(caller.db(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("Event not found"))?;
    reachable(caller, &event.row.calendar_id, permission).await?;
    Ok(event)
}

async fn event(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let event = reachable_event(&caller, &id, "read").await?;
    Ok(Json(Value::Object(event.to_json())))
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let entry = reachable(&caller, &id, "read").await?;
    Ok(Json(entry.row.to_json(&entry.grants)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_queries() {
        assert_eq!(
            instant("2026-11-01T00:00:00.000Z"),
            Some(1_793_491_200_000_000_000)
        );
        assert_eq!(instant("2026-11-01T02:00:00+02:00"), instant("2026-11-01"));
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn occurrences_carry_their_own_time() {
        let event = task(
            "e".into(),
            "u",
            "T",
            json!({"start_at": 0, "end_at": 3_600_000_000_000_i64}),
        );
        let week = Span {
            start: 0,
            end: 3 * 86_400_000_000_000,
        };
        let items = expanded(&event, "FREQ=DAILY", week, None);
        assert_eq!(items.len(), 3);
        assert_eq!(items[1]["instance_id"], "e_86400000000000");
        assert_eq!(items[1]["end_at"], 90_000_000_000_000_i64);
    }
}
