//! What the socket server asks of the application. Everything that needs the database is behind
//! [`Backend`]; nothing here knows how it is answered.

use async_trait::async_trait;
use serde_json::{Map, Value};

/// The user that a socket belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketUser {
    /// Row id.
    pub id: String,
    /// Display name, shown to others in presence and typing events.
    pub name: String,
    /// `user` or `admin`; other roles are not admitted.
    pub role: String,
}

/// What a user may do with a saved chat. Later kinds include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChatAccess {
    /// Nothing, also for a chat that does not exist.
    None,
    /// Open it and see who else has.
    Read,
    /// Also write to it, and so be seen typing.
    Write,
    /// It is the user's own.
    Owner,
}

/// The outcome of marking a chat as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMark {
    /// The stored time, in seconds since the epoch.
    pub last_read_at: i64,
    /// Unread chats per folder id, given only when this chat was unread before.
    pub folder_unread_counts: Option<Vec<(String, i64)>>,
}

/// The application's side of the socket server.
///
/// A failing database is answered like a refusal (and logged by the application): a socket
/// gains nothing from knowing more.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The user of a session token, if it decodes, is not revoked, carries the current session
    /// stamp, and its user has the role `user` or `admin`. API keys (`sk-`) are refused here.
    ///
    /// Asked for nearly every event and for every socket twice a minute, so the application keeps
    /// recent answers for a few seconds.
    async fn authenticate(&self, token: &str) -> Option<SocketUser>;

    /// The user's browser is alive: refresh `last_active_at`, throttled by the application.
    async fn heartbeat(&self, user_id: &str);

    /// Ids of the channels whose events the user hears. Empty for a user who is no administrator
    /// and lacks the permission `features.channels`.
    async fn channels_of(&self, user: &SocketUser) -> Vec<String>;

    /// Whether the user has the permission `features.notes` (or is an administrator) and may read
    /// the note. False for a note that does not exist.
    async fn may_read_note(&self, user: &SocketUser, note_id: &str) -> bool;

    /// `data.content` of a note that the user may read; null for one without. `None` when there is no such note.
    async fn note_text(&self, user: &SocketUser, note_id: &str) -> Option<Value>;

    /// Whether the user may change the note.
    async fn may_write_note(&self, user: &SocketUser, note_id: &str) -> bool;

    /// Whether the user may read those of the files that the note does not have already.
    async fn may_attach(&self, user: &SocketUser, note_id: &str, files: &Value) -> bool;

    /// Lays fields over the data of a note, if the user may still change it.
    async fn save_note(&self, user: &SocketUser, note_id: &str, data: Map<String, Value>);

    /// What the user may do with a saved chat.
    async fn chat_access(&self, user_id: &str, chat_id: &str) -> ChatAccess;

    /// Marks the chat as read by the user and cancels the timers that wait for that.
    /// `None` when there was nothing to mark.
    async fn mark_chat_read(&self, user_id: &str, chat_id: &str) -> Option<ReadMark>;

    /// Stores that the member of a channel has read it up to now.
    async fn mark_channel_read(&self, user_id: &str, channel_id: &str);
}
