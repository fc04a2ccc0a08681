//! The task of one session: takes its events one after the other, in the order in which they
//! came. A slow handler holds up its own session only.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::events::{self, token_of};
use crate::hub::Hub;
use crate::packet::{self, Event};
use crate::socket::{Socket, Work};

/// Works until the session has ended and the events that came before its end are handled.
pub(crate) async fn run(hub: Arc<Hub>, socket: Arc<Socket>, mut queue: mpsc::Receiver<Work>) {
    loop {
        let next = tokio::select! {
            biased;
            work = queue.recv() => work,
            () = socket.closed.cancelled() => queue.try_recv().ok(),
        };
        let Some(work) = next else { break };
        if AssertUnwindSafe(handle(&hub, &socket, work))
            .catch_unwind()
            .await
            .is_err()
        {
            tracing::error!(sid = %socket.sid, "the handler of an event panicked");
        }
    }
    // A handler that was under way when the session ended may have noted it again.
    hub.forget(&socket.sid);
}

async fn handle(hub: &Arc<Hub>, socket: &Arc<Socket>, work: Work) {
    match work {
        Work::Joined(data) => joined(hub, socket, &data).await,
        Work::Event(mut event) => answer(hub, socket, &mut event).await,
    }
}

/// A client that gives a good token with its first packet is signed in; others stay, unheard.
async fn joined(hub: &Hub, socket: &Socket, data: &Value) {
    if let Some(token) = token_of(data)
        && let Some(user) = hub.backend.authenticate(token).await
    {
        hub.sign_in(socket, token, &user);
    }
}

async fn answer(hub: &Arc<Hub>, socket: &Arc<Socket>, event: &mut Event) {
    let ack = event.ack.take();
    let reply = events::handle(hub, socket, event).await;
    if let (Some(id), Some(args)) = (ack, reply) {
        socket.connection.send(packet::ack(&id, args));
    }
}
