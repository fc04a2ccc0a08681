//! The state that all parts share, and the life of connections and sessions: joining, signing in,
//! being checked again, ending.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use oui_core::Clock;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, SocketUser};
use crate::documents::{self, Documents};
use crate::engine::connection::{Connection, Transport};
use crate::options::SocketOptions;
use crate::pools::{Session, SessionPool, UsagePool};
use crate::rooms::Rooms;
use crate::socket::{Identity, Socket, Work};
use crate::streams::Streams;
use crate::{packet, presence, worker};

pub(crate) struct Hub {
    pub(crate) options: SocketOptions,
    pub(crate) clock: Clock,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) sessions: Arc<dyn SessionPool>,
    pub(crate) usage: Arc<dyn UsagePool>,
    pub(crate) rooms: Rooms,
    /// Documents that are edited together.
    pub(crate) documents: Documents,
    pub(crate) streams: Streams,
    /// Tells the usage loop that there is something to watch.
    pub(crate) usage_noted: Notify,
    /// Held while presence is computed and sent, so that a later state is never overtaken.
    pub(crate) presence: Mutex<()>,
    /// Every task of the server.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the server stops.
    pub(crate) closing: CancellationToken,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
}

impl Hub {
    pub(crate) fn new(
        options: SocketOptions,
        clock: Clock,
        backend: Arc<dyn Backend>,
        sessions: Arc<dyn SessionPool>,
        usage: Arc<dyn UsagePool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            options,
            clock,
            backend,
            sessions,
            usage,
            rooms: Rooms::default(),
            documents: Documents::default(),
            streams: Streams::default(),
            usage_noted: Notify::new(),
            presence: Mutex::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            connections: Mutex::default(),
        })
    }

    /// Begins a connection and its heartbeat. `None` while the server stops.
    pub(crate) fn open_connection(self: &Arc<Self>, transport: Transport) -> Option<Arc<Connection>> {
        let connection = Arc::new(Connection::new(transport, &self.options));
        {
            let mut connections = self.connections.lock();
            if self.closing.is_cancelled() {
                return None;
            }
            connections.insert(connection.id.clone(), connection.clone());
        }
        let (hub, watched) = (self.clone(), connection.clone());
        self.tasks.spawn(async move {
            let beating = watched.heartbeat(hub.options.ping_interval, hub.options.ping_timeout);
            if watched.closed.run_until_cancelled(beating).await.is_some() {
                watched.abort();
            }
            hub.connection_ended(&watched);
        });
        Some(connection)
    }

    /// An open connection.
    pub(crate) fn connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections
            .lock()
            .get(id)
            .filter(|connection| !connection.closed.is_cancelled())
            .cloned()
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.connections.lock().values().cloned().collect()
    }

    fn connection_ended(&self, connection: &Connection) {
        self.connections.lock().remove(&connection.id);
        let socket = connection.inbound.lock().socket.clone();
        if let Some(socket) = socket {
            self.disconnect(&socket);
        }
    }

    /// A client asks to join a namespace. Everybody may; signing in comes after.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        namespace: &str,
        data: Value,
    ) {
        let (socket, work) = Socket::new(connection.clone());
        let free = {
            let mut inbound = connection.inbound.lock();
            let free = namespace == "/" && inbound.socket.is_none();
            if free {
                inbound.socket = Some(socket.clone());
            }
            free
        };
        if !free {
            return connection.send(packet::connect_error(namespace));
        }
        self.rooms.register(&socket);
        connection.send(packet::connected(&socket.sid));
        self.tasks.spawn(worker::run(self.clone(), socket.clone(), work));
        if connection.closed.is_cancelled() {
            // The end of the connection may have been dealt with before the session was there.
            self.disconnect(&socket);
        }
        socket.accept(Work::Joined(data)).await;
    }

    /// Ends a session; the connection may join again. Harmless when it has ended already.
    pub(crate) fn disconnect(&self, socket: &Arc<Socket>) {
        {
            let mut inbound = socket.connection.inbound.lock();
            if inbound
                .socket
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, socket))
            {
                inbound.socket = None;
            }
        }
        let rooms = self.rooms.remove(&socket.sid).unwrap_or_default();
        for id in rooms.iter().filter_map(|room| documents::of_room(room)) {
            self.documents
                .abandon(id, || self.rooms.has_listeners(&documents::room(id), None));
        }
        socket.end();
        self.forget(&socket.sid);
    }

    /// Ends a session and tells the client so.
    pub(crate) fn kick(&self, socket: &Arc<Socket>) {
        if !socket.closed.is_cancelled() {
            socket.connection.send(packet::disconnected());
            self.disconnect(socket);
        }
    }

    /// Removes what the pools know of a session.
    pub(crate) fn forget(&self, sid: &str) {
        self.usage.forget(sid);
        if let Some(session) = self.sessions.remove(sid) {
            self.leave_chats(sid, session.chat_ids);
        }
    }

    /// Takes a session out of chats that it no longer counts in.
    pub(crate) fn leave_chats(&self, sid: &str, chat_ids: BTreeSet<String>) {
        for chat_id in chat_ids {
            self.rooms.leave(sid, &format!("chat:{chat_id}"));
            presence::publish(self, &chat_id);
        }
    }

    /// Signs a session in. One that changes its user keeps nothing of the former.
    pub(crate) fn sign_in(&self, socket: &Socket, token: &str, user: &SocketUser) {
        let identity = Identity {
            user: user.clone(),
            token: token.to_owned(),
            signed_in: true,
        };
        let former = socket.identity.lock().replace(identity);
        if former.is_some_and(|former| former.user.id != user.id) {
            self.rooms.leave_all(&socket.sid);
            self.forget(&socket.sid);
        }
        if self.rooms.enter(&socket.sid, &format!("user:{}", user.id)) {
            self.refresh_session(&socket.sid, user);
        }
    }

    /// Notes whose token a session gave that joins rooms without having signed in, so that the
    /// token is checked again like any other. False if the session belongs to somebody else.
    pub(crate) fn listen_as(&self, socket: &Socket, token: &str, user: &SocketUser) -> bool {
        let mut identity = socket.identity.lock();
        let known = identity.get_or_insert_with(|| Identity {
            user: user.clone(),
            token: token.to_owned(),
            signed_in: false,
        });
        known.user.id == user.id
    }

    /// Notes a sign of life. The open chats of the session stay.
    pub(crate) fn refresh_session(&self, sid: &str, user: &SocketUser) {
        let now = self.clock.seconds();
        let known = self.sessions.update(sid, &mut |session| {
            session.user_id.clone_from(&user.id);
            session.name.clone_from(&user.name);
            session.last_seen_at = now;
        });
        if !known {
            let session = Session {
                user_id: user.id.clone(),
                name: user.name.clone(),
                last_seen_at: now,
                chat_ids: BTreeSet::new(),
            };
            self.sessions.insert(sid, session);
        }
    }

    /// The user of a signed-in session, its token checked again. A session that is not signed in,
    /// or no longer, is ended.
    pub(crate) async fn member(&self, socket: &Arc<Socket>) -> Option<SocketUser> {
        let identity = socket
            .identity
            .lock()
            .clone()
            .filter(|identity| identity.signed_in);
        match identity {
            Some(identity) => self.check(socket, &identity).await,
            None => {
                self.kick(socket);
                None
            }
        }
    }

    /// Checks the token of a session again and ends the session if it fails.
    pub(crate) async fn check(&self, socket: &Arc<Socket>, identity: &Identity) -> Option<SocketUser> {
        let user = self.backend.authenticate(&identity.token).await;
        let user = user.filter(|user| user.id == identity.user.id);
        if user.is_none() {
            self.kick(socket);
        }
        user
    }

    /// Sends an event to a room. Written as text once, and not at all when nobody listens.
    pub(crate) fn emit(&self, room: &str, event: &str, payload: &Value, skip: Option<&str>) {
        if self.rooms.has_listeners(room, skip) {
            self.rooms.send(room, &packet::event(event, payload, None), skip);
        }
    }

    /// [`Hub::emit`] of what is written as text already.
    pub(crate) fn emit_text(&self, room: &str, event: &str, payload: &str, skip: Option<&str>) {
        if self.rooms.has_listeners(room, skip) {
            self.rooms
                .send(room, &packet::event_text(event, payload, None), skip);
        }
    }

    /// Time before which a session's last sign of life is too long ago, in seconds.
    pub(crate) fn oldest_sign_of_life(&self) -> i64 {
        self.clock.seconds() - whole_seconds(self.options.session_lifetime())
    }
}

/// Seconds of a duration, as the clock counts them.
pub(crate) fn whole_seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
