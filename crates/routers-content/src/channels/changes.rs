//! Making, changing, opening and deleting channels.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, Room, form, messages as texts};
use oui_models::channels::{self, NewChannel};
use oui_models::{channel_members, grants, groups, users};
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::{announce, channel_json, check, find, owned, refused};
use crate::common::{GrantForm, GrantsForm, allowed_grants, demanded_grants};

form! {
    /// A new channel.
    pub(super) struct CreateForm {
        /// Name shown.
        name: String = String::new(),
        /// Description shown.
        description: Option<String>,
        /// Whether a group channel is closed.
        is_private: Option<bool>,
        /// Free object.
        data: Option<Map<String, Value>>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Groups whose people take part.
        group_ids: Option<Vec<String>>,
        /// People who take part.
        user_ids: Option<Vec<String>>,
        /// Grants.
        access_grants: Option<Vec<GrantForm>>,
        /// `group`, `dm` or nothing.
        kind as "type": Option<String>,
    }
}

form! {
    /// What a channel is to be; people are changed elsewhere.
    pub(super) struct UpdateForm {
        /// Name shown.
        name: String = String::new(),
        /// Description shown.
        description: Option<String>,
        /// Whether a group channel is closed.
        is_private: Option<bool>,
        /// Free object.
        data: Option<Map<String, Value>>,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Not used.
        group_ids: Option<Vec<String>>,
        /// Not used.
        user_ids: Option<Vec<String>>,
    }
}

async fn shown(caller: &Caller<Verified>, id: &str) -> ApiResult<Json<Value>> {
    Ok(Json(channel_json(&find(caller, id).await?)))
}

/// The channel as it is now, and the news of what was done to it.
async fn shown_with(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    let channel = find(caller, id).await?;
    caller.tell(
        news,
        id,
        json!({ "type": channel.row.kind, "name": channel.row.name }),
    );
    Ok(Json(channel_json(&channel)))
}

/// The direct channel of the caller with these people, shown to the caller again.
async fn existing(caller: &Caller<Verified>, user_ids: &[String]) -> ApiResult<Option<String>> {
    let mut people: BTreeSet<String> = user_ids.iter().cloned().collect();
    people.insert(caller.id().to_owned());
    let Some(channel) = channel_members::direct(caller.db(), &people).await? else {
        return Ok(None);
    };
    let participants = channel_members::user_ids(caller.db(), &channel.id).await?;
    announce(caller, &channel.id, &participants).await;
    channel_members::set_active(caller.db(), &channel.id, caller.id(), true).await?;
    let details = json!({ "is_active": true });
    caller.tell("channel.member_active_updated", channel.id.as_str(), details);
    Ok(Some(channel.id))
}

async fn make(
    caller: &Caller<Verified>,
    new: NewChannel,
    wanted: Option<Vec<GrantForm>>,
) -> ApiResult<Json<Value>> {
    let grants = allowed_grants(caller, channels::KIND, wanted).await?;
    let (channel, members) = channels::create(caller.db(), caller.id(), new, &grants).await?;
    let participants: Vec<String> = members.into_iter().filter_map(|member| member.user_id).collect();
    announce(caller, &channel.id, &participants).await;
    shown_with(caller, &channel.id, "channel.created").await
}

pub(super) async fn direct(caller: Caller<Verified>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let user_ids = vec![user_id];
    if let Some(id) = existing(&caller, &user_ids).await? {
        return shown(&caller, &id).await;
    }
    let new = NewChannel {
        kind: Some("dm".into()),
        user_ids,
        ..NewChannel::default()
    };
    make(&caller, new, None).await
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<CreateForm>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let form = body.form;
    let is_direct = form.kind.as_deref() == Some("dm");
    if !is_direct && form.kind.as_deref() != Some("group") && !caller.is_admin() {
        // Standard channels are everybody's, so administrators make them.
        return Err(ApiError::unauthorized(texts::UNAUTHORIZED));
    }
    if is_direct {
        let Some(user_ids) = &form.user_ids else {
            return Err(ApiError::bad_request(texts::DEFAULT));
        };
        if let Some(id) = existing(&caller, user_ids).await? {
            return shown(&caller, &id).await;
        }
    }
    let new = NewChannel {
        kind: form.kind,
        name: form.name,
        description: form.description,
        is_private: form.is_private,
        data: form.data.map(Value::Object),
        meta: form.meta.map(Value::Object),
        user_ids: form.user_ids.unwrap_or_default(),
        group_ids: form.group_ids.unwrap_or_default(),
    };
    make(&caller, new, form.access_grants).await
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<UpdateForm>,
) -> ApiResult<Json<Value>> {
    owned(&caller, &id, refused()).await?;
    let form = body.form;
    let new = NewChannel {
        name: form.name,
        description: form.description,
        is_private: form.is_private,
        data: form.data.map(Value::Object),
        meta: form.meta.map(Value::Object),
        ..NewChannel::default()
    };
    channels::update(caller.db(), &id, new).await?;
    shown_with(&caller, &id, "channel.updated").await
}

pub(super) async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    let prohibited = || ApiError::forbidden(texts::ACCESS_PROHIBITED);
    let channel = owned(&caller, &id, prohibited()).await?;
    if channel.row.is_closed() {
        return Err(prohibited());
    }
    let wanted = demanded_grants(&caller, channels::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), channels::KIND, &id, &wanted).await?;
    put_out(&caller, &id).await?;
    shown_with(&caller, &id, "channel.updated").await
}

/// Those who may no longer read a standard channel stop hearing it.
async fn put_out(caller: &Caller<Verified>, id: &str) -> ApiResult<()> {
    let room = Room::Channel(id.to_owned());
    let channel = find(caller, id).await?;
    let mut gone = Vec::new();
    for user in users::by_ids(caller.db(), &caller.app().emitter.users_in(&room).await).await? {
        let membership = groups::membership(caller.db(), &user.id).await?;
        let reaches = |grant: &grants::GrantRow| {
            grant.permission == "read" && grant.grant().reaches(&user.id, &membership)
        };
        let stays = user.role == oui_access::ADMIN
            || channel.row.user_id.as_ref() == Some(&user.id)
            || channel.grants.iter().any(reaches);
        if !stays {
            gone.push(user.id.clone());
        }
    }
    caller.app().emitter.leave_room(&room, &gone);
    Ok(())
}

pub(super) async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let channel = owned(&caller, &id, refused()).await?;
    channels::delete(caller.db(), &id).await?;
    let details = json!({ "name": channel.row.name, "type": channel.row.kind });
    caller.tell("channel.deleted", id.as_str(), details);
    caller.app().emitter.close_room(&Room::Channel(id));
    Ok(Json(json!(true)))
}
