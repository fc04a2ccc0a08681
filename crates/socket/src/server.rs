//! The server as the application sees it: made, mounted, asked, stopped; and the [`Emitter`]
//! through which the rest of the project reaches browsers.

use oui_core::boxed;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use oui_core::{CallError, Clock, Emitter, Parts, Room};
use serde_json::{Value, json};

use crate::backend::{Backend, ChatAccess};
use crate::engine;
use crate::hub::Hub;
use crate::options::SocketOptions;
use crate::pools::{MemorySessions, MemoryUsage, SessionPool, UsagePool};
use crate::streams::DirectStream;
use crate::upkeep;

/// How long [`SocketServer::close`] waits for clients to take their last packets.
const CLOSING_TIME: Duration = Duration::from_secs(6);

/// The Socket.IO server. Cheap to clone; all clones are the same server.
///
/// It runs until [`SocketServer::close`] is called, also when every handle is dropped.
#[derive(Clone)]
pub struct SocketServer {
    hub: Arc<Hub>,
}

impl SocketServer {
    /// A server with pools in memory. Starts its background tasks, so call it inside a Tokio
    /// runtime.
    pub fn new(options: SocketOptions, clock: Clock, backend: Arc<dyn Backend>) -> Self {
        Self::with_pools(
            options,
            clock,
            backend,
            Arc::<MemorySessions>::default(),
            Arc::<MemoryUsage>::default(),
        )
    }

    /// A server with pools of another kind.
    pub fn with_pools(
        options: SocketOptions,
        clock: Clock,
        backend: Arc<dyn Backend>,
        sessions: Arc<dyn SessionPool>,
        usage: Arc<dyn UsagePool>,
    ) -> Self {
        let hub = Hub::new(options, clock, backend, sessions, usage);
        upkeep::start(&hub);
        Self { hub }
    }

    /// Routes to merge into the application's: `/ws/socket.io`, and 404 for the rest of `/ws/`.
    /// No middleware that buffers or compresses bodies may wrap them.
    pub fn router(&self) -> Router {
        engine::http::router(self.hub.clone())
    }

    /// Ids of the models in use, as `usage` events of the last seconds tell.
    pub fn usage_models(&self) -> Vec<String> {
        self.hub.usage.models()
    }

    /// Ids of the signed-in sessions of a user.
    pub fn sessions_of(&self, user_id: &str) -> Vec<String> {
        let mut sids = Vec::new();
        self.hub.sessions.visit(&mut |sid, session| {
            if session.user_id == user_id {
                sids.push(sid.to_owned());
            }
        });
        sids
    }

    /// Number of users with a signed-in session that has given a recent sign of life. The count of
    /// `GET /api/usage` is another: it goes by `last_active_at` in the database.
    pub fn active_users(&self) -> usize {
        let oldest = self.hub.oldest_sign_of_life();
        let mut users = BTreeSet::new();
        self.hub.sessions.visit(&mut |_, session| {
            if session.last_seen_at >= oldest {
                users.insert(session.user_id.clone());
            }
        });
        users.len()
    }

    /// A live session of the user in which the chat is open: where to ask again when the session
    /// that was asked has gone.
    pub fn session_in_chat(&self, user_id: &str, chat_id: &str) -> Option<String> {
        let oldest = self.hub.oldest_sign_of_life();
        let mut found = None;
        self.hub.sessions.visit(&mut |sid, session| {
            if found.is_none()
                && session.user_id == user_id
                && session.last_seen_at >= oldest
                && session.chat_ids.contains(chat_id)
            {
                found = Some(sid.to_owned());
            }
        });
        found
    }

    /// Users with a session in the room, their tokens checked again.
    #[boxed]
    pub async fn users_in(&self, room: &Room) -> BTreeSet<String> {
        let mut users = BTreeSet::new();
        for socket in self.hub.rooms.members(&room.name()) {
            if let Some(user) = self.hub.member(&socket).await {
                users.insert(user.id);
            }
        }
        users
    }

    /// Lets all sessions of the users hear a room, for example of a channel they were added to.
    /// Whether they may is the caller's to know.
    pub fn enter_room(&self, room: &Room, user_ids: &[String]) {
        let name = room.name();
        for user_id in user_ids {
            for socket in self.hub.rooms.members(&Room::User(user_id.clone()).name()) {
                self.hub.rooms.enter(&socket.sid, &name);
            }
        }
    }

    /// Takes all sessions of the users out of a room.
    pub fn leave_room(&self, room: &Room, user_ids: &[String]) {
        let name = room.name();
        for user_id in user_ids {
            for socket in self.hub.rooms.members(&Room::User(user_id.clone()).name()) {
                self.hub.rooms.leave(&socket.sid, &name);
            }
        }
    }

