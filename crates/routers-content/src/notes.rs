//! Notes: `/api/v1/notes`. Editing together goes through the socket server; the chats beside a note are in `chats`.

mod chats;

use axum::Json;
use axum::extract::Path;
use oui_config::features;
use oui_core::events::Room;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::notes::{self, NoteChange, NoteRow};
use oui_models::shared::{self, Entry, Filter};
use oui_models::{folder_files, grants};
use oui_web::{Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::{GrantForm, GrantsForm, Reading, allowed_grants, demanded_grants, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "notes" at "/api/v1/notes";
        GET    "/"                   Verified => list,
        GET    "/pinned"             Verified => pinned,
        GET    "/search"             Verified => search,
        POST   "/create"             Verified => create,
        GET    "/{id}"               Verified => get,
        GET    "/{id}/chat"          Verified => chats::latest,
        POST   "/{id}/chat"          Verified => chats::create,
        GET    "/{id}/chats"         Verified => chats::list,
        POST   "/{id}/update"        Verified => update,
        POST   "/{id}/access/update" Verified => set_access,
        POST   "/{id}/pin"           Verified => pin,
        DELETE "/{id}/delete"        Verified => delete,
    }
}

/// Notes of a page.
const PAGE: i64 = 60;

const ORDERS: &[(&str, &str)] = &[
    ("name", "r.title"),
    ("created_at", "r.created_at"),
    ("updated_at", "r.updated_at"),
];

form! {
    /// Which page.
    struct PageQuery {
        /// From 1; all notes when absent.
        page: Option<i64>,
    }
}

form! {
    /// Which notes.
    struct SearchQuery {
        /// Words that must all occur.
        query: Option<String>,
        /// `created` or `shared`.
        view_option: Option<String>,
        /// Right that the caller must have.
        permission: Option<String>,
        /// Name of a column.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
        /// From 1.
        page: Option<i64> = Some(1),
    }
}

form! {
    /// A new note.
    struct NoteForm {
        /// Title shown.
        title: String,
        /// Text in several forms, files.
        data: Option<Value>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Grants.
        access_grants: Option<Vec<GrantForm>>,
    }
}

form! {
    /// What to change of a note.
    struct UpdateForm {
        /// Title shown.
        title: Option<String>,
        /// Fields of the data.
        data: Option<Value>,
        /// Fields of the free object.
        meta: Option<Map<String, Value>>,
    }
}

/// Refuses when notes are switched off or not for the caller.
async fn check(caller: &Caller<Verified>) -> ApiResult<()> {
    if !caller.app().config.get(&features::ENABLE_NOTES) {
        return Err(ApiError::forbidden("Notes is disabled"));
    }
    if caller.may("features.notes").await? {
        Ok(())
    } else {
        Err(ApiError::unauthorized(messages::UNAUTHORIZED))
    }
}

type Note = Entry<NoteRow>;

/// A note of a short list; notes whose owner is gone are left out.
fn item(entry: &Note, pinned: bool) -> Option<Value> {
    entry.user.as_ref()?;
    let row = &entry.row;
    Some(json!({
        "id": row.id, "title": row.title, "data": row.excerpt(), "is_pinned": pinned,
        "updated_at": row.updated_at, "created_at": row.created_at, "user": entry.user_json(),
    }))
}

async fn list(caller: Caller<Verified>, Query(query): Query<PageQuery>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let reading = Reading::of(&caller).await?;
    let mut filter = Filter::readable(reading.as_user(), "r.updated_at DESC");
    if let Some(page) = query.page {
        filter = filter.page(page, PAGE);
    }
    let entries = shared::list::<NoteRow>(caller.db(), &filter).await?;
    let pins = notes::pinned_ids(caller.db(), caller.id()).await?;
    Ok(Json(
        entries
            .iter()
            .filter_map(|entry| item(entry, pins.contains(&entry.row.id)))
            .collect(),
    ))
}

async fn pinned(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let reading = Reading::of(&caller).await?;
    let entries = notes::pinned(caller.db(), reading.as_user()).await?;
    Ok(Json(
        entries.iter().filter_map(|entry| item(entry, true)).collect(),
    ))
}

async fn search(caller: Caller<Verified>, Query(query): Query<SearchQuery>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let reading = Reading::of(&caller).await?;
    let order = shared::order(
        ORDERS,
        given(&query.order_by),
        given(&query.direction),
        "r.updated_at DESC",
    );
    let mut filter = Filter::readable(reading.reader(), order);
    filter.view = given(&query.view_option);
    let read_only = given(&query.permission) == Some("read_only");
    filter.permission = match given(&query.permission) {
        Some("read" | "read_only") => "read",
        _ => "write",
    };
    for word in query.query.as_deref().unwrap_or_default().split_whitespace() {
        let word = word.replace('-', "");
        if !word.is_empty() {
            filter = filter.and(notes::mentions(caller.db().dialect(), &word));
        }
    }
    if read_only {
        // Readable, but neither the caller's own nor writable.
        filter = filter
            .and(("r.user_id <> ?".into(), vec![caller.id().into()]))
            .and(not_writable(&reading));
    }
    if let Some(page) = query.page {
        filter = filter.page(page, PAGE);
    }
    let page = shared::search::<NoteRow>(caller.db(), &filter).await?;
    let pins = notes::pinned_ids(caller.db(), caller.id()).await?;
    let items: Vec<Value> = page
        .entries
        .iter()
        .map(|entry| {
            let mut item = entry.row.to_json(&entry.grants, pins.contains(&entry.row.id));
            item.insert("data".into(), entry.row.excerpt());
            item.insert("user".into(), entry.user_json());
            Value::Object(item)
        })
        .collect();
    Ok(Json(json!({ "items": items, "total": page.total })))
}

