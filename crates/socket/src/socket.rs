//! One Socket.IO session: a connection that has joined the default namespace. Holds who it belongs
//! to, the calls that wait for its answer, and the queue of its work.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::SocketUser;
use crate::engine::connection::{Connection, fresh_id};
use crate::packet::{self, Event};

/// Events of one client that may wait; then reading from it pauses.
const QUEUE: usize = 32;

/// What a session's worker does next.
pub(crate) enum Work {
    /// The client joined, with this data in its packet.
    Joined(Value),
    /// The client sent an event.
    Event(Event),
}

/// Who a session belongs to. Has no `Debug`, to keep the token out of logs.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) user: SocketUser,
    pub(crate) token: String,
    /// False for a client that only listens: it gave a token to join rooms, not to sign in.
    pub(crate) signed_in: bool,
}

#[derive(Default)]
struct Calls {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    ended: bool,
}

pub(crate) struct Socket {
    pub(crate) sid: Arc<str>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) identity: Mutex<Option<Identity>>,
    /// Cancelled when the session ends.
    pub(crate) closed: CancellationToken,
    calls: Mutex<Calls>,
    queue: mpsc::Sender<Work>,
}

impl Socket {
    pub(crate) fn new(connection: Arc<Connection>) -> (Arc<Self>, mpsc::Receiver<Work>) {
        let (queue, work) = mpsc::channel(QUEUE);
        let socket = Self {
            sid: fresh_id().into(),
            connection,
            identity: Mutex::default(),
            closed: CancellationToken::new(),
            calls: Mutex::default(),
            queue,
        };
        (Arc::new(socket), work)
    }

    /// Queues work, waiting while too much waits already: a flood slows down its sender only.
    pub(crate) async fn accept(&self, work: Work) {
        // Fails only when the worker has ended, and then the work is void.
        let _ = self.queue.send(work).await;
    }

    /// Ends the session: its worker stops and whoever waits for an answer learns of it.
    pub(crate) fn end(&self) {
        self.closed.cancel();
        let mut calls = self.calls.lock();
        calls.ended = true;
        calls.waiting.clear();
    }

    /// Tells those who wait for an answer that there will be none.
    pub(crate) fn fail_calls(&self) {
        self.calls.lock().waiting.clear();
    }

    /// Sends an event that asks for an answer. `None` when the session has ended.
    pub(crate) fn call(self: &Arc<Self>, event: &str, payload: &Value) -> Option<Call> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut calls = self.calls.lock();
            if calls.ended {
                return None;
            }
            calls.last += 1;
            let id = calls.last;
            calls.waiting.insert(id, sender);
            id
        };
        self.connection.send(packet::event(event, payload, Some(id)));
        Some(Call {
            socket: self.clone(),
            id,
            answer,
        })
    }

    /// Passes on the answer to a call; unknown ids are ignored. One argument is the answer itself,
    /// none is null, several are an array.
    pub(crate) fn answer(&self, id: u64, mut args: Vec<Value>) {
        let waiting = self.calls.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            let answer = match args.len() {
                0 => Value::Null,
                1 => args.remove(0),
                _ => Value::Array(args),
            };
            // The caller may have given up meanwhile.
            let _ = waiting.send(answer);
        }
    }
}

/// A call under way. Dropping it forgets the call.
pub(crate) struct Call {
    socket: Arc<Socket>,
    id: u64,
    pub(crate) answer: oneshot::Receiver<Value>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.socket.calls.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::connection::Transport;
    use crate::options::SocketOptions;

    fn socket() -> Arc<Socket> {
        Socket::new(Arc::new(Connection::new(
            Transport::WebSocket,
            &SocketOptions::default(),
        )))
        .0
    }

    #[tokio::test]
    async fn answers_reach_their_call() {
        let socket = socket();
        let mut calls: Vec<Call> = (0..3).map(|_| socket.call("ask", &json!({})).unwrap()).collect();
        socket.answer(2, vec![json!("second")]);
        socket.answer(3, vec![]);
        socket.answer(1, vec![json!(1), json!(2)]);
        socket.answer(99, vec![json!("nobody asked")]);
        let mut answers = Vec::new();
        for call in &mut calls {
            answers.push((&mut call.answer).await.unwrap());
        }
        assert_eq!(answers, [json!([1, 2]), json!("second"), Value::Null]);
    }

    #[tokio::test]
    async fn ending_the_session_fails_its_calls() {
        let socket = socket();
        let mut call = socket.call("ask", &json!({})).unwrap();
        socket.end();
        assert!((&mut call.answer).await.is_err());
        assert!(socket.call("ask", &json!({})).is_none());
    }

    #[test]
    fn an_abandoned_call_is_forgotten() {
        let socket = socket();
        drop(socket.call("ask", &json!({})));
        assert!(socket.calls.lock().waiting.is_empty());
    }
}
