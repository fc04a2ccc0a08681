//! Who has a saved chat open, told to everybody who has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::hub::Hub;

/// Sends the list of people in a chat to the chat. One entry per user, sorted by id; sessions
/// without a recent sign of life do not count.
pub(crate) fn publish(hub: &Hub, chat_id: &str) {
    let _in_order = hub.presence.lock();
    let oldest = hub.oldest_sign_of_life();
    let mut people = BTreeMap::new();
    hub.sessions.visit(&mut |_, session| {
        if session.last_seen_at >= oldest && session.chat_ids.contains(chat_id) {
            people.insert(session.user_id.clone(), session.name.clone());
        }
    });
    let users: Vec<Value> = people
        .into_iter()
        .map(|(id, name)| json!({ "id": id, "name": name }))
        .collect();
    let payload = json!({
        "chat_id": chat_id,
        "shared": true,
        "data": { "type": "chat:presence", "data": { "users": users } },
    });
    hub.emit(&format!("chat:{chat_id}"), "events", &payload, None);
}
