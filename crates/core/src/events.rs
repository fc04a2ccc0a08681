//! How lower crates reach connected browsers. The socket crate implements [`Emitter`]; the chat
//! crate and the routers only know the trait.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// A set of sockets that hear the same events. The text form is the reference's room name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Room {
    /// All tabs of a user.
    User(String),
    /// Everybody who has opened a saved chat.
    Chat(String),
    /// Members of a channel that are connected.
    Channel(String),
    /// Everybody who has a note open.
    Note(String),
    /// One socket.
    Session(String),
}

impl Room {
    /// Name of the room on the Socket.IO level, for example `user:1234`.
    pub fn name(&self) -> String {
        match self {
            Room::User(id) => format!("user:{id}"),
            Room::Chat(id) => format!("chat:{id}"),
            Room::Channel(id) => format!("channel:{id}"),
            Room::Note(id) => format!("note:{id}"),
            Room::Session(sid) => sid.clone(),
        }
    }
}

/// Why a call to a browser brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The session is unknown, closed, or belongs to somebody else.
    NoSession,
    /// Nothing came back in time.
    Timeout,
    /// The socket closed, or answered something that is no JSON.
    Disconnected,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CallError::NoSession => "the browser session is not connected",
            CallError::Timeout => "the browser session did not answer in time",
            CallError::Disconnected => "the browser session closed before it answered",
        })
    }
}

impl std::error::Error for CallError {}

/// Parts of an answer that a browser streams to the server, see [`Emitter::open_parts`].
#[async_trait]
pub trait Parts: Send {
    /// The next part: a text, or an object of which `{"done": true}` is the last. `None` when nothing more can come.
    async fn next(&mut self) -> Option<Value>;
}

/// Sends events to browsers. Emitting never waits for a slow reader.
#[async_trait]
pub trait Emitter: Send + Sync {
    /// Sends `payload`, a JSON text, as event `event` to everybody in `room`, except the session `skip`.
    async fn emit_text(&self, room: &Room, event: &str, payload: &str, skip: Option<&str>);

    /// [`Emitter::emit_text`] for a value.
    async fn emit(&self, room: &Room, event: &str, payload: &Value, skip: Option<&str>) {
        self.emit_text(room, event, &payload.to_string(), skip).await;
    }

    /// Asks one session of `user_id` and waits for its acknowledgement; `None` waits without limit.
    async fn call(
        &self,
        user_id: &str,
        session_id: &str,
        event: &str,
        payload: &Value,
        timeout: Option<Duration>,
    ) -> Result<Value, CallError>;

    /// Opens the stream in which a browser sends an answer, before it is asked for one. Parts come as events of this
    /// name, `{user_id}:{session_id}:{request_id}`.
    fn open_parts(&self, name: &str) -> Option<Box<dyn Parts>>;

    /// Whether the room has at least one listener besides `skip`: lets a run save the work of mirrored events.
    fn has_listeners(&self, room: &Room, skip: Option<&str>) -> bool;

    /// The user that a connected session belongs to.
    fn session_user(&self, session_id: &str) -> Option<String>;

    /// Lets all tabs of the users hear a room. Whether they may is the caller's to know.
    fn enter_room(&self, room: &Room, user_ids: &[String]);

    /// Takes all tabs of the users out of a room.
    fn leave_room(&self, room: &Room, user_ids: &[String]);

    /// Takes everybody out of a room.
    fn close_room(&self, room: &Room);

    /// Ids of the users that hear a room.
    async fn users_in(&self, room: &Room) -> Vec<String>;

    /// Closes every socket of a user, telling them first that their access changed when `access_changed`.
    async fn disconnect_user(&self, user_id: &str, access_changed: bool);
}

/// An emitter with nobody listening, for tools and tests.
pub struct NoEmitter;

#[async_trait]
impl Emitter for NoEmitter {
    async fn emit_text(&self, _: &Room, _: &str, _: &str, _: Option<&str>) {}

    async fn call(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &Value,
        _: Option<Duration>,
    ) -> Result<Value, CallError> {
        Err(CallError::NoSession)
    }

    fn open_parts(&self, _: &str) -> Option<Box<dyn Parts>> {
        None
    }

    fn has_listeners(&self, _: &Room, _: Option<&str>) -> bool {
        false
    }

    fn session_user(&self, _: &str) -> Option<String> {
        None
    }

    fn enter_room(&self, _: &Room, _: &[String]) {}

    fn leave_room(&self, _: &Room, _: &[String]) {}

    fn close_room(&self, _: &Room) {}

    async fn users_in(&self, _: &Room) -> Vec<String> {
        Vec::new()
    }

    async fn disconnect_user(&self, _: &str, _: bool) {}
}
