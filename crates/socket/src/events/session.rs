//! Signing in, signs of life, and which model a session uses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{DONE, Reply, channel, reply, token_of};
use crate::hub::Hub;
use crate::socket::Socket;

/// `user-join {auth: {token}}`: signs in, joins the user's channels, and answers who that is. A
/// bad token changes nothing.
pub(super) async fn user_join(hub: &Hub, socket: &Socket, data: &Value) -> Reply {
    let Some(token) = data.as_object()?.get("auth").and_then(token_of) else {
        return DONE;
    };
    let Some(user) = hub.backend.authenticate(token).await else {
        return DONE;
    };
    hub.sign_in(socket, token, &user);
    channel::enter_all(hub, socket, &user).await;
    reply(json!({ "id": user.id, "name": user.name }))
}

/// `heartbeat`: the browser is alive.
pub(super) async fn heartbeat(hub: &Hub, socket: &Arc<Socket>) -> Reply {
    if let Some(user) = hub.member(socket).await {
        hub.refresh_session(&socket.sid, &user);
        hub.backend.heartbeat(&user.id).await;
    }
    DONE
}

/// `usage {model}`: the session uses a model just now.
pub(super) async fn usage(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    if hub.member(socket).await.is_some() {
        let model = data.get("model")?.as_str()?;
        hub.usage.touch(model, &socket.sid, hub.clock.seconds());
        hub.usage_noted.notify_one();
    }
    DONE
}
