//! Channels: `/api/v1/channels`. Standard channels belong to administrators and are opened by grants; group and
//! direct channels are their members'. Here channels are listed, shown and made; changes are in `changes`, people in
//! `members`, what is written in `messages`, addresses for programs in `webhooks`.

mod changes;
mod members;
mod messages;
mod notify;
mod webhooks;

use std::collections::{BTreeSet, HashMap};

use axum::Json;
use axum::extract::Path;
use oui_config::channels as keys;
use oui_core::{ApiError, ApiResult, Room, messages as texts};
use oui_models::channel_members::{self, People};
use oui_models::channels::{self, ChannelRow};
use oui_models::shared::{self, Entry};
use oui_models::users::UserRow;
use oui_models::{groups, messages as stored, users};
use oui_web::{App, Area, Caller, Public, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::Reading;

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "channels" at "/api/v1/channels";
        GET    "/"                                             Verified => list,
        GET    "/list"                                         Verified => all,
        GET    "/users/{user_id}"                              Verified => changes::direct,
        POST   "/create"                                       Verified => changes::create,
        GET    "/{id}"                                         Verified => get,
        GET    "/{id}/members"                                 Verified => members::list,
        POST   "/{id}/members/mute"                            Verified => members::mute,
        POST   "/{id}/members/active"                          Verified => members::set_active,
        POST   "/{id}/update/members/add"                      Verified => members::add,
        POST   "/{id}/update/members/remove"                   Verified => members::remove,
        POST   "/{id}/update"                                  Verified => changes::update,
        POST   "/{id}/access/update"                           Verified => changes::set_access,
        DELETE "/{id}/delete"                                  Verified => changes::delete,
        GET    "/{id}/messages"                                Verified => messages::list,
        GET    "/{id}/messages/pinned"                         Verified => messages::pinned,
        POST   "/{id}/messages/post"                           Verified => messages::post,
        GET    "/{id}/messages/{message_id}"                   Verified => messages::get,
        GET    "/{id}/messages/{message_id}/data"              Verified => messages::data,
        POST   "/{id}/messages/{message_id}/pin"               Verified => messages::pin,
        GET    "/{id}/messages/{message_id}/thread"            Verified => messages::thread,
        POST   "/{id}/messages/{message_id}/update"            Verified => messages::update,
        POST   "/{id}/messages/{message_id}/reactions/add"     Verified => messages::react,
        POST   "/{id}/messages/{message_id}/reactions/remove"  Verified => messages::unreact,
        DELETE "/{id}/messages/{message_id}/delete"            Verified => messages::delete,
        GET    "/webhooks/{webhook_id}/profile/image"          Verified => webhooks::picture,
        GET    "/{id}/webhooks"                                Verified => webhooks::list,
        POST   "/{id}/webhooks/create"                         Verified => webhooks::create,
        POST   "/{id}/webhooks/{webhook_id}/update"            Verified => webhooks::update,
        DELETE "/{id}/webhooks/{webhook_id}/delete"            Verified => webhooks::delete,
        POST   "/webhooks/{webhook_id}/{token}"                Public   => webhooks::post,
    }
}

/// A channel with its grants.
pub(crate) type Channel = Entry<ChannelRow>;

/// Refuses when channels are switched off.
fn check_switch(app: &App) -> ApiResult<()> {
    if app.config.get(&keys::ENABLE_CHANNELS) {
        Ok(())
    } else {
        Err(ApiError::forbidden("Channels is disabled"))
    }
}

/// Refuses when channels are switched off or not for the caller.
async fn check(caller: &Caller<Verified>) -> ApiResult<()> {
    check_switch(caller.app())?;
    if caller.may("features.channels").await? {
        Ok(())
    } else {
        Err(ApiError::unauthorized(texts::UNAUTHORIZED))
    }
}

/// The channel with this id.
pub(crate) async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Channel> {
    shared::get::<ChannelRow>(caller.db(), id)
        .await?
        .ok_or_else(|| ApiError::not_found(texts::NOT_FOUND))
}

