//! Several servers on one database: what one of them does reaches the browsers, sessions and tasks of the others.
//! Without Redis there are no others, and everything stays in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oui_chat::Engine;
use oui_config::Config;
use oui_core::{CallError, Emitter, Room, ids};
use oui_models::{Db, config as config_rows, groups, quotas, users};
use oui_redis::{Bus, Message, RoomChange, SessionInfo};
use oui_socket::{MemorySessions, MemoryUsage, Session, SessionPool, SocketServer, UsagePool};
use oui_web::app::Peers;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// How long a browser at another server is waited for when nobody says how long.
const LONGEST_CALL: Duration = Duration::from_secs(600);

/// Sends what other servers have to know.
pub(crate) struct BusPeers(pub(crate) Bus);

impl Peers for BusPeers {
    fn config_changed(&self) {
        self.0.send(Message::ConfigChanged);
    }

    fn stop_task(&self, task_id: &str) -> bool {
        self.0.send(Message::StopTask {
            task_id: task_id.to_owned(),
        });
        true
    }
}

/// Sessions of all servers: a copy in memory, of which every change is told to the others.
pub(crate) struct SharedSessions {
    all: MemorySessions,
    bus: Bus,
}

impl SharedSessions {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            all: MemorySessions::default(),
            bus,
        }
    }

    fn tell(&self, sid: &str, session: SessionInfo) {
        self.bus.send(Message::SessionSet {
            sid: sid.to_owned(),
            session,
        });
    }
}

fn to_message(session: &Session) -> SessionInfo {
    SessionInfo {
        user_id: session.user_id.clone(),
        name: session.name.clone(),
        last_seen_at: session.last_seen_at,
        chat_ids: session.chat_ids.clone(),
    }
}

fn from_message(info: SessionInfo) -> Session {
    Session {
        user_id: info.user_id,
        name: info.name,
        last_seen_at: info.last_seen_at,
        chat_ids: info.chat_ids,
    }
}

impl SessionPool for SharedSessions {
    fn insert(&self, sid: &str, session: Session) {
        self.tell(sid, to_message(&session));
        self.all.insert(sid, session);
    }

    fn update(&self, sid: &str, change: &mut dyn FnMut(&mut Session)) -> bool {
        let mut after = None;
        let found = self.all.update(sid, &mut |session| {
            change(session);
            after = Some(to_message(session));
        });
        if let Some(session) = after {
            self.tell(sid, session);
        }
        found
    }

    fn remove(&self, sid: &str) -> Option<Session> {
        let gone = self.all.remove(sid);
        if gone.is_some() {
            self.bus.send(Message::SessionGone { sid: sid.to_owned() });
        }
        gone
    }

    fn user_of(&self, sid: &str) -> Option<String> {
        self.all.user_of(sid)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&str, &Session)) {
        self.all.visit(visitor);
    }
}

/// Models in use at all servers.
pub(crate) struct SharedUsage {
    all: MemoryUsage,
    bus: Bus,
}

impl SharedUsage {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            all: MemoryUsage::default(),
            bus,
        }
    }
}

impl UsagePool for SharedUsage {
    fn touch(&self, model_id: &str, sid: &str, now: i64) {
        self.all.touch(model_id, sid, now);
        self.bus.send(Message::Usage {
            model_id: model_id.to_owned(),
            sid: sid.to_owned(),
            now,
        });
    }

    fn forget(&self, sid: &str) {
        // The others drop what is not renewed within seconds.
        self.all.forget(sid);
    }

    fn expire(&self, since: i64) {
        self.all.expire(since);
    }

    fn models(&self) -> Vec<String> {
        self.all.models()
    }
}

/// Answers of browsers at other servers that are waited for.
type Calls = Arc<Mutex<HashMap<String, oneshot::Sender<Option<Value>>>>>;

/// Reaches the browsers of all servers.
pub(crate) struct Everywhere {
    socket: SocketServer,
    sessions: Arc<SharedSessions>,
    bus: Bus,
    calls: Calls,
}

impl Everywhere {
    fn change_room(&self, room: &Room, change: RoomChange, user_ids: &[String]) {
        let (kind, id) = parts(room);
        self.bus.send(Message::Room {
            room: (kind.to_owned(), id.to_owned()),
            change,
            user_ids: user_ids.to_vec(),
        });
    }
}

fn is_here(socket: &SocketServer, sid: &str) -> bool {
    socket.has_listeners(&Room::Session(sid.to_owned()), None)
}