    /// Access to a chat has changed, or with `None` perhaps to any: sessions that have it open and
    /// may no longer read it leave it, and all of them are told to look again. With `None` owners
    /// are left alone.
    #[boxed]
    pub async fn refresh_chat_access(&self, chat_id: Option<&str>) {
        let mut open = Vec::new();
        self.hub.sessions.visit(&mut |sid, session| {
            for id in &session.chat_ids {
                if chat_id.is_none_or(|wanted| wanted == id) {
                    open.push((id.clone(), session.user_id.clone(), sid.to_owned()));
                }
            }
        });
        open.sort();
        let mut known: Option<((String, String), ChatAccess)> = None;
        for (id, user_id, sid) in open {
            let pair = (id, user_id);
            let access = match &known {
                Some((checked, access)) if *checked == pair => *access,
                _ => self.hub.backend.chat_access(&pair.1, &pair.0).await,
            };
            if access < ChatAccess::Owner || chat_id.is_some() {
                self.tell_access(&pair.0, &sid, access);
            }
            known = Some((pair, access));
        }
    }

    fn tell_access(&self, chat_id: &str, sid: &str, access: ChatAccess) {
        if access == ChatAccess::None {
            self.hub.sessions.update(sid, &mut |session| {
                session.chat_ids.remove(chat_id);
            });
            self.hub.leave_chats(sid, BTreeSet::from([chat_id.to_owned()]));
        }
        let payload = json!({
            "chat_id": chat_id,
            "shared": true,
            "data": { "type": "chat:access", "data": {} },
        });
        self.hub.emit(sid, "events", &payload, None);
    }

    /// Opens the stream of a direct connection's answer. Open it before asking the browser for the
    /// answer; `name` is `{user_id}:{session_id}:{request_id}`.
    pub fn open_channel(&self, name: &str) -> DirectStream {
        self.hub.streams.open(name)
    }

    /// Stops: refuses new connections, sends what waits, ends every connection such that clients
    /// come back, and waits for all tasks, at most a few seconds for slow clients.
    #[boxed]
    pub async fn close(&self) {
        self.hub.closing.cancel();
        for connection in self.hub.connections() {
            connection.close();
        }
        self.hub.tasks.close();
        if tokio::time::timeout(CLOSING_TIME, self.hub.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("cutting off clients that did not let go");
            for connection in self.hub.connections() {
                connection.abort();
            }
        }
    }
}

#[async_trait]
impl Emitter for SocketServer {
    /// Nothing is written when nobody listens.
    async fn emit(&self, room: &Room, event: &str, payload: &Value, skip: Option<&str>) {
        self.hub.emit(&room.name(), event, payload, skip);
    }

    async fn emit_text(&self, room: &Room, event: &str, payload: &str, skip: Option<&str>) {
        self.hub.emit_text(&room.name(), event, payload, skip);
    }

    async fn call(
        &self,
        user_id: &str,
        session_id: &str,
        event: &str,
        payload: &Value,
        timeout: Option<Duration>,
    ) -> Result<Value, CallError> {
        if self.hub.sessions.user_of(session_id).as_deref() != Some(user_id) {
            return Err(CallError::NoSession);
        }
        let socket = self.hub.rooms.session(session_id).ok_or(CallError::NoSession)?;
        let mut call = socket.call(event, payload).ok_or(CallError::Disconnected)?;
        let answer = &mut call.answer;
        let answered = match timeout {
            Some(limit) => tokio::time::timeout(limit, answer)
                .await
                .map_err(|_| CallError::Timeout)?,
            None => answer.await,
        };
        answered.map_err(|_| CallError::Disconnected)
    }

    fn open_parts(&self, name: &str) -> Option<Box<dyn Parts>> {
        Some(Box::new(self.open_channel(name)))
    }

    fn has_listeners(&self, room: &Room, skip: Option<&str>) -> bool {
        self.hub.rooms.has_listeners(&room.name(), skip)
    }

    fn session_user(&self, session_id: &str) -> Option<String> {
        self.hub.sessions.user_of(session_id)
    }

    fn enter_room(&self, room: &Room, user_ids: &[String]) {
        Self::enter_room(self, room, user_ids);
    }

    fn leave_room(&self, room: &Room, user_ids: &[String]) {
        Self::leave_room(self, room, user_ids);
    }

    fn close_room(&self, room: &Room) {
        let name = room.name();
        for socket in self.hub.rooms.members(&name) {
            self.hub.rooms.leave(&socket.sid, &name);
        }
    }

    async fn users_in(&self, room: &Room) -> Vec<String> {
        Self::users_in(self, room).await.into_iter().collect()
    }

    async fn disconnect_user(&self, user_id: &str, access_changed: bool) {
        for socket in self.hub.rooms.members(&Room::User(user_id.to_owned()).name()) {
            if access_changed {
                self.hub.emit(&socket.sid, "access:updated", &json!({}), None);
            }
            self.hub.kick(&socket);
        }
    }
}