/// Whether the caller takes part in a channel.
async fn is_member(caller: &Caller<Verified>, channel: &Channel) -> ApiResult<bool> {
    let member = channel_members::of_user(caller.db(), &channel.row.id, caller.id()).await?;
    Ok(member.is_some_and(|member| member.is_active))
}

async fn may(caller: &Caller<Verified>, channel: &Channel, permission: &str) -> ApiResult<bool> {
    if channel.row.is_closed() {
        return is_member(caller, channel).await;
    }
    let reading = Reading::of(caller).await?;
    Ok(caller.is_admin() || channel.granted(&reading.as_user(), permission))
}

/// Whether the caller may read the channel.
async fn may_read(caller: &Caller<Verified>, channel: &Channel) -> ApiResult<bool> {
    may(caller, channel, "read").await
}

/// Whether the caller may write in the channel.
pub(crate) async fn may_write(caller: &Caller<Verified>, channel: &Channel) -> ApiResult<bool> {
    may(caller, channel, "write").await
}

fn refused() -> ApiError {
    ApiError::forbidden(texts::DEFAULT)
}

/// The channel, when the caller may read it.
async fn readable(caller: &Caller<Verified>, id: &str) -> ApiResult<Channel> {
    check(caller).await?;
    let channel = find(caller, id).await?;
    if may_read(caller, &channel).await? {
        Ok(channel)
    } else {
        Err(refused())
    }
}

/// The channel, when the caller may write in it.
async fn writable(caller: &Caller<Verified>, id: &str) -> ApiResult<Channel> {
    check(caller).await?;
    let channel = find(caller, id).await?;
    if may_write(caller, &channel).await? {
        Ok(channel)
    } else {
        Err(refused())
    }
}

/// The channel, when it is the caller's own or the caller an administrator.
async fn owned(caller: &Caller<Verified>, id: &str, refusal: ApiError) -> ApiResult<Channel> {
    check(caller).await?;
    let channel = find(caller, id).await?;
    if channel.row.user_id.as_deref() == Some(caller.id()) || caller.is_admin() {
        Ok(channel)
    } else {
        Err(refusal)
    }
}

/// Whether the caller made the channel or manages it.
async fn manages(caller: &Caller<Verified>, channel: &Channel) -> ApiResult<bool> {
    if channel.row.user_id.as_deref() == Some(caller.id()) {
        return Ok(true);
    }
    let member = channel_members::of_user(caller.db(), &channel.row.id, caller.id()).await?;
    Ok(member.is_some_and(|member| member.is_active && member.role.as_deref() == Some("manager")))
}

/// The channel as routes and events carry it.
fn channel_json(channel: &Channel) -> Value {
    Value::Object(channel.row.to_json(&channel.grants))
}

/// Tells people of a channel that is new to them, and lets them hear it.
async fn announce(caller: &Caller<Verified>, channel_id: &str, user_ids: &[String]) {
    let emitter = &caller.app().emitter;
    let told = json!({ "data": { "type": "channel:created" } });
    for user_id in user_ids {
        emitter
            .emit(&Room::User(user_id.clone()), "events:channel", &told, None)
            .await;
    }
    emitter.enter_room(&Room::Channel(channel_id.to_owned()), user_ids);
}

/// Ids of those whom grants open a standard channel to, its maker among them. `None`: everybody.
async fn reached(caller: &Caller<Verified>, channel: &Channel) -> ApiResult<Option<Vec<String>>> {
    let grants: Vec<_> = channel
        .grants
        .iter()
        .filter(|grant| grant.permission == "read")
        .collect();
    if grants.iter().any(|grant| grant.grant().is_public()) {
        return Ok(None);
    }
    let mut people: BTreeSet<String> = channel.row.user_id.iter().cloned().collect();
    for grant in grants {
        match grant.principal_type.as_str() {
            "user" => {
                people.insert(grant.principal_id.clone());
            }
            "group" => {
                people.extend(groups::list::effective_member_ids(caller.db(), &grant.principal_id).await?)
            }
            _ => {}
        }
    }
    Ok(Some(people.into_iter().collect()))
}

/// Seconds after which a user counts as away.
const AWAY: i64 = 180;

