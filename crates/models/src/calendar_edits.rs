//! Changes of calendars, their events and who is invited: each one transaction. Reading them is in `calendars`.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value};

use crate::calendars::{AttendeeRow, CalendarRow, EventRow, KIND};
use crate::db::{Changes, Conn, Db, DbResult};
use crate::grants::{self, Grant};
use crate::{args, calendars};

/// What a request says about a calendar.
#[derive(Debug, Clone, Default)]
pub struct CalendarInput {
    /// Name shown.
    pub name: Option<String>,
    /// CSS colour; `Some(None)` takes it away.
    pub color: Option<Option<String>>,
    /// Fields of the free object.
    pub data: Option<Map<String, Value>>,
    /// Fields of the free object.
    pub meta: Option<Map<String, Value>>,
}

/// What a request says about an event. The outer option is whether a field was sent.
#[derive(Debug, Clone, Default)]
pub struct EventInput {
    /// Calendar.
    pub calendar_id: Option<String>,
    /// Title shown.
    pub title: Option<String>,
    /// Description shown.
    pub description: Option<Option<String>>,
    /// Begin.
    pub start_at: Option<i64>,
    /// End.
    pub end_at: Option<Option<i64>>,
    /// Whether it takes whole days.
    pub all_day: Option<bool>,
    /// Recurrence rule.
    pub rrule: Option<Option<String>>,
    /// CSS colour.
    pub color: Option<Option<String>>,
    /// Place shown.
    pub location: Option<Option<String>>,
    /// Fields of the free object.
    pub data: Option<Map<String, Value>>,
    /// Fields of the free object.
    pub meta: Option<Map<String, Value>>,
    /// Whether it was called off.
    pub is_cancelled: Option<bool>,
    /// Those invited, instead of the present ones.
    pub attendees: Option<Vec<Invitation>>,
}

/// Somebody to invite.
#[derive(Debug, Clone, PartialEq)]
pub struct Invitation {
    /// Who.
    pub user_id: String,
    /// Free object.
    pub meta: Option<Value>,
}

fn laid_over(stored: Option<Value>, fields: Map<String, Value>) -> Value {
    let mut merged = match stored {
        Some(Value::Object(stored)) => stored,
        _ => Map::new(),
    };
    merged.extend(fields);
    Value::Object(merged)
}

/// Inserts a calendar with its grants. Answers its id.
#[boxed]
pub async fn create(db: &Db, user_id: &str, input: CalendarInput, grants: &[Grant]) -> DbResult<String> {
    let now = db.clock().nanos();
    let row = CalendarRow {
        id: ids::uuid(),
        user_id: user_id.to_owned(),
        name: input.name.unwrap_or_default(),
        color: input.color.flatten(),
        is_default: false,
        // Absent objects are stored as the reference stores them: as JSON null.
        data: Some(input.data.map_or(Value::Null, Value::Object)),
        meta: Some(input.meta.map_or(Value::Null, Value::Object)),
        created_at: now,
        updated_at: now,
    };
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    grants::replace(&mut tx, KIND, &row.id, grants).await?;
    tx.commit().await?;
    Ok(row.id)
}

/// Changes what the input names of a calendar; fields of `data` and `meta` are laid over the stored ones.
#[boxed]
pub async fn update(db: &Db, id: &str, input: CalendarInput) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let Some(row) = calendars::by_id(&mut tx, id).await? else {
        return Ok(());
    };
    let changes = Changes::new()
        .set_some("name", input.name)
        .set_some("color", input.color)
        .set_some("data", input.data.map(|fields| laid_over(row.data, fields)))
        .set_some("meta", input.meta.map(|fields| laid_over(row.meta, fields)))
        .set("updated_at", db.clock().nanos());
    CalendarRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Makes one of a user's own calendars the one that new events go to. False when the user has no such calendar.
