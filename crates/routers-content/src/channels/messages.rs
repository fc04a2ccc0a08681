//! What is written in channels: messages, threads, pins and reactions. Everybody who hears the channel is told.

use axum::Json;
use axum::extract::Path;
use oui_core::notice::preview;
use oui_core::{ApiError, ApiResult, Room, form, messages as texts};
use oui_models::messages::{self, MessageRow, NewMessage, Part, Shape, Shown};
use oui_models::users::{self, UserRow};
use oui_models::{Db, channel_members};
use oui_web::{Body, Caller, Query, Verified};
use serde_json::{Map, Value, json};

use super::notify::notify_away;
use super::{Channel, channel_json, find, may_write, readable, refused, writable};
use crate::common::given;

/// Pinned messages of a page.
const PINNED_PAGE: i64 = 20;
/// Messages of a thread at most.
const THREAD_MAX: i64 = 100;

form! {
    /// Which messages.
    pub(super) struct WindowQuery {
        /// Messages to leave out.
        skip: i64 = 0,
        /// Messages at most.
        limit: i64 = 50,
    }
}

form! {
    /// Which part of a thread.
    pub(super) struct ThreadQuery {
        /// Messages to leave out.
        skip: i64 = 0,
        /// Messages at most.
        limit: i64 = 50,
        /// A message to be in the middle.
        around: Option<String>,
        /// A message to be just above.
        before: Option<String>,
    }
}

form! {
    /// Which page.
    pub(super) struct PageQuery {
        /// From 1.
        page: i64 = 1,
    }
}

form! {
    /// A message.
    pub(super) struct MessageForm {
        /// Id that the client shows it under until it is stored.
        temp_id: Option<String>,
        /// Text.
        content: String,
        /// Message that it answers.
        reply_to_id: Option<String>,
        /// Message whose thread it is in.
        parent_id: Option<String>,
        /// Files and the like.
        data: Option<Map<String, Value>>,
        /// Not taken from clients.
        meta: Option<Map<String, Value>>,
    }
}

form! {
    /// Whether a message is pinned.
    pub(super) struct PinForm {
        /// Whether it is.
        is_pinned: bool,
    }
}

form! {
    /// A reaction.
    pub(super) struct ReactionForm {
        /// Name of the emoji.
        name: String,
    }
}

/// `{id, name, role}`.
fn author(user: &UserRow) -> Value {
    json!({ "id": user.id, "name": user.name, "role": user.role })
}

/// The message with what is shown beside it.
pub(super) async fn one(db: &Db, id: &str) -> ApiResult<Option<Shown>> {
    let rows: Vec<MessageRow> = messages::by_id(db, id).await?.into_iter().collect();
    Ok(messages::shown(db, rows).await?.into_iter().next())
}

/// The message, when it is in this channel.
async fn in_channel(caller: &Caller<Verified>, channel_id: &str, id: &str) -> ApiResult<Shown> {
    let message = one(caller.db(), id).await?;
    let message = message.ok_or_else(|| ApiError::not_found(texts::NOT_FOUND))?;
    if message.row.channel_id.as_deref() == Some(channel_id) {
        Ok(message)
    } else {
        Err(ApiError::bad_request(texts::DEFAULT))
    }
}

/// What those who hear of events learn of a new message.
pub(super) fn created(channel_id: &str, row: &MessageRow) -> Value {
    let content = row.content.as_deref().unwrap_or_default();
    json!({ "channel_id": channel_id, "content_preview": preview(content) })
}

/// An event about a message for everybody who hears the channel.
pub(super) async fn tell(
    app: &oui_web::App,
    channel: &Channel,
    message_id: &str,
    (kind, data): (&str, Value),
    from: Value,
) {
    let told = json!({
        "channel_id": channel.row.id, "message_id": message_id, "data": { "type": kind, "data": data },
        "user": from, "channel": channel_json(channel),
    });
    let room = Room::Channel(channel.row.id.clone());
    app.emitter.emit(&room, "events:channel", &told, None).await;
}

/// Tells of the message whose thread has changed.
async fn tell_parent(caller: &Caller<Verified>, channel: &Channel, parent_id: Option<&str>) -> ApiResult<()> {
    let Some(parent_id) = parent_id else { return Ok(()) };
    if let Some(parent) = one(caller.db(), parent_id).await? {
        let event = ("message:reply", parent.to_json(Shape::Whole));
        tell(caller.app(), channel, parent_id, event, author(caller.user())).await;
    }
    Ok(())
}

