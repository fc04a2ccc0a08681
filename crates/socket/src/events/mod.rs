//! What clients may send, one file per area. [`handle`] is the list of all of it.

mod channel;
mod chat;
mod direct;
mod document;
mod note;
mod session;

use std::sync::Arc;

use serde_json::Value;

use crate::hub::Hub;
use crate::packet::Event;
use crate::socket::Socket;

/// The arguments of an acknowledgement; `None` when there is none, which is what a client gets
/// for an event that lacks what it must have.
pub(crate) type Reply = Option<Vec<Value>>;

/// An acknowledgement without a value.
const DONE: Reply = Some(Vec::new());

fn reply(value: impl Into<Value>) -> Reply {
    Some(vec![value.into()])
}

/// Handles one event. Unknown names are ignored, but acknowledged.
pub(crate) async fn handle(hub: &Arc<Hub>, socket: &Arc<Socket>, event: &mut Event) -> Reply {
    let name = event.name.as_str();
    match (name, event.args.as_slice()) {
        ("user-join", [data]) => session::user_join(hub, socket, data).await,
        ("heartbeat", [_]) => session::heartbeat(hub, socket).await,
        ("usage", [data]) => session::usage(hub, socket, data).await,
        ("join-channels", [data]) => channel::join_all(hub, socket, data).await,
        ("join-note", [data]) => note::join(hub, socket, data).await,
        ("events:channel", [data]) => channel::event(hub, socket, data).await,
        ("events:chat", [data]) => chat::event(hub, socket, data).await,
        ("ydoc:document:join", [data]) => document::join(hub, socket, data).await,
        ("ydoc:document:state", [data]) => document::state(hub, socket, data).await,
        ("ydoc:document:update", [data]) => document::update(hub, socket, data).await,
        ("ydoc:document:leave", [data]) => document::leave(hub, socket, data).await,
        ("ydoc:awareness:update", [data]) => document::awareness(hub, socket, data).await,
        // The same with the wrong number of arguments, and names that are not for clients.
        ("user-join" | "heartbeat" | "usage" | "join-channels" | "join-note", _)
        | ("events:channel" | "events:chat" | "connect" | "disconnect", _) => None,
        _ => direct::part(hub, socket, event).await,
    }
}

/// The token in `{"token": ...}`.
pub(crate) fn token_of(auth: &Value) -> Option<&str> {
    auth.get("token").and_then(Value::as_str)
}