#[boxed]
pub async fn set_default(db: &Db, user_id: &str, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let others = Changes::new().set("is_default", false);
    let rest = "WHERE user_id = ? AND is_default = ?";
    CalendarRow::update(&mut tx, others, rest, args![user_id, true]).await?;
    let chosen = Changes::new()
        .set("is_default", true)
        .set("updated_at", db.clock().nanos());
    let rest = "WHERE id = ? AND user_id = ?";
    let found = CalendarRow::update(&mut tx, chosen, rest, args![id, user_id]).await? > 0;
    if found {
        tx.commit().await?;
    }
    Ok(found)
}

/// Deletes a calendar with its events, their invitations and its grants.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let invitations = "WHERE event_id IN (SELECT id FROM calendar_event WHERE calendar_id = ?)";
    AttendeeRow::delete(&mut tx, invitations, args![id]).await?;
    EventRow::delete(&mut tx, "WHERE calendar_id = ?", args![id]).await?;
    CalendarRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    grants::remove(&mut tx, KIND, id).await?;
    tx.commit().await
}

/// Inserts an event with its invitations. Answers its id.
#[boxed]
pub async fn create_event(db: &Db, user_id: &str, input: EventInput) -> DbResult<String> {
    let now = db.clock().nanos();
    let row = EventRow {
        id: ids::uuid(),
        calendar_id: input.calendar_id.unwrap_or_default(),
        user_id: user_id.to_owned(),
        title: input.title.unwrap_or_default(),
        description: input.description.flatten(),
        start_at: input.start_at.unwrap_or_default(),
        end_at: input.end_at.flatten(),
        all_day: input.all_day.unwrap_or(false),
        rrule: input.rrule.flatten(),
        color: input.color.flatten(),
        location: input.location.flatten(),
        // Absent objects are stored as the reference stores them: as JSON null.
        data: Some(input.data.map_or(Value::Null, Value::Object)),
        meta: Some(input.meta.map_or(Value::Null, Value::Object)),
        is_cancelled: input.is_cancelled.unwrap_or(false),
        created_at: now,
        updated_at: now,
    };
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    invite(&mut tx, &row.id, input.attendees.unwrap_or_default(), now).await?;
    tx.commit().await?;
    Ok(row.id)
}

/// Changes what the input names of an event; fields of `data` and `meta` are laid over the stored ones.
#[boxed]
pub async fn update_event(db: &Db, id: &str, input: EventInput) -> DbResult<()> {
    let now = db.clock().nanos();
    let mut tx = db.begin().await?;
    let Some(row) = EventRow::find(&mut tx, "WHERE id = ?", args![id]).await? else {
        return Ok(());
    };
    let changes = Changes::new()
        .set_some("calendar_id", input.calendar_id)
        .set_some("title", input.title)
        .set_some("description", input.description)
        .set_some("start_at", input.start_at)
        .set_some("end_at", input.end_at)
        .set_some("all_day", input.all_day)
        .set_some("rrule", input.rrule)
        .set_some("color", input.color)
        .set_some("location", input.location)
        .set_some("is_cancelled", input.is_cancelled)
        .set_some("data", input.data.map(|fields| laid_over(row.data, fields)))
        .set_some("meta", input.meta.map(|fields| laid_over(row.meta, fields)))
        .set("updated_at", now);
    EventRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    if let Some(attendees) = input.attendees {
        invite(&mut tx, id, attendees, now).await?;
    }
    tx.commit().await
}