fn person(user: &UserRow, now: i64) -> Value {
    json!({
        "status_emoji": user.status_emoji, "status_message": user.status_message,
        "status_expires_at": user.status_expires_at, "id": user.id, "name": user.name,
        "is_active": user.last_active_at.is_some_and(|at| at >= now - AWAY),
    })
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let channel = readable(&caller, &id).await?;
    let member = channel_members::of_user(caller.db(), &id, caller.id()).await?;
    let last_read_at = member.as_ref().and_then(|member| member.last_read_at);
    let (mut ids, mut shown) = (Value::Null, Value::Null);
    let (write_access, count);
    if channel.row.is_closed() {
        let people = channel_members::user_ids(caller.db(), &id).await?;
        let people = users::by_ids(caller.db(), &people).await?;
        let now = caller.app().clock.seconds();
        ids = people.iter().map(|user| json!(user.id)).collect();
        shown = people.iter().map(|user| person(user, now)).collect();
        write_access = true;
        count = i64::try_from(people.len()).unwrap_or(i64::MAX);
    } else {
        write_access = may_write(&caller, &channel).await?;
        let reached = reached(&caller, &channel).await?;
        let people = People {
            user_ids: reached.as_deref(),
            admitted: true,
            ..People::default()
        };
        count = channel_members::people(caller.db(), &people, (0, 0)).await?.total;
    }
    let mut json: Map<String, Value> = channel.row.to_json(&channel.grants);
    for (name, value) in [
        ("is_manager", json!(manages(&caller, &channel).await?)),
        ("write_access", json!(write_access)),
        ("user_count", json!(count)),
        (
            "is_channel_muted",
            json!(member.is_some_and(|member| member.is_channel_muted)),
        ),
        ("user_ids", ids),
        ("users", shown),
        ("last_read_at", json!(last_read_at)),
        (
            "unread_count",
            json!(stored::unread(caller.db(), &id, caller.id(), last_read_at).await?),
        ),
    ] {
        json.insert(name.to_owned(), value);
    }
    Ok(Json(Value::Object(json)))
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let membership = caller.membership().await?;
    let entries = channels::of_user(caller.db(), caller.id(), &membership).await?;
    let ids: Vec<String> = entries.iter().map(|entry| entry.row.id.clone()).collect();
    let activity = channels::activity(caller.db(), caller.id(), &ids).await?;
    let direct: Vec<String> = entries
        .iter()
        .filter(|entry| entry.row.kind.as_deref() == Some("dm"))
        .map(|entry| entry.row.id.clone())
        .collect();
    let mut people: HashMap<String, Vec<UserRow>> = HashMap::new();
    for (channel, user) in channels::people(caller.db(), &direct).await? {
        people.entry(channel).or_default().push(user);
    }
    let now = caller.app().clock.seconds();
    let item = |entry: &Entry<ChannelRow>| {
        let seen = activity.get(&entry.row.id).cloned().unwrap_or_default();
        let users = direct
            .contains(&entry.row.id)
            .then(|| people.get(&entry.row.id).cloned().unwrap_or_default());
        let mut item = entry.row.to_json(&entry.grants);
        item.insert("is_channel_muted".into(), json!(seen.muted));
        item.insert(
            "user_ids".into(),
            json!(
                users
                    .as_ref()
                    .map(|users| users.iter().map(|user| &user.id).collect::<Vec<_>>())
            ),
        );
        item.insert(
            "users".into(),
            json!(
                users
                    .as_ref()
                    .map(|users| users.iter().map(|user| person(user, now)).collect::<Vec<_>>())
            ),
        );
        item.insert("last_message_at".into(), json!(seen.last_message_at));
        item.insert("unread_count".into(), json!(seen.unread));
        Value::Object(item)
    };
    Ok(Json(entries.iter().map(item).collect()))
}

async fn all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let entries = if caller.is_admin() {
        channels::all(caller.db()).await?
    } else {
        channels::of_user(caller.db(), caller.id(), &*caller.membership().await?).await?
    };
    Ok(Json(
        entries
            .iter()
            .map(|entry| Value::Object(entry.row.to_json(&entry.grants)))
            .collect(),
    ))
}