#[async_trait]
impl Emitter for Everywhere {
    async fn emit_text(&self, room: &Room, event: &str, payload: &str, skip: Option<&str>) {
        self.socket.emit_text(room, event, payload, skip).await;
        let for_one_here = matches!(room, Room::Session(sid) if is_here(&self.socket, sid));
        if !for_one_here {
            let (kind, id) = parts(room);
            self.bus.send(Message::Emit {
                room: (kind.to_owned(), id.to_owned()),
                event: event.to_owned(),
                payload: payload.to_owned(),
                skip: skip.map(str::to_owned),
            });
        }
    }

    async fn call(
        &self,
        user_id: &str,
        session_id: &str,
        event: &str,
        payload: &Value,
        timeout: Option<Duration>,
    ) -> Result<Value, CallError> {
        if is_here(&self.socket, session_id) {
            return self
                .socket
                .call(user_id, session_id, event, payload, timeout)
                .await;
        }
        if self.sessions.user_of(session_id).as_deref() != Some(user_id) {
            return Err(CallError::NoSession);
        }
        let (id, (sender, answer)) = (ids::uuid(), oneshot::channel());
        self.calls.lock().insert(id.clone(), sender);
        self.bus.send(Message::Call {
            id: id.clone(),
            user_id: user_id.to_owned(),
            session_id: session_id.to_owned(),
            event: event.to_owned(),
            payload: payload.clone(),
            seconds: timeout.map(|timeout| timeout.as_secs()),
        });
        let answered = tokio::time::timeout(timeout.unwrap_or(LONGEST_CALL), answer).await;
        self.calls.lock().remove(&id);
        match answered {
            Err(_) => Err(CallError::Timeout),
            Ok(Ok(Some(value))) => Ok(value),
            Ok(_) => Err(CallError::Disconnected),
        }
    }

    fn has_listeners(&self, room: &Room, skip: Option<&str>) -> bool {
        if self.socket.has_listeners(room, skip) {
            return true;
        }
        let mut found = false;
        self.sessions.visit(&mut |sid, session| {
            found |= Some(sid) != skip
                && match room {
                    Room::User(id) => session.user_id == *id,
                    Room::Chat(id) => session.chat_ids.contains(id),
                    Room::Session(id) => sid == id,
                    // Who is in these rooms elsewhere is not known here.
                    Room::Channel(_) | Room::Note(_) => true,
                };
        });
        found
    }

    fn session_user(&self, session_id: &str) -> Option<String> {
        self.sessions.user_of(session_id)
    }

    fn open_parts(&self, name: &str) -> Option<Box<dyn oui_core::events::Parts>> {
        // What browsers elsewhere stream arrives at their own server.
        self.socket.open_parts(name)
    }

    fn enter_room(&self, room: &Room, user_ids: &[String]) {
        self.socket.enter_room(room, user_ids);
        self.change_room(room, RoomChange::Enter, user_ids);
    }

    fn leave_room(&self, room: &Room, user_ids: &[String]) {
        self.socket.leave_room(room, user_ids);
        self.change_room(room, RoomChange::Leave, user_ids);
    }

    fn close_room(&self, room: &Room) {
        self.socket.close_room(room);
        self.change_room(room, RoomChange::Close, &[]);
    }

    async fn users_in(&self, room: &Room) -> Vec<String> {
        Emitter::users_in(&self.socket, room).await
    }

    async fn disconnect_user(&self, user_id: &str, access_changed: bool) {
        self.socket.disconnect_user(user_id, access_changed).await;
        self.bus.send(Message::Disconnect {
            user_id: user_id.to_owned(),
            access_changed,
        });
    }
}

fn parts(room: &Room) -> (&'static str, &str) {
    match room {
        Room::User(id) => ("user", id),
        Room::Chat(id) => ("chat", id),
        Room::Channel(id) => ("channel", id),
        Room::Note(id) => ("note", id),
        Room::Session(id) => ("session", id),
    }
}

fn room((kind, id): (String, String)) -> Option<Room> {
    Some(match kind.as_str() {
        "user" => Room::User(id),
        "chat" => Room::Chat(id),
        "channel" => Room::Channel(id),
        "note" => Room::Note(id),
        "session" => Room::Session(id),
        _ => return None,
    })
}

/// What messages of other servers act on.
pub(crate) struct Here {
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) socket: SocketServer,
    pub(crate) engine: Arc<Engine>,
    pub(crate) sessions: Arc<SharedSessions>,
    pub(crate) usage: Arc<SharedUsage>,
    pub(crate) bus: Bus,
    calls: Calls,
}