/// Replaces the invitations to an event. What somebody has answered stays theirs.
async fn invite(tx: &mut crate::Tx, event_id: &str, invitations: Vec<Invitation>, now: i64) -> DbResult<()> {
    let present = AttendeeRow::list(&mut *tx, "WHERE event_id = ?", args![event_id]).await?;
    AttendeeRow::delete(&mut *tx, "WHERE event_id = ?", args![event_id]).await?;
    let mut invited: Vec<&str> = Vec::new();
    for invitation in &invitations {
        if invited.contains(&invitation.user_id.as_str()) {
            continue;
        }
        invited.push(&invitation.user_id);
        let answered = present.iter().find(|row| row.user_id == invitation.user_id);
        let row = AttendeeRow {
            id: ids::uuid(),
            event_id: event_id.to_owned(),
            user_id: invitation.user_id.clone(),
            status: answered.map_or_else(|| "pending".into(), |row| row.status.clone()),
            meta: invitation.meta.clone(),
            created_at: now,
            updated_at: now,
        };
        row.insert(&mut *tx).await?;
    }
    Ok(())
}

/// Deletes an event with its invitations.
#[boxed]
pub async fn delete_event(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    AttendeeRow::delete(&mut tx, "WHERE event_id = ?", args![id]).await?;
    EventRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

/// Writes down what somebody answers to their invitation. False when they are not invited.
#[boxed]
pub async fn answer(
    conn: impl Into<Conn<'_>>,
    event_id: &str,
    user_id: &str,
    status: &str,
    now: i64,
) -> DbResult<bool> {
    let changes = Changes::new().set("status", status).set("updated_at", now);
    let rest = "WHERE event_id = ? AND user_id = ?";
    Ok(AttendeeRow::update(conn, changes, rest, args![event_id, user_id]).await? > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn calendars_and_events_change_as_wholes() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let bob = crate::testing::user(&db, "bob").await;
            let named = |name: &str| CalendarInput {
                name: Some(name.into()),
                ..CalendarInput::default()
            };
            let work = create(&db, &ada.id, named("Work"), &[Grant::public_read()])
                .await
                .unwrap();
            let home = create(&db, &ada.id, named("Home"), &[]).await.unwrap();
            assert!(set_default(&db, &ada.id, &work).await.unwrap());
            assert!(set_default(&db, &ada.id, &home).await.unwrap());
            assert!(!set_default(&db, &bob.id, &work).await.unwrap());
            let is_default = async |id: &str| calendars::by_id(&*db, id).await.unwrap().unwrap().is_default;
            assert_eq!((is_default(&work).await, is_default(&home).await), (false, true));

            let invite = |id: &str| Invitation {
                user_id: id.into(),
                meta: None,
            };
            let event = EventInput {
                calendar_id: Some(work.clone()),
                title: Some("Meeting".into()),
                start_at: Some(5),
                location: Some(Some("Here".into())),
                attendees: Some(vec![invite(&bob.id), invite(&bob.id)]),
                ..EventInput::default()
            };
            let id = create_event(&db, &ada.id, event).await.unwrap();
            assert!(answer(&*db, &id, &bob.id, "accepted", 7).await.unwrap());
            assert!(!answer(&*db, &id, &ada.id, "accepted", 7).await.unwrap());
            let change = EventInput {
                location: Some(None),
                meta: Some(Map::from_iter([("a".to_owned(), json!(1))])),
                attendees: Some(vec![invite(&ada.id), invite(&bob.id)]),
                ..EventInput::default()
            };
            update_event(&db, &id, change).await.unwrap();
            let stored = calendars::event(&db, &id).await.unwrap().unwrap();
            assert_eq!(
                (stored.row.title.as_str(), stored.row.location.as_deref()),
                ("Meeting", None)
            );
            assert_eq!(stored.row.meta, Some(json!({"a": 1})));
            let mut status: Vec<_> = stored.attendees.iter().map(|one| one.status.as_str()).collect();
            status.sort_unstable();
            assert_eq!(status, ["accepted", "pending"]);

            delete(&db, &work).await.unwrap();
            assert!(calendars::event(&db, &id).await.unwrap().is_none());
            assert!(calendars::by_id(&*db, &work).await.unwrap().is_none());
            assert!(grants::of(&*db, KIND, &work).await.unwrap().is_empty());
        }
    }
}
