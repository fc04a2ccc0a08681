//! Making, changing and sharing calendars, and the same for their events.

use axum::Json;
use axum::extract::Path;
use oui_chat::recurrence::interval_seconds;
use oui_core::{ApiError, ApiResult, form};
use oui_models::calendar_edits::{self as edits, CalendarInput, EventInput, Invitation};
use oui_models::calendars::{self, CalendarRow};
use oui_models::{grants, shared};
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::{TASKS, check, reachable, reachable_event};
use crate::common::{GrantForm, GrantsForm, allowed_grants, demanded_grants};

/// Events may recur once a day at most; in seconds.
const SHORTEST_INTERVAL: i64 = 24 * 60 * 60;

form! {
    /// A new calendar.
    pub(super) struct CalendarForm {
        /// Name shown.
        name: String,
        /// CSS colour.
        color: Option<String>,
        /// Free object.
        data: Option<Map<String, Value>>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Grants.
        access_grants: Option<Vec<GrantForm>>,
    }
}

form! {
    /// What to change of a calendar.
    pub(super) struct CalendarUpdateForm {
        /// Name shown.
        name: Option<String>,
        /// CSS colour.
        color: Option<String>,
        /// Fields of the free object.
        data: Option<Map<String, Value>>,
        /// Fields of the free object.
        meta: Option<Map<String, Value>>,
    }
}

form! {
    /// Somebody to invite.
    struct AttendeeForm {
        /// Who.
        user_id: String,
        /// Free object.
        meta: Option<Value>,
    }
}

form! {
    /// A new event. Times are nanoseconds.
    pub(super) struct EventForm {
        /// Calendar.
        calendar_id: String,
        /// Title shown.
        title: String,
        /// Description shown.
        description: Option<String>,
        /// Begin.
        start_at: i64,
        /// End.
        end_at: Option<i64>,
        /// Whether it takes whole days.
        all_day: bool = false,
        /// Recurrence rule.
        rrule: Option<String>,
        /// CSS colour.
        color: Option<String>,
        /// Place shown.
        location: Option<String>,
        /// Free object.
        data: Option<Map<String, Value>>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Those invited.
        attendees: Option<Vec<AttendeeForm>>,
    }
}

form! {
    /// What to change of an event. Times are nanoseconds.
    pub(super) struct EventUpdateForm {
        /// Calendar to move it to.
        calendar_id: Option<String>,
        /// Title shown.
        title: Option<String>,
        /// Description shown.
        description: Option<String>,
        /// Begin.
        start_at: Option<i64>,
        /// End.
        end_at: Option<i64>,
        /// Whether it takes whole days.
        all_day: Option<bool>,
        /// Recurrence rule.
        rrule: Option<String>,
        /// CSS colour.
        color: Option<String>,
        /// Place shown.
        location: Option<String>,
        /// Fields of the free object.
        data: Option<Map<String, Value>>,
        /// Fields of the free object.
        meta: Option<Map<String, Value>>,
        /// Whether it was called off.
        is_cancelled: Option<bool>,
        /// Those invited, instead of the present ones.
        attendees: Option<Vec<AttendeeForm>>,
    }
}

form! {
    /// An answer to an invitation.
    pub(super) struct AnswerForm {
        /// `accepted`, `declined`, `tentative` or `pending`.
        status: String,
    }
}

/// The calendar as it is now, and the news of what was done to it.
async fn answer_with(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    // Whoever may write need not be able to read.
    let entry = shared::get::<CalendarRow>(caller.db(), id).await?;
    let entry = entry.ok_or_else(|| ApiError::not_found("Calendar not found"))?;
    caller.tell(news, id, json!({ "name": entry.row.name }));
    Ok(Json(entry.row.to_json(&entry.grants)))
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<CalendarForm>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let form = body.form;
    let grants = allowed_grants(&caller, calendars::KIND, form.access_grants).await?;
    let input = CalendarInput {
        name: Some(form.name),
        color: Some(form.color),
        data: form.data,
        meta: form.meta,
    };
    let id = edits::create(caller.db(), caller.id(), input, &grants).await?;
    answer_with(&caller, &id, "calendar.created").await
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<CalendarUpdateForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    reachable(&caller, &id, "write").await?;
    let color_sent = body.raw.get("color").is_some();
    let form = body.form;
    let input = CalendarInput {
        name: form.name,
        color: color_sent.then_some(form.color),
        data: form.data,
        meta: form.meta,
    };
    edits::update(caller.db(), &id, input).await?;
    answer_with(&caller, &id, "calendar.updated").await
}

pub(super) async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let entry = reachable(&caller, &id, "write").await?;
    if entry.row.user_id != caller.id() && !caller.is_admin() {
        return Err(ApiError::forbidden("Only owner can manage sharing"));
    }
    let wanted = demanded_grants(&caller, calendars::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), calendars::KIND, &id, &wanted).await?;
    answer_with(&caller, &id, "calendar.updated").await
}