/// The emitter that reaches all servers, and what listens to them.
pub(crate) fn everywhere(
    socket: &SocketServer,
    sessions: &Arc<SharedSessions>,
    bus: &Bus,
) -> (Everywhere, impl FnOnce(Parts) -> Here + use<>) {
    let calls = Calls::default();
    let everywhere = Everywhere {
        socket: socket.clone(),
        sessions: sessions.clone(),
        bus: bus.clone(),
        calls: calls.clone(),
    };
    let (socket, sessions, bus) = (socket.clone(), sessions.clone(), bus.clone());
    let here = move |parts: Parts| Here {
        db: parts.db,
        config: parts.config,
        socket,
        engine: parts.engine,
        sessions,
        usage: parts.usage,
        bus,
        calls,
    };
    (everywhere, here)
}

/// What is known only after the emitter.
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) usage: Arc<SharedUsage>,
}

impl Here {
    /// Acts on messages for as long as they come.
    pub(crate) async fn listen(self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.bus.send(Message::Hello);
        let here = Arc::new(self);
        while let Some(message) = messages.recv().await {
            here.clone().act(message).await;
        }
    }

    async fn act(self: Arc<Self>, message: Message) {
        match message {
            Message::ConfigChanged => self.read_config().await,
            Message::Lost => {
                self.read_config().await;
                groups::changed(&self.db);
                self.bus.send(Message::Hello);
                self.tell_sessions();
            }
            Message::Hello => self.tell_sessions(),
            Message::Disconnect {
                user_id,
                access_changed,
            } => {
                users::changed(&self.db, &user_id);
                groups::changed(&self.db);
                self.socket.disconnect_user(&user_id, access_changed).await;
            }
            Message::StopTask { task_id } => {
                self.engine.tasks.stop(&task_id).await;
            }
            Message::Emit {
                room: place,
                event,
                payload,
                skip,
            } => {
                if let Some(room) = room(place) {
                    self.socket
                        .emit_text(&room, &event, &payload, skip.as_deref())
                        .await;
                }
            }
            Message::Room {
                room: place,
                change,
                user_ids,
            } => {
                if let Some(room) = room(place) {
                    match change {
                        RoomChange::Enter => self.socket.enter_room(&room, &user_ids),
                        RoomChange::Leave => self.socket.leave_room(&room, &user_ids),
                        RoomChange::Close => self.socket.close_room(&room),
                    }
                }
            }
            Message::SessionSet { sid, session } => self.sessions.all.insert(&sid, from_message(session)),
            Message::SessionGone { sid } => {
                self.sessions.all.remove(&sid);
            }
            Message::Usage { model_id, sid, now } => self.usage.all.touch(&model_id, &sid, now),
            Message::Call { .. } => {
                // A browser may take its time, and the others wait in line.
                tokio::spawn(async move { self.ask(message).await });
            }
            Message::Answer { id, answer } => {
                if let Some(waiting) = self.calls.lock().remove(&id) {
                    // Who no longer waits needs no answer.
                    let _ = waiting.send(answer);
                }
            }
        }
    }

    async fn read_config(&self) {
        match config_rows::all(&self.db).await {
            Ok(rows) => {
                self.config.reset_to(rows);
                self.engine.catalogue.invalidate();
                quotas::changed(&self.db);
            }
            Err(error) => tracing::error!(%error, "a change of another server's settings could not be read"),
        }
    }

    /// Tells the others of the sessions that are connected here.
    fn tell_sessions(&self) {
        let mut here = Vec::new();
        self.sessions
            .all
            .visit(&mut |sid, session| here.push((sid.to_owned(), to_message(session))));
        for (sid, session) in here {
            if is_here(&self.socket, &sid) {
                self.bus.send(Message::SessionSet { sid, session });
            }
        }
    }

    async fn ask(&self, message: Message) {
        let Message::Call {
            id,
            user_id,
            session_id,
            event,
            payload,
            seconds,
        } = message
        else {
            return;
        };
        if !is_here(&self.socket, &session_id) {
            return;
        }
        let timeout = seconds.map_or(LONGEST_CALL, Duration::from_secs);
        let answer = self
            .socket
            .call(&user_id, &session_id, &event, &payload, Some(timeout))
            .await
            .ok();
        self.bus.send(Message::Answer { id, answer });
    }
}
