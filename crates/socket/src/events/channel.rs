//! Channels: hearing them, being seen typing in one, having read one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{DONE, Reply, token_of};
use crate::backend::SocketUser;
use crate::hub::Hub;
use crate::socket::Socket;

/// `join-channels {auth: {token}}`: hears all channels of the user, also new ones.
pub(super) async fn join_all(hub: &Hub, socket: &Socket, data: &Value) -> Reply {
    let Some(token) = data.as_object()?.get("auth").and_then(token_of) else {
        return DONE;
    };
    let Some(user) = hub.backend.authenticate(token).await else {
        return DONE;
    };
    if hub.listen_as(socket, token, &user) {
        enter_all(hub, socket, &user).await;
    }
    DONE
}

/// Enters the rooms of all channels of a user.
pub(super) async fn enter_all(hub: &Hub, socket: &Socket, user: &SocketUser) {
    for channel_id in hub.backend.channels_of(user).await {
        hub.rooms.enter(&socket.sid, &format!("channel:{channel_id}"));
    }
}

/// `events:channel {channel_id, message_id?, data: {type}}`, for sessions that hear the channel.
/// Typing is told to everybody in it, the typing session included.
pub(super) async fn event(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    let channel_id = data.get("channel_id")?.as_str()?;
    let room = format!("channel:{channel_id}");
    if !hub.rooms.contains(&socket.sid, &room) {
        return DONE;
    }
    let inner = data.get("data")?;
    let kind = inner.get("type")?;
    let Some(user) = hub.member(socket).await else {
        return DONE;
    };
    match kind.as_str() {
        Some("typing") => {
            let payload = json!({
                "channel_id": channel_id,
                "message_id": data.get("message_id"),
                "data": inner,
                "user": { "id": user.id, "name": user.name, "role": user.role },
            });
            hub.emit(&room, "events:channel", &payload, None);
        }
        Some("last_read_at") => hub.backend.mark_channel_read(&user.id, channel_id).await,
        _ => {}
    }
    DONE
}
