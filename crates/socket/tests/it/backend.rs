//! An application in memory for tests and examples. A token is `{user id}` or `{user id}-{n}`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use oui_socket::{Backend, ChatAccess, ReadMark, SocketUser};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

#[derive(Default)]
pub struct State {
    pub users: BTreeMap<String, SocketUser>,
    /// Channels by user id.
    pub channels: BTreeMap<String, Vec<String>>,
    /// Notes that may be read, as (user id, note id).
    pub notes: BTreeSet<(String, String)>,
    /// Notes that may be changed, as (user id, note id).
    pub writable_notes: BTreeSet<(String, String)>,
    /// Data saved for notes, as (user id, note id, data).
    pub saved_notes: Vec<(String, String, Value)>,
    /// Access to chats by (user id, chat id).
    pub chats: BTreeMap<(String, String), ChatAccess>,
    pub read_mark: Option<ReadMark>,
    /// Ids of users whose heartbeat came.
    pub heartbeats: Vec<String>,
    /// (user id, channel id) of read channels.
    pub read_channels: Vec<(String, String)>,
}

#[derive(Clone, Default)]
pub struct TestBackend(pub Arc<Mutex<State>>);

impl TestBackend {
    /// Knows the administrator `alice` and the users `bob` and `carol`.
    pub fn new() -> Self {
        let backend = Self::default();
        for (id, role) in [("alice", "admin"), ("bob", "user"), ("carol", "user")] {
            backend.add_user(id, role);
        }
        backend
    }

    pub fn add_user(&self, id: &str, role: &str) {
        let name = format!("{}{}", id[..1].to_uppercase(), &id[1..]);
        let user = SocketUser {
            id: id.into(),
            name,
            role: role.into(),
        };
        self.0.lock().users.insert(id.into(), user);
    }

    pub fn remove_user(&self, id: &str) {
        self.0.lock().users.remove(id);
    }

    pub fn allow_chat(&self, user_id: &str, chat_id: &str, access: ChatAccess) {
        self.0
            .lock()
            .chats
            .insert((user_id.into(), chat_id.into()), access);
    }

    pub fn set_channels(&self, user_id: &str, channels: &[&str]) {
        let channels = channels.iter().map(ToString::to_string).collect();
        self.0.lock().channels.insert(user_id.into(), channels);
    }
}

#[async_trait]
impl Backend for TestBackend {
    async fn authenticate(&self, token: &str) -> Option<SocketUser> {
        assert_ne!(token, "panic", "a fault in the application");
        let id = token.split('-').next().unwrap_or(token);
        self.0.lock().users.get(id).cloned()
    }

    async fn heartbeat(&self, user_id: &str) {
        self.0.lock().heartbeats.push(user_id.into());
    }

    async fn channels_of(&self, user: &SocketUser) -> Vec<String> {
        self.0.lock().channels.get(&user.id).cloned().unwrap_or_default()
    }

    async fn may_read_note(&self, user: &SocketUser, note_id: &str) -> bool {
        self.0.lock().notes.contains(&(user.id.clone(), note_id.into()))
    }

    async fn note_text(&self, _: &SocketUser, note_id: &str) -> Option<Value> {
        Some(json!({ "md": format!("text of {note_id}") }))
    }

    async fn may_write_note(&self, user: &SocketUser, note_id: &str) -> bool {
        self.0
            .lock()
            .writable_notes
            .contains(&(user.id.clone(), note_id.into()))
    }

    async fn may_attach(&self, _: &SocketUser, _: &str, files: &Value) -> bool {
        files != &json!(["foreign"])
    }

    async fn save_note(&self, user: &SocketUser, note_id: &str, data: Map<String, Value>) {
        self.0
            .lock()
            .saved_notes
            .push((user.id.clone(), note_id.into(), Value::Object(data)));
    }

    async fn chat_access(&self, user_id: &str, chat_id: &str) -> ChatAccess {
        let key = (user_id.to_owned(), chat_id.to_owned());
        self.0.lock().chats.get(&key).copied().unwrap_or(ChatAccess::None)
    }

    async fn mark_chat_read(&self, _: &str, _: &str) -> Option<ReadMark> {
        self.0.lock().read_mark.clone()
    }

    async fn mark_channel_read(&self, user_id: &str, channel_id: &str) {
        self.0
            .lock()
            .read_channels
            .push((user_id.into(), channel_id.into()));
    }
}
