//! Editing a document together with others: `ydoc:*`. Documents named `note:{id}` are notes; what is typed into them
//! is saved half a second after the last change. Events about one document are handled one after the other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{DONE, Reply, reply};
use crate::backend::SocketUser;
use crate::documents::{self, MOST_PER_SESSION, canonical, room};
use crate::hub::Hub;
use crate::socket::Socket;

/// Time without a change after which a note is saved.
const SAVE_AFTER: Duration = Duration::from_millis(500);

fn document_id(data: &Value) -> Option<String> {
    Some(canonical(data.get("document_id")?.as_str()?))
}

fn note_id(document_id: &str) -> Option<&str> {
    let rest = document_id.strip_prefix("note:")?;
    rest.split(':').next()
}

fn bytes(update: &Value) -> Option<Vec<u8>> {
    let numbers = update.as_array()?.iter();
    numbers
        .map(|number| number.as_u64().and_then(|number| u8::try_from(number).ok()))
        .collect()
}

/// `ydoc:document:join {document_id, user_id?, user_name?, user_color?}`: opens a document and answers with its state.
pub(super) async fn join(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    let Some(id) = document_id(data) else { return DONE };
    let document = hub.documents.lock(&id).await;
    let room = room(&id);
    if let Some(user) = hub.member(socket).await {
        enter(hub, socket, data, (&id, &room), &user, &document).await;
    }
    hub.documents
        .close(&id, &document, hub.rooms.has_listeners(&room, None));
    DONE
}

async fn enter(
    hub: &Hub,
    socket: &Arc<Socket>,
    data: &Value,
    (id, room): (&str, &str),
    user: &SocketUser,
    document: &documents::Document,
) {
    let mut content = Value::Null;
    if let Some(note_id) = note_id(id) {
        if !hub.backend.may_read_note(user, note_id).await {
            return;
        }
        match hub.backend.note_text(user, note_id).await {
            Some(text) => content = text,
            None => return,
        }
    }
    if !hub.rooms.contains(&socket.sid, room)
        && hub
            .rooms
            .count_of(&socket.sid, |room| documents::of_room(room).is_some())
            >= MOST_PER_SESSION
    {
        tracing::warn!(document = id, "a session wanted to open too many documents");
        return;
    }
    hub.rooms.enter(&socket.sid, room);
    let state = json!({ "document_id": id, "state": document.state(), "content": content });
    hub.emit(&socket.sid, "ydoc:document:state", &state, None);
    let told = |name: &str, otherwise: &str| data.get(name).cloned().unwrap_or_else(|| json!(otherwise));
    let joined = json!({
        "document_id": id,
        "user_id": told("user_id", &socket.sid),
        "user_name": told("user_name", "Anonymous"),
        "user_color": told("user_color", "#000000"),
    });
    hub.emit(room, "ydoc:user:joined", &joined, Some(&socket.sid));
}

/// `ydoc:document:state {document_id}`: the state once more.
pub(super) async fn state(hub: &Hub, socket: &Socket, data: &Value) -> Reply {
    let Some(id) = document_id(data) else { return DONE };
    let document = hub.documents.lock(&id).await;
    let room = room(&id);
    if hub.rooms.contains(&socket.sid, &room) && !document.is_empty() {
        let sessions: Vec<String> = hub
            .rooms
            .members(&room)
            .iter()
            .map(|member| member.sid.to_string())
            .collect();
        let state = json!({ "document_id": id, "state": document.state(), "sessions": sessions });
        hub.emit(&socket.sid, "ydoc:document:state", &state, None);
    }
    hub.documents
        .close(&id, &document, hub.rooms.has_listeners(&room, None));
    DONE
}

/// `ydoc:document:update {document_id, update, user_id?, data?, initialize?}`: a change, and for notes what the
/// whole text is now. Of several who give a new document its first content, the first wins: the others are
/// answered with what is there.
pub(super) async fn update(hub: &Arc<Hub>, socket: &Arc<Socket>, data: &Value) -> Reply {
    let Some(id) = document_id(data) else { return DONE };
    let mut document = hub.documents.lock(&id).await;
    let answer = change(hub, socket, data, &id, &mut document).await;
    let edited = hub.rooms.has_listeners(&room(&id), None);
    hub.documents.close(&id, &document, edited);
    answer.unwrap_or(DONE)
}