async fn shown_list(
    caller: &Caller<Verified>,
    rows: Vec<MessageRow>,
    shape: Shape,
) -> ApiResult<Json<Value>> {
    let all = messages::shown(caller.db(), rows).await?;
    Ok(Json(all.iter().map(|message| message.to_json(shape)).collect()))
}

pub(super) async fn list(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<WindowQuery>,
) -> ApiResult<Json<Value>> {
    let channel = readable(&caller, &id).await?;
    if !channel.row.is_closed() {
        // Whoever reads a standard channel takes part from then on.
        let mut tx = caller.db().begin().await?;
        channel_members::join(&mut tx, &id, caller.id()).await?;
        tx.commit().await?;
    }
    let window = (query.skip.max(0), query.limit.max(0));
    let rows = messages::of_channel(caller.db(), &id, window).await?;
    shown_list(&caller, rows, Shape::Listed).await
}

pub(super) async fn pinned(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(PINNED_PAGE);
    let rows = messages::pinned(caller.db(), &id, (skip, PINNED_PAGE)).await?;
    let all = messages::shown(caller.db(), rows).await?;
    let item = |message: &Shown| {
        let mut item = message.to_json(Shape::Pinned);
        // This list does not look the names of webhooks up.
        if let Some(webhook) = message.row.meta.as_ref().and_then(|meta| meta.get("webhook")) {
            let name = webhook.get("name").cloned().unwrap_or_else(|| json!("Webhook"));
            item["user"] = json!({ "id": webhook.get("id"), "name": name, "role": "webhook" });
        }
        item
    };
    Ok(Json(all.iter().map(item).collect()))
}

pub(super) async fn thread(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
    Query(query): Query<ThreadQuery>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let part = match (given(&query.before), given(&query.around)) {
        (Some(before), _) => Part::Before(before),
        (None, Some(around)) => Part::Around(around),
        (None, None) => Part::After(query.skip.max(0)),
    };
    let limit = query.limit.clamp(1, THREAD_MAX);
    let rows = messages::of_thread(caller.db(), &id, &message_id, part, limit).await?;
    shown_list(&caller, rows, Shape::InThread).await
}

/// Refuses messages that refer to another channel's.
async fn check_reference(caller: &Caller<Verified>, channel: &Channel, id: Option<&str>) -> ApiResult<()> {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    let row = messages::by_id(caller.db(), id).await?;
    if row.is_some_and(|row| row.channel_id.as_ref() == Some(&channel.row.id)) {
        Ok(())
    } else {
        Err(ApiError::bad_request(texts::DEFAULT))
    }
}

pub(super) async fn post(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<MessageForm>,
) -> ApiResult<Json<Value>> {
    let channel = writable(&caller, &id).await?;
    let form = body.form;
    check_reference(&caller, &channel, form.parent_id.as_deref()).await?;
    check_reference(&caller, &channel, form.reply_to_id.as_deref()).await?;
    let new = NewMessage {
        content: form.content,
        reply_to_id: form.reply_to_id,
        parent_id: form.parent_id,
        data: form.data,
        meta: None,
    };
    let row = messages::create(caller.db(), &id, caller.id(), new, channel.row.is_closed()).await?;
    let message = in_channel(&caller, &id, &row.id).await?;
    let mut told = message.to_json(Shape::Whole);
    told["temp_id"] = json!(form.temp_id);
    tell(
        caller.app(),
        &channel,
        &row.id,
        ("message", told),
        author(caller.user()),
    )
    .await;
    tell_parent(&caller, &channel, row.parent_id.as_deref()).await?;
    notify_away(&caller, &channel, &row).await?;
    caller.tell("message.created", row.id.as_str(), created(&id, &row));
    Ok(Json(message.to_json(Shape::Bare)))
}

/// The message as it is shown alone: by its account's name, even when a webhook of theirs wrote it.
async fn alone(caller: &Caller<Verified>, message: &Shown, shape: Shape) -> ApiResult<Value> {
    let mut json = message.to_json(shape);
    if let Some(user_id) = &message.row.user_id
        && let Some(user) = users::by_id(caller.db(), user_id).await?
    {
        json["user"] = author(&user);
    }
    Ok(json)
}

pub(super) async fn get(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let message = in_channel(&caller, &id, &message_id).await?;
    Ok(Json(alone(&caller, &message, Shape::Whole).await?))
}

