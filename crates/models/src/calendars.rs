//! Tables `calendar`, `calendar_event` and `calendar_event_attendee`. Times are nanoseconds. Events that recur
//! are stored once; their occurrences are computed by the routes.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Arg, Conn, Db, DbResult, placeholders};
use crate::grants::GrantRow;
use crate::shared::{self, Entry, Filter, Reader};
use crate::users::{self, UserRow};
use crate::{args, shared_row, table};

/// `resource_type` of calendars in the grants.
pub const KIND: &str = "calendar";

table! {
    /// One calendar.
    pub struct CalendarRow in "calendar" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Name shown.
        pub name: String,
        /// CSS colour.
        pub color: Option<String>,
        /// Whether new events go there.
        pub is_default: bool,
        /// Free object.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// When it was made.
        pub created_at: i64,
        /// When it was changed.
        pub updated_at: i64,
    }
}

table! {
    /// One event.
    pub struct EventRow in "calendar_event" {
        /// Row id.
        pub id: String,
        /// Calendar.
        pub calendar_id: String,
        /// Who made it.
        pub user_id: String,
        /// Title shown.
        pub title: String,
        /// Description shown.
        pub description: Option<String>,
        /// Begin.
        pub start_at: i64,
        /// End.
        pub end_at: Option<i64>,
        /// Whether it takes whole days.
        pub all_day: bool,
        /// Recurrence rule.
        pub rrule: Option<String>,
        /// CSS colour.
        pub color: Option<String>,
        /// Place shown.
        pub location: Option<String>,
        /// Free object.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// Whether it was called off.
        pub is_cancelled: bool,
        /// When it was made.
        pub created_at: i64,
        /// When it was changed.
        pub updated_at: i64,
    }
}

table! {
    /// Somebody invited to an event.
    pub struct AttendeeRow in "calendar_event_attendee" {
        /// Row id.
        pub id: String,
        /// Event.
        pub event_id: String,
        /// Who is invited.
        pub user_id: String,
        /// `pending`, `accepted`, `declined` or `tentative`.
        pub status: String,
        /// Free object.
        pub meta: Option<Value>,
        /// When the invitation was made.
        pub created_at: i64,
        /// When it was answered.
        pub updated_at: i64,
    }
}

shared_row!(CalendarRow, KIND);