async fn change(
    hub: &Arc<Hub>,
    socket: &Arc<Socket>,
    data: &Value,
    id: &str,
    document: &mut documents::Document,
) -> Option<Reply> {
    let room = room(id);
    if !hub.rooms.contains(&socket.sid, &room) {
        return None;
    }
    let user = hub.member(socket).await?;
    let snapshot = data
        .get("data")
        .and_then(Value::as_object)
        .filter(|snapshot| !snapshot.is_empty());
    if let Some(note_id) = note_id(id) {
        if !hub.backend.may_write_note(&user, note_id).await {
            return None;
        }
        if let Some(files) = snapshot.and_then(|snapshot| snapshot.get("files"))
            && !hub.backend.may_attach(&user, note_id, files).await
        {
            let refusal = json!({ "message": "Cannot attach files you cannot access" });
            hub.emit(&socket.sid, "error", &refusal, None);
            return None;
        }
    }
    let initialize = data.get("initialize").is_some_and(|flag| flag == true);
    if initialize && !document.is_empty() {
        return Some(reply(document.state()));
    }
    let mut answer = None;
    let update = data
        .get("update")
        .filter(|update| update.as_array().is_none_or(|list| !list.is_empty()));
    if let Some(update) = update.filter(|update| !update.is_null()) {
        let stored = bytes(update).is_some_and(|bytes| document.add(bytes));
        if stored {
            let told = json!({
                "document_id": id,
                "user_id": data.get("user_id").cloned().unwrap_or_else(|| json!(*socket.sid)),
                "update": update,
                "socket_id": *socket.sid,
            });
            hub.emit(&room, "ydoc:document:update", &told, Some(&socket.sid));
        } else {
            tracing::warn!(
                document = id,
                "an update is invalid or makes the document too large"
            );
        }
        if initialize {
            return Some(if stored { reply(update.clone()) } else { DONE });
        }
        answer = Some(DONE);
    }
    if let (Some(_), Some(snapshot)) = (note_id(id), snapshot) {
        document.save += 1;
        document.saving = true;
        let save = save_later(hub.clone(), id.to_owned(), document.save, snapshot.clone(), user);
        hub.tasks.spawn(save);
    }
    answer
}

/// Saves a note unless a newer save takes its place meanwhile. A server that stops saves at once.
async fn save_later(hub: Arc<Hub>, id: String, number: u64, snapshot: Map<String, Value>, user: SocketUser) {
    tokio::select! {
        () = tokio::time::sleep(SAVE_AFTER) => {}
        () = hub.closing.cancelled() => {}
    }
    let mut document = hub.documents.lock(&id).await;
    if document.save == number && document.saving {
        if let Some(note_id) = note_id(&id) {
            hub.backend.save_note(&user, note_id, snapshot).await;
        }
        document.saving = false;
    }
    hub.documents
        .close(&id, &document, hub.rooms.has_listeners(&room(&id), None));
}

/// `ydoc:document:leave {document_id}`: closes a document.
pub(super) async fn leave(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    let Some(id) = document_id(data) else { return DONE };
    let document = hub.documents.lock(&id).await;
    let room = room(&id);
    if let Some(user) = hub.member(socket).await {
        hub.rooms.leave(&socket.sid, &room);
        let left = json!({ "document_id": id, "user_id": user.id });
        hub.emit(&room, "ydoc:user:left", &left, None);
    }
    hub.documents
        .close(&id, &document, hub.rooms.has_listeners(&room, None));
    DONE
}

/// `ydoc:awareness:update {document_id, update}`: where the cursor is. Passed on as it came.
pub(super) async fn awareness(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    let Some(user) = hub.member(socket).await else {
        return DONE;
    };
    let id = document_id(data)?;
    let room = room(&id);
    if hub.rooms.contains(&socket.sid, &room)
        && let Some(update) = data.get("update")
    {
        let told = json!({ "document_id": id, "user_id": user.id, "update": update });
        hub.emit(&room, "ydoc:awareness:update", &told, Some(&socket.sid));
    }
    DONE
}
