//! Saved chats: opening and leaving one, being seen typing in it, having read it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{DONE, Reply, reply};
use crate::backend::{ChatAccess, ReadMark, SocketUser};
use crate::hub::Hub;
use crate::presence;
use crate::socket::Socket;

/// Prefixes of chat ids that are not saved.
const UNSAVED: [&str; 3] = ["temporary:", "local:", "channel:"];

/// `events:chat {chat_id, data: {type, data?}}`.
pub(super) async fn event(hub: &Hub, socket: &Arc<Socket>, data: &Value) -> Reply {
    let Some(user) = hub.member(socket).await else {
        return DONE;
    };
    let data = data.as_object()?;
    let empty = Value::Object(Map::new());
    let inner = data.get("data").unwrap_or(&empty).as_object()?;
    let chat_id = data.get("chat_id");
    let saved = chat_id.and_then(Value::as_str).filter(|id| is_saved(id));
    match inner.get("type").and_then(Value::as_str) {
        Some("typing") => {
            let typing = inner
                .get("data")
                .and_then(|data| data.get("typing"))
                .and_then(Value::as_bool);
            match (saved, typing) {
                (Some(chat_id), Some(typing)) => {
                    reply(show_typing(hub, socket, &user, chat_id, typing).await)
                }
                _ => reply(false),
            }
        }
        Some("join") => match saved {
            Some(chat_id) => reply(open(hub, socket, &user, chat_id).await),
            None => reply(false),
        },
        Some("leave") => reply(saved.is_some_and(|chat_id| leave(hub, socket, chat_id))),
        Some("last_read_at") => {
            let chat_id = chat_id?.as_str()?;
            if let Some(mark) = hub.backend.mark_chat_read(&user.id, chat_id).await {
                tell_read(hub, &user.id, chat_id, mark);
            }
            DONE
        }
        _ => DONE,
    }
}

/// Whether the id is that of a chat which is stored.
fn is_saved(chat_id: &str) -> bool {
    !chat_id.is_empty() && !UNSAVED.iter().any(|prefix| chat_id.starts_with(prefix))
}

/// Shows the others in a chat that the user types, or no longer does. Only for a session that has
/// opened the chat and may write to it.
async fn show_typing(hub: &Hub, socket: &Socket, user: &SocketUser, chat_id: &str, typing: bool) -> bool {
    let room = format!("chat:{chat_id}");
    if !hub.rooms.contains(&socket.sid, &room)
        || hub.backend.chat_access(&user.id, chat_id).await < ChatAccess::Write
    {
        return false;
    }
    let payload = json!({
        "chat_id": chat_id,
        "user_id": user.id,
        "user": { "id": user.id, "name": user.name },
        "shared": true,
        "data": { "type": "typing", "data": { "typing": typing } },
    });
    hub.emit(&room, "events", &payload, Some(&socket.sid));
    true
}

async fn open(hub: &Hub, socket: &Socket, user: &SocketUser, chat_id: &str) -> bool {
    if hub.backend.chat_access(&user.id, chat_id).await < ChatAccess::Read {
        return false;
    }
    let room = format!("chat:{chat_id}");
    hub.rooms.enter(&socket.sid, &room);
    let noted = hub.sessions.update(&socket.sid, &mut |session| {
        session.chat_ids.insert(chat_id.to_owned());
    });
    if noted {
        presence::publish(hub, chat_id);
    } else {
        hub.rooms.leave(&socket.sid, &room);
    }
    noted
}

fn leave(hub: &Hub, socket: &Socket, chat_id: &str) -> bool {
    hub.rooms.leave(&socket.sid, &format!("chat:{chat_id}"));
    let noted = hub.sessions.update(&socket.sid, &mut |session| {
        session.chat_ids.remove(chat_id);
    });
    if noted {
        presence::publish(hub, chat_id);
    }
    noted
}

/// Tells all tabs of the user that a chat has been read.
fn tell_read(hub: &Hub, user_id: &str, chat_id: &str, mark: ReadMark) {
    let mut data = Map::new();
    data.insert("chat_id".into(), chat_id.into());
    data.insert("last_read_at".into(), mark.last_read_at.into());
    if let Some(counts) = mark.folder_unread_counts {
        let counts = counts
            .into_iter()
            .map(|(folder_id, count)| (folder_id, count.into()));
        data.insert("folder_unread_counts".into(), Value::Object(counts.collect()));
    }
    let payload = json!({ "chat_id": chat_id, "data": { "type": "chat:list", "data": data } });
    hub.emit(&format!("user:{user_id}"), "events", &payload, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_chats() {
        for (id, saved) in [
            ("abc", true),
            ("", false),
            ("local:x", false),
            ("temporary:x", false),
            ("channel:x", false),
        ] {
            assert_eq!(is_saved(id), saved, "{id}");
        }
    }
}