pub(super) async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    if id == TASKS.0 {
        return Err(ApiError::bad_request("System calendars cannot be deleted"));
    }
    let entry = reachable(&caller, &id, "write").await?;
    if entry.row.user_id != caller.id() && !caller.is_admin() {
        return Err(ApiError::forbidden("Only owner can delete calendar"));
    }
    if entry.row.is_default {
        return Err(ApiError::bad_request("Default calendar cannot be deleted"));
    }
    edits::delete(caller.db(), &id).await?;
    caller.tell("calendar.deleted", id, json!({ "name": entry.row.name }));
    Ok(Json(json!({ "status": true })))
}

pub(super) async fn set_default(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    if !edits::set_default(caller.db(), caller.id(), &id).await? {
        return Err(ApiError::not_found("Calendar not found"));
    }
    answer_with(&caller, &id, "calendar.default_updated").await
}

/// Refuses rules that can not be read, and those that recur within a day.
fn check_rule(caller: &Caller<Verified>, rule: Option<&str>) -> ApiResult<()> {
    let Some(rule) = rule.filter(|rule| !rule.is_empty()) else {
        return Ok(());
    };
    let refuse = |text: String| ApiError::new(http::StatusCode::UNPROCESSABLE_ENTITY, text);
    match interval_seconds(rule, caller.app().clock.nanos()) {
        Err(text) => Err(refuse(text)),
        Ok(Some(seconds)) if seconds < SHORTEST_INTERVAL => Err(refuse(
            "Recurring events cannot repeat more often than daily".into(),
        )),
        Ok(_) => Ok(()),
    }
}

fn invitations(forms: Vec<AttendeeForm>) -> Vec<Invitation> {
    forms
        .into_iter()
        .map(|form| Invitation {
            user_id: form.user_id,
            meta: form.meta,
        })
        .collect()
}

pub(super) async fn create_event(caller: Caller<Verified>, body: Body<EventForm>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let form = body.form;
    reachable(&caller, &form.calendar_id, "write").await?;
    check_rule(&caller, form.rrule.as_deref())?;
    let input = EventInput {
        calendar_id: Some(form.calendar_id),
        title: Some(form.title),
        description: Some(form.description),
        start_at: Some(form.start_at),
        end_at: Some(form.end_at),
        all_day: Some(form.all_day),
        rrule: Some(form.rrule),
        color: Some(form.color),
        location: Some(form.location),
        data: form.data,
        meta: form.meta,
        is_cancelled: None,
        attendees: form.attendees.map(invitations),
    };
    let id = edits::create_event(caller.db(), caller.id(), input).await?;
    event_as_it_is(&caller, &id, "calendar.event.created").await
}

async fn event_as_it_is(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    let event = calendars::event(caller.db(), id).await?;
    let event = event.ok_or_else(|| ApiError::not_found("Event not found"))?;
    let details = json!({ "calendar_id": event.row.calendar_id, "title": event.row.title });
    caller.tell(news, id, details);
    Ok(Json(Value::Object(event.to_json())))
}

pub(super) async fn update_event(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<EventUpdateForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let event = reachable_event(&caller, &id, "write").await?;
    let form = body.form;
    if let Some(target) = form
        .calendar_id
        .as_deref()
        .filter(|id| *id != event.row.calendar_id)
    {
        reachable(&caller, target, "write").await?;
    }
    check_rule(&caller, form.rrule.as_deref())?;
    let raw = &body.raw;
    let sent = |name: &str| raw.get(name).is_some();
    let input = EventInput {
        calendar_id: form.calendar_id,
        title: form.title,
        description: sent("description").then_some(form.description),
        start_at: form.start_at,
        end_at: sent("end_at").then_some(form.end_at),
        all_day: form.all_day,
        rrule: sent("rrule").then_some(form.rrule),
        color: sent("color").then_some(form.color),
        location: sent("location").then_some(form.location),
        data: form.data,
        meta: form.meta,
        is_cancelled: form.is_cancelled,
        attendees: form.attendees.map(invitations),
    };
    edits::update_event(caller.db(), &id, input).await?;
    event_as_it_is(&caller, &id, "calendar.event.updated").await
}

pub(super) async fn delete_event(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let event = reachable_event(&caller, &id, "write").await?;
    edits::delete_event(caller.db(), &id).await?;
    let details = json!({ "calendar_id": event.row.calendar_id, "title": event.row.title });
    caller.tell("calendar.event.deleted", id, details);
    Ok(Json(json!({ "status": true })))
}

pub(super) async fn answer(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<AnswerForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let status = body.form.status;
    if !["accepted", "declined", "tentative", "pending"].contains(&status.as_str()) {
        return Err(ApiError::bad_request("Invalid status"));
    }
    let now = caller.app().clock.nanos();
    if !edits::answer(caller.db(), &id, caller.id(), &status, now).await? {
        return Err(ApiError::not_found("Not an attendee of this event"));
    }
    caller.tell("calendar.event.rsvp_updated", id, json!({ "status": status }));
    Ok(Json(json!({ "status": true, "rsvp": status })))
}