pub(super) async fn data(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let message = in_channel(&caller, &id, &message_id).await?;
    Ok(Json(message.row.data.unwrap_or(Value::Null)))
}

pub(super) async fn pin(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
    body: Body<PinForm>,
) -> ApiResult<Json<Value>> {
    let channel = writable(&caller, &id).await?;
    in_channel(&caller, &id, &message_id).await?;
    let by = body.form.is_pinned.then(|| caller.id());
    messages::set_pinned(caller.db(), &message_id, by).await?;
    let message = in_channel(&caller, &id, &message_id).await?;
    let shown = alone(&caller, &message, Shape::Listed).await?;
    let news = if body.form.is_pinned {
        "message.pinned"
    } else {
        "message.unpinned"
    };
    caller.tell(news, message_id.as_str(), json!({ "channel_id": id }));
    let event = ("message:update", shown.clone());
    tell(caller.app(), &channel, &message_id, event, author(caller.user())).await;
    Ok(Json(shown))
}

/// The message with its channel, when the caller wrote it or is an administrator, and may still write.
async fn own(caller: &Caller<Verified>, id: &str, message_id: &str) -> ApiResult<(Channel, Shown)> {
    super::check(caller).await?;
    let channel = find(caller, id).await?;
    let message = in_channel(caller, id, message_id).await?;
    let is_author = message.row.user_id.as_deref() == Some(caller.id());
    if may_write(caller, &channel).await? && (is_author || caller.is_admin()) {
        Ok((channel, message))
    } else {
        Err(refused())
    }
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
    body: Body<MessageForm>,
) -> ApiResult<Json<Value>> {
    let (channel, _) = own(&caller, &id, &message_id).await?;
    let form = body.form;
    messages::update(caller.db(), &message_id, &form.content, form.data, None).await?;
    let message = in_channel(&caller, &id, &message_id).await?;
    let event = ("message:update", message.to_json(Shape::Whole));
    tell(caller.app(), &channel, &message_id, event, author(caller.user())).await;
    let details = json!({ "channel_id": id, "content_preview": preview(&form.content) });
    caller.tell("message.updated", message_id, details);
    Ok(Json(message.to_json(Shape::Bare)))
}

pub(super) async fn delete(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let (channel, message) = own(&caller, &id, &message_id).await?;
    messages::delete(caller.db(), &message_id).await?;
    let mut told = message.to_json(Shape::Whole);
    told["user"] = author(caller.user());
    let event = ("message:delete", told);
    tell(caller.app(), &channel, &message_id, event, author(caller.user())).await;
    tell_parent(&caller, &channel, message.row.parent_id.as_deref()).await?;
    caller.tell("message.deleted", message_id, json!({ "channel_id": id }));
    Ok(Json(json!(true)))
}

/// Tells of a reaction that came or went.
async fn tell_reaction(
    caller: &Caller<Verified>,
    channel: &Channel,
    message_id: &str,
    (kind, name): (&str, &str),
) -> ApiResult<()> {
    let message = in_channel(caller, &channel.row.id, message_id).await?;
    let mut told = message.to_json(Shape::Whole);
    told["name"] = json!(name);
    tell(
        caller.app(),
        channel,
        message_id,
        (kind, told),
        author(caller.user()),
    )
    .await;
    Ok(())
}

pub(super) async fn react(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
    body: Body<ReactionForm>,
) -> ApiResult<Json<Value>> {
    let channel = writable(&caller, &id).await?;
    in_channel(&caller, &id, &message_id).await?;
    let name = &body.form.name;
    messages::react(caller.db(), &message_id, caller.id(), name).await?;
    tell_reaction(&caller, &channel, &message_id, ("message:reaction:add", name)).await?;
    let details = json!({ "channel_id": id, "reaction": name });
    caller.tell("message.reaction_added", message_id, details);
    Ok(Json(json!(true)))
}

pub(super) async fn unreact(
    caller: Caller<Verified>,
    Path((id, message_id)): Path<(String, String)>,
    body: Body<ReactionForm>,
) -> ApiResult<Json<Value>> {
    let channel = writable(&caller, &id).await?;
    in_channel(&caller, &id, &message_id).await?;
    let name = &body.form.name;
    messages::unreact(caller.db(), &message_id, caller.id(), name).await?;
    tell_reaction(&caller, &channel, &message_id, ("message:reaction:remove", name)).await?;
    let details = json!({ "channel_id": id, "reaction": name });
    caller.tell("message.reaction_removed", message_id, details);
    Ok(Json(json!(true)))
}