fn not_writable(reading: &Reading) -> shared::Condition {
    let reader = reading.as_user();
    let (reach, args) = grants::reach_condition(notes::KIND, "write", reader.user_id, reader.membership);
    (
        format!("NOT EXISTS (SELECT 1 FROM access_grant WHERE resource_id = r.id AND {reach})"),
        args,
    )
}

async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Note> {
    shared::get(caller.db(), id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))
}

/// The note, when the caller may do what the permission names.
async fn authorized(caller: &Caller<Verified>, id: &str, permission: &str) -> ApiResult<Note> {
    check(caller).await?;
    let entry = find(caller, id).await?;
    if Reading::of(caller).await?.may_or_admin(&entry, permission) {
        Ok(entry)
    } else {
        Err(ApiError::forbidden(messages::DEFAULT))
    }
}

/// The note as it is now.
async fn answer(caller: &Caller<Verified>, id: &str) -> ApiResult<Map<String, Value>> {
    let entry = find(caller, id).await?;
    let pins = notes::pinned_ids(caller.db(), caller.id()).await?;
    Ok(entry.row.to_json(&entry.grants, pins.iter().any(|pin| pin == id)))
}

async fn create(caller: Caller<Verified>, body: Body<NoteForm>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let form = body.form;
    let grants = allowed_grants(&caller, notes::KIND, form.access_grants).await?;
    let meta = form.meta.map(Value::Object);
    let id = notes::create(caller.db(), caller.id(), &form.title, form.data, meta, &grants).await?;
    let mut json = answer(&caller, &id).await?;
    caller.tell("note.created", id, json!({ "title": json["title"] }));
    json.insert("is_pinned".into(), json!(false));
    Ok(Json(Value::Object(json)))
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = authorized(&caller, &id, "read").await?;
    let mut json = answer(&caller, &id).await?;
    json.insert(
        "write_access".into(),
        json!(Reading::of(&caller).await?.may_or_admin(&entry, "write")),
    );
    Ok(Json(Value::Object(json)))
}

async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<UpdateForm>,
) -> ApiResult<Json<Value>> {
    let note = authorized(&caller, &id, "write").await?;
    if let Some(files) = body.form.data.as_ref().and_then(|data| data.get("files"))
        && !folder_files::may_attach_to_note(caller.db(), &note.row, files, caller.user()).await?
    {
        return Err(ApiError::forbidden(messages::DEFAULT));
    }
    let sent = |name: &str| body.raw.get(name).is_some();
    let data = notes::sanitize(body.form.data.clone());
    let data = data.and_then(|data| data.as_object().cloned());
    let change = NoteChange {
        title: body.form.title.clone(),
        data: sent("data").then(|| data.clone().unwrap_or_default()),
        meta: sent("meta").then(|| body.form.meta.clone().unwrap_or_default()),
    };
    notes::update(caller.db(), &id, change).await?;
    let json = answer(&caller, &id).await?;
    announce(&caller, &id, &json, data.as_ref()).await;
    caller.tell("note.updated", id, json!({ "title": json["title"] }));
    Ok(Json(Value::Object(json)))
}

/// Tells everybody who has the note open; of the data only the fields that were sent.
async fn announce(
    caller: &Caller<Verified>,
    id: &str,
    note: &Map<String, Value>,
    sent: Option<&Map<String, Value>>,
) {
    let mut event = note.clone();
    if let Some(sent) = sent {
        let stored = note.get("data").and_then(Value::as_object);
        let fields: Map<String, Value> = sent
            .keys()
            .filter_map(|name| Some((name.clone(), stored?.get(name)?.clone())))
            .collect();
        event.insert("data".into(), Value::Object(fields));
    }
    let room = Room::Note(id.to_owned());
    caller
        .app()
        .emitter
        .emit(&room, "events:note", &Value::Object(event), None)
        .await;
}

async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "write").await?;
    let wanted = demanded_grants(&caller, notes::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), notes::KIND, &id, &wanted).await?;
    caller.tell("note.access_updated", id.as_str(), Value::Null);
    Ok(Json(Value::Object(answer(&caller, &id).await?)))
}

async fn pin(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "read").await?;
    notes::toggle_pin(caller.db(), &id, caller.id()).await?;
    let json = answer(&caller, &id).await?;
    let news = if json["is_pinned"] == true {
        "note.pinned"
    } else {
        "note.unpinned"
    };
    caller.tell(news, id, Value::Null);
    Ok(Json(Value::Object(json)))
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    authorized(&caller, &id, "write").await?;
    notes::delete(caller.db(), &id).await?;
    caller.tell("note.deleted", id, Value::Null);
    Ok(Json(json!(true)))
}