impl CalendarRow {
    /// The calendar as routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Value {
        json!({
            "id": self.id, "user_id": self.user_id, "name": self.name, "color": self.color,
            "is_default": self.is_default, "is_system": false, "data": self.data, "meta": self.meta,
            "access_grants": shared::grants_json(grants),
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

impl AttendeeRow {
    /// The attendee as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "event_id": self.event_id, "user_id": self.user_id, "status": self.status,
            "meta": self.meta, "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

/// An event with those invited and its maker.
#[derive(Debug, Clone)]
pub struct Event {
    /// The row.
    pub row: EventRow,
    /// Those invited.
    pub attendees: Vec<AttendeeRow>,
    /// Its maker's account.
    pub user: Option<UserRow>,
}

impl Event {
    /// The event as routes send it, without its maker.
    pub fn to_json(&self) -> Map<String, Value> {
        let row = &self.row;
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(row.id)),
            ("calendar_id", json!(row.calendar_id)),
            ("user_id", json!(row.user_id)),
            ("title", json!(row.title)),
            ("description", json!(row.description)),
            ("start_at", json!(row.start_at)),
            ("end_at", json!(row.end_at)),
            ("all_day", json!(row.all_day)),
            ("rrule", json!(row.rrule)),
            ("color", json!(row.color)),
            ("location", json!(row.location)),
            ("data", json!(row.data)),
            ("meta", json!(row.meta)),
            ("is_cancelled", json!(row.is_cancelled)),
            (
                "attendees",
                self.attendees.iter().map(AttendeeRow::to_json).collect(),
            ),
            ("created_at", json!(row.created_at)),
            ("updated_at", json!(row.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }

    /// `user` of the answer.
    pub fn user_json(&self) -> Value {
        self.user.as_ref().map_or(Value::Null, shared::user_json)
    }
}

/// Name and colour of the calendar that everybody gets; both are seen by clients.
const DEFAULT_CALENDAR: (&str, &str) = ("Personal", "#3b82f6");

/// The calendars that a user owns or may read, oldest first. Whoever has none gets a first one.
#[boxed]
pub async fn of_user(db: &Db, reader: Reader<'_>) -> DbResult<Vec<Entry<CalendarRow>>> {
    let calendars = shared::list(db, &Filter::readable(reader, "r.created_at")).await?;
    if !calendars.is_empty() {
        return Ok(calendars);
    }
    let now = db.clock().nanos();
    let row = CalendarRow {
        id: ids::uuid(),
        user_id: reader.user_id.to_owned(),
        name: DEFAULT_CALENDAR.0.into(),
        color: Some(DEFAULT_CALENDAR.1.into()),
        is_default: true,
        data: None,
        meta: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = db.begin().await?;
    if tx.db().dialect() == crate::db::Dialect::Postgres {
        // Two first requests at once must not both find none; SQLite's write transactions are exclusive already.
        crate::db::sql(
            "SELECT pg_advisory_xact_lock(hashtext(?))",
            args![format!("calendar:{}", reader.user_id)],
        )
        .first(&mut tx)
        .await?;
    }
    let existing = CalendarRow::list(
        &mut tx,
        "WHERE user_id = ? ORDER BY created_at",
        args![reader.user_id],
    )
    .await?;
    if existing.is_empty() {
        row.insert(&mut tx).await?;
        tx.commit().await?;
        return shared::entries(db, vec![row]).await;
    }
    drop(tx);
    shared::entries(db, existing).await
}

/// Joins attendees and makers to events.
async fn complete(db: &Db, rows: Vec<EventRow>) -> DbResult<Vec<Event>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Arg> = rows.iter().map(|row| Arg::from(&row.id)).collect();
    let text = format!("WHERE event_id IN ({})", placeholders(ids.len()));
    let mut attendees = AttendeeRow::list(db, &text, ids).await?;
    let mut makers: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
    makers.sort();
    makers.dedup();
    let makers = users::by_ids(db, &makers).await?;
    let events = rows.into_iter().map(|row| Event {
        attendees: attendees
            .extract_if(.., |attendee| attendee.event_id == row.id)
            .collect(),
        user: makers.iter().find(|maker| maker.id == row.user_id).cloned(),
        row,
    });
    Ok(events.collect())
}

/// Events between two times that the reader sees: in the given calendars (all that they may read, when none are
/// given), and those they are invited to and did not decline. Recurring ones come whatever their time.
#[boxed]
pub async fn events_between(
    db: &Db,
    reader: Reader<'_>,
    (start, end): (i64, i64),
    calendars: Option<&[String]>,
) -> DbResult<Vec<Event>> {
    let readable = shared::list::<CalendarRow>(db, &Filter::readable(reader, "r.created_at")).await?;
    let mut seen: Vec<String> = readable.into_iter().map(|entry| entry.row.id).collect();
    if let Some(wanted) = calendars.filter(|wanted| !wanted.is_empty()) {
        seen.retain(|id| wanted.contains(id));
    }
    let mut args = args![false];
    args.extend(seen.iter().map(Arg::from));
    let inside = if seen.is_empty() {
        "1 = 0".into()
    } else {
        format!("calendar_id IN ({})", placeholders(seen.len()))
    };
    let text = format!(
        "WHERE is_cancelled = ? AND ({inside} OR id IN (SELECT event_id FROM calendar_event_attendee \
           WHERE user_id = ? AND status <> 'declined')) \
         AND (rrule IS NOT NULL OR (start_at < ? AND ((end_at IS NULL AND start_at >= ?) \
           OR (end_at IS NOT NULL AND (end_at > ? OR start_at >= ?))))) \
         ORDER BY start_at"
    );
    args.extend(args![reader.user_id, end, start, start, start]);
    complete(db, EventRow::list(db, &text, args).await?).await
}

/// Events of the calendars that the reader may read whose title, description or place contains a text, latest first,
/// and how many there are. A limit of 0 stands for no limit.
#[boxed]
pub async fn search_events(
    db: &Db,
    reader: Reader<'_>,
    query: Option<&str>,
    (skip, limit): (i64, i64),
) -> DbResult<(Vec<Event>, i64)> {
    let readable = shared::list::<CalendarRow>(db, &Filter::readable(reader, "r.created_at")).await?;
    if readable.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut args = args![false];
    args.extend(readable.iter().map(|entry| Arg::from(&entry.row.id)));
    let mut text = format!(
        "WHERE is_cancelled = ? AND calendar_id IN ({})",
        placeholders(readable.len())
    );
    if let Some(query) = query {
        let (condition, more) = shared::contains(&["title", "description", "location"], query);
        text = format!("{text} AND {condition}");
        args.extend(more);
    }
    let total = EventRow::count(db, &text, args.clone()).await?;
    args.extend(args![if limit > 0 { limit } else { i64::MAX }, skip.max(0)]);
    let rows = EventRow::list(
        db,
        &format!("{text} ORDER BY start_at DESC LIMIT ? OFFSET ?"),
        args,
    )
    .await?;
    Ok((complete(db, rows).await?, total))
}

/// The event with this id.
#[boxed]
pub async fn event(db: &Db, id: &str) -> DbResult<Option<Event>> {
    let rows = EventRow::list(db, "WHERE id = ?", args![id]).await?;
    Ok(complete(db, rows).await?.into_iter().next())
}

/// Events that begin between two times and were not called off, with their makers' ids.
#[boxed]
pub async fn beginning_between(db: &Db, from: i64, to: i64) -> DbResult<Vec<EventRow>> {
    let rest = "WHERE is_cancelled = ? AND start_at >= ? AND start_at <= ?";
    EventRow::list(db, rest, args![false, from, to]).await
}

/// The calendar with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<CalendarRow>> {
    CalendarRow::find(conn, "WHERE id = ?", args![id]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Membership;

    #[tokio::test]
    async fn events_are_seen_in_their_span_and_by_those_invited() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let nobody = Membership::default();
            fn of<'a>(user_id: &'a str, membership: &'a Membership) -> Reader<'a> {
                Reader {
                    user_id,
                    membership,
                    sees_all: false,
                }
            }
            let own = of_user(&db, of(&ada.id, &nobody)).await.unwrap();
            assert_eq!((own.len(), own[0].row.is_default), (1, true));
            let again = of_user(&db, of(&ada.id, &nobody)).await.unwrap();
            assert_eq!(again[0].row.id, own[0].row.id);
            let event = |id: &str, start_at, end_at, rrule: Option<&str>| EventRow {
                id: id.into(),
                calendar_id: own[0].row.id.clone(),
                user_id: ada.id.clone(),
                title: id.into(),
                description: None,
                start_at,
                end_at,
                all_day: false,
                rrule: rrule.map(str::to_owned),
                color: None,
                location: None,
                data: None,
                meta: None,
                is_cancelled: false,
                created_at: 0,
                updated_at: 0,
            };
            event("before", 10, Some(20), None).insert(&*db).await.unwrap();
            event("running", 10, Some(150), None).insert(&*db).await.unwrap();
            event("inside", 120, None, None).insert(&*db).await.unwrap();
            event("weekly", 1, None, Some("FREQ=WEEKLY"))
                .insert(&*db)
                .await
                .unwrap();
            let invitation = AttendeeRow {
                id: "i".into(),
                event_id: "inside".into(),
                user_id: bob.id.clone(),
                status: "pending".into(),
                meta: None,
                created_at: 0,
                updated_at: 0,
            };
            invitation.insert(&*db).await.unwrap();
            let seen = async |user_id: &str, calendars: Option<&[String]>| {
                let events = events_between(&db, of(user_id, &nobody), (100, 200), calendars)
                    .await
                    .unwrap();
                events.into_iter().map(|event| event.row.id).collect::<Vec<_>>()
            };
            assert_eq!(seen(&ada.id, None).await, ["weekly", "running", "inside"]);
            assert_eq!(seen(&bob.id, None).await, ["inside"]);
            assert_eq!(
                seen(&ada.id, Some(&["other".to_owned()])).await,
                Vec::<String>::new()
            );
            let inside = super::event(&db, "inside").await.unwrap().unwrap();
            assert_eq!(
                (inside.attendees.len(), &inside.user_json()["id"]),
                (1, &json!(ada.id))
            );
        }
    }
}
