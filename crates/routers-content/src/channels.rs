//! Channels: `/api/v1/channels`. Here they are listed; their messages are not.

use std::collections::HashMap;

use axum::Json;
use oui_config::channels as keys;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::channels::{self, ChannelRow};
use oui_models::shared::Entry;
use oui_models::users::UserRow;
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::{Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "channels" at "/api/v1/channels";
        GET "/"     Verified => list,
        GET "/list" Verified => all,
    }
}

/// Seconds after which a user counts as away.
const AWAY: i64 = 180;

/// Refuses when channels are switched off or not for the caller.
async fn check(caller: &Caller<Verified>) -> ApiResult<()> {
    if !caller.app().config.get(&keys::ENABLE_CHANNELS) {
        return Err(ApiError::forbidden("Channels is disabled"));
    }
    if caller.may("features.channels").await? {
        Ok(())
    } else {
        Err(ApiError::unauthorized(messages::UNAUTHORIZED))
    }
}

fn person(user: &UserRow, now: i64) -> Value {
    json!({
        "status_emoji": user.status_emoji, "status_message": user.status_message,
        "status_expires_at": user.status_expires_at, "id": user.id, "name": user.name,
        "is_active": user.last_active_at.is_some_and(|at| at >= now - AWAY),
    })
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
