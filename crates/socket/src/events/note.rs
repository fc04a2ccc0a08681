//! Hearing of changes to a note.

use serde_json::Value;

use super::{DONE, Reply, token_of};
use crate::hub::Hub;
use crate::socket::Socket;

/// `join-note {auth: {token}, note_id}`: hears of changes to a note that the user may read.
pub(super) async fn join(hub: &Hub, socket: &Socket, data: &Value) -> Reply {
    let Some(token) = data.as_object()?.get("auth").and_then(token_of) else {
        return DONE;
    };
    let Some(user) = hub.backend.authenticate(token).await else {
        return DONE;
    };
    let note_id = data.get("note_id")?.as_str()?;
    if hub.backend.may_read_note(&user, note_id).await && hub.listen_as(socket, token, &user) {
        hub.rooms.enter(&socket.sid, &format!("note:{note_id}"));
    }
    DONE
}
