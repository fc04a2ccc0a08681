//! The people of a channel: who they are, inviting and removing them, and what each keeps for themselves.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, Room, form, messages as texts};
use oui_models::channel_members::{self, MemberRow, People};
use oui_models::users::{self, UserRow};
use oui_web::{Body, Caller, Query, Verified};
use serde_json::{Value, json};

use super::{Channel, announce, check, find, is_member, owned, reached, readable, refused};
use crate::common::{PAGE, given};

form! {
    /// Which people.
    pub(super) struct MembersQuery {
        /// Part of the name or address.
        query: Option<String>,
        /// Name of a column.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
        /// From 1.
        page: i64 = 1,
    }
}

form! {
    /// Whether the channel is muted for the caller.
    pub(super) struct MuteForm {
        /// Whether it is.
        is_channel_muted: bool,
    }
}

form! {
    /// Whether the channel is shown to the caller.
    pub(super) struct ActiveForm {
        /// Whether it is.
        is_active: bool,
    }
}

form! {
    /// Whom to add.
    pub(super) struct AddForm {
        /// People.
        user_ids: Vec<String> = Vec::new(),
        /// Groups.
        group_ids: Vec<String> = Vec::new(),
    }
}

form! {
    /// Whom to remove.
    pub(super) struct RemoveForm {
        /// People.
        user_ids: Vec<String> = Vec::new(),
    }
}

fn member_json(user: &UserRow, now: i64) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "role": user.role,
        "profile_image_url": user.picture(), "presence_state": user.presence_state,
        "status_emoji": user.status_emoji, "status_message": user.status_message,
        "status_expires_at": user.status_expires_at, "is_active": user.is_active(now),
    })
}

pub(super) async fn list(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<MembersQuery>,
) -> ApiResult<Json<Value>> {
    let channel = readable(&caller, &id).await?;
    let now = caller.app().clock.seconds();
    let (people, total) = match channel.row.kind.as_deref() {
        Some("dm") => {
            let ids = channel_members::user_ids(caller.db(), &id).await?;
            let people = users::by_ids(caller.db(), &ids).await?;
            let total = i64::try_from(people.len()).unwrap_or(i64::MAX);
            (people, total)
        }
        kind => {
            let is_group = kind == Some("group");
            let reached = if is_group {
                None
            } else {
                reached(&caller, &channel).await?
            };
            let filter = People {
                channel_id: is_group.then_some(&id),
                user_ids: reached.as_deref(),
                query: given(&query.query),
                admitted: !is_group,
                order_by: given(&query.order_by),
                ascending: given(&query.direction) == Some("asc"),
            };
            let skip = (query.page.max(1) - 1).saturating_mul(PAGE);
            let page = channel_members::people(caller.db(), &filter, (skip, PAGE)).await?;
            (page.users, page.total)
        }
    };
    let people: Vec<Value> = people.iter().map(|user| member_json(user, now)).collect();
    Ok(Json(json!({ "users": people, "total": total })))
}

pub(super) async fn mute(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<MuteForm>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let is_muted = body.form.is_channel_muted;
    channel_members::set_muted(caller.db(), &id, caller.id(), is_muted).await?;
    let data = json!({ "is_channel_muted": is_muted });
    let told = json!({ "channel_id": id, "data": { "type": "channel:mute", "data": data } });
    let room = Room::User(caller.id().to_owned());
    caller
        .app()
        .emitter
        .emit(&room, "events:channel", &told, None)
        .await;
    Ok(Json(data))
}

pub(super) async fn set_active(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<ActiveForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let channel = find(&caller, &id).await?;
    if !is_member(&caller, &channel).await? {
        return Err(ApiError::not_found(texts::NOT_FOUND));
    }
    channel_members::set_active(caller.db(), &id, caller.id(), body.form.is_active).await?;
    let details = json!({ "is_active": body.form.is_active });
    caller.tell("channel.member_active_updated", id, details);
    Ok(Json(json!(true)))
}

/// The channel, when the caller may change who is in it.
async fn changeable(caller: &Caller<Verified>, id: &str) -> ApiResult<Channel> {
    let channel = owned(caller, id, refused()).await?;
    match channel.row.kind.as_deref() {
        Some("dm") => Err(refused()),
        _ => Ok(channel),
    }
}

pub(super) async fn add(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<AddForm>,
) -> ApiResult<Json<Value>> {
    let channel = changeable(&caller, &id).await?;
    let form = body.form;
    let mut tx = caller.db().begin().await?;
    let added = channel_members::invite(&mut tx, &id, caller.id(), &form.user_ids, &form.group_ids).await?;
    tx.commit().await?;
    if channel.row.is_closed() {
        let ids: Vec<String> = added.iter().filter_map(|member| member.user_id.clone()).collect();
        announce(&caller, &id, &ids).await;
    }
    let details = json!({ "user_ids": form.user_ids, "group_ids": form.group_ids });
    caller.tell("channel.member_added", id, details);
    Ok(Json(added.iter().map(MemberRow::to_json).collect()))
}

pub(super) async fn remove(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<RemoveForm>,
) -> ApiResult<Json<Value>> {
    let channel = changeable(&caller, &id).await?;
    let removed = channel_members::remove(caller.db(), &id, &body.form.user_ids).await?;
    if channel.row.is_closed() {
        let room = Room::Channel(id.clone());
        caller.app().emitter.leave_room(&room, &body.form.user_ids);
    }
    let details = json!({ "user_ids": body.form.user_ids });
    caller.tell("channel.member_removed", id, details);
    Ok(Json(json!(removed)))
}
