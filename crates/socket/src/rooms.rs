//! Which sessions exist and which rooms they are in. Every session is in a room of its own, named
//! by its id. Decides nothing: who may enter what is the handlers' business.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use parking_lot::RwLock;

use crate::socket::Socket;

type Members = HashMap<Arc<str>, Arc<Socket>>;

#[derive(Default)]
struct State {
    /// Rooms of every session.
    sessions: HashMap<Arc<str>, (Arc<Socket>, HashSet<String>)>,
    /// Sessions of every room; rooms without any are absent.
    rooms: HashMap<String, Members>,
}

#[derive(Default)]
pub(crate) struct Rooms(RwLock<State>);

impl State {
    fn leave(&mut self, sid: &str, room: &str) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(sid);
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
        if let Some((_, rooms)) = self.sessions.get_mut(sid) {
            rooms.remove(room);
        }
    }

    fn enter(&mut self, sid: &str, room: &str) -> bool {
        let Some((socket, rooms)) = self.sessions.get_mut(sid) else {
            return false;
        };
        if rooms.insert(room.to_owned()) {
            let members = self.rooms.entry(room.to_owned()).or_default();
            members.insert(socket.sid.clone(), socket.clone());
        }
        true
    }
}

impl Rooms {
    /// Adds a session, which enters its own room.
    pub(crate) fn register(&self, socket: &Arc<Socket>) {
        let mut state = self.0.write();
        state
            .sessions
            .insert(socket.sid.clone(), (socket.clone(), HashSet::new()));
        state.enter(&socket.sid, &socket.sid);
    }

    /// Removes a session from everywhere. Answers the rooms that it was in; `None` if it was gone already.
    pub(crate) fn remove(&self, sid: &str) -> Option<HashSet<String>> {
        let mut state = self.0.write();
        let (_, rooms) = state.sessions.remove(sid)?;
        for room in &rooms {
            state.leave(sid, room);
        }
        Some(rooms)
    }

    /// How many rooms of a kind a session is in.
    pub(crate) fn count_of(&self, sid: &str, kind: fn(&str) -> bool) -> usize {
        let state = self.0.read();
        state
            .sessions
            .get(sid)
            .map_or(0, |(_, rooms)| rooms.iter().filter(|room| kind(room)).count())
    }

    /// Enters a room. False if the session is gone, so that a late handler leaves no trace of it.
    pub(crate) fn enter(&self, sid: &str, room: &str) -> bool {
        self.0.write().enter(sid, room)
    }

    pub(crate) fn leave(&self, sid: &str, room: &str) {
        self.0.write().leave(sid, room);
    }

    /// Leaves every room but the session's own.
    pub(crate) fn leave_all(&self, sid: &str) {
        let mut state = self.0.write();
        let rooms = state
            .sessions
            .get(sid)
            .map(|(_, rooms)| rooms.clone())
            .unwrap_or_default();
        for room in rooms.iter().filter(|room| room.as_str() != sid) {
            state.leave(sid, room);
        }
    }

    pub(crate) fn contains(&self, sid: &str, room: &str) -> bool {
        self.0
            .read()
            .rooms
            .get(room)
            .is_some_and(|members| members.contains_key(sid))
    }

    pub(crate) fn session(&self, sid: &str) -> Option<Arc<Socket>> {
        self.0.read().sessions.get(sid).map(|(socket, _)| socket.clone())
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Socket>> {
        self.0
            .read()
            .sessions
            .values()
            .map(|(socket, _)| socket.clone())
            .collect()
    }

    pub(crate) fn members(&self, room: &str) -> Vec<Arc<Socket>> {
        self.0
            .read()
            .rooms
            .get(room)
            .map(|members| members.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether anybody but `skip` is in the room.
    pub(crate) fn has_listeners(&self, room: &str, skip: Option<&str>) -> bool {
        let state = self.0.read();
        let Some(members) = state.rooms.get(room) else {
            return false;
        };
        members.len() > 1 || skip.is_none_or(|skip| !members.contains_key(skip))
    }

    /// Queues a packet for everybody in the room but `skip`. The packet is shared, not copied.
    pub(crate) fn send(&self, room: &str, frame: &Utf8Bytes, skip: Option<&str>) {
        let state = self.0.read();
        let Some(members) = state.rooms.get(room) else {
            return;
        };
        for (sid, socket) in members {
            if skip != Some(&**sid) {
                socket.connection.send(frame.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::{Connection, Transport};
    use crate::options::SocketOptions;

    fn socket(rooms: &Rooms) -> Arc<Socket> {
        let connection = Connection::new(Transport::WebSocket, &SocketOptions::default());
        let socket = Socket::new(Arc::new(connection)).0;
        rooms.register(&socket);
        socket
    }

    #[tokio::test]
    async fn a_packet_reaches_the_room_but_the_skipped() {
        let rooms = Rooms::default();
        let sockets = [socket(&rooms), socket(&rooms), socket(&rooms)];
        rooms.enter(&sockets[0].sid, "r");
        rooms.enter(&sockets[1].sid, "r");
        rooms.send("r", &"hello".into(), Some(&sockets[0].sid));
        let mut counts = Vec::new();
        for socket in &sockets {
            counts.push(socket.connection.outbox.next().await.unwrap().len());
        }
        // Every connection has its handshake; only the second one has heard the packet.
        assert_eq!(counts, [1, 2, 1]);
    }

    #[test]
    fn listeners_besides_the_skipped() {
        let rooms = Rooms::default();
        let (a, b) = (socket(&rooms), socket(&rooms));
        assert!(!rooms.has_listeners("r", None));
        rooms.enter(&a.sid, "r");
        assert!(rooms.has_listeners("r", None));
        assert!(!rooms.has_listeners("r", Some(&a.sid)));
        assert!(rooms.has_listeners("r", Some(&b.sid)));
        rooms.enter(&b.sid, "r");
        assert!(rooms.has_listeners("r", Some(&a.sid)));
    }

    #[test]
    fn a_removed_session_leaves_no_trace() {
        let rooms = Rooms::default();
        let socket = socket(&rooms);
        rooms.enter(&socket.sid, "r");
        assert!(rooms.remove(&socket.sid).is_some());
        assert!(rooms.remove(&socket.sid).is_none());
        assert!(!rooms.enter(&socket.sid, "r"));
        let state = rooms.0.read();
        assert!(state.rooms.is_empty() && state.sessions.is_empty());
    }

    #[test]
    fn leaving_all_rooms_keeps_the_own_one() {
        let rooms = Rooms::default();
        let socket = socket(&rooms);
        rooms.enter(&socket.sid, "r");
        rooms.leave_all(&socket.sid);
        assert!(!rooms.contains(&socket.sid, "r"));
        assert!(rooms.contains(&socket.sid, &socket.sid));
    }
}
