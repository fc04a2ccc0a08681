//! One Engine.IO connection, whatever carries it: its id, what waits to be sent, the heartbeat,
//! and how it ends. Reading and writing the bytes is [`super::websocket`]'s and
//! [`super::polling`]'s business, what the messages mean is [`super::inbound`]'s.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::Rng;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::inbound::Inbound;
use super::outbox::{Outbox, PushError};
use crate::options::SocketOptions;

/// What carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Polling,
}

impl Transport {
    /// The only transport that the settings admit.
    pub(crate) fn admitted(options: &SocketOptions) -> Self {
        if options.websocket {
            Self::WebSocket
        } else {
            Self::Polling
        }
    }

    /// Name in the query of a request.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) transport: Transport,
    pub(crate) outbox: Outbox,
    pub(crate) inbound: Mutex<Inbound>,
    /// Allows one poll at a time.
    pub(crate) polling: tokio::sync::Mutex<()>,
    /// Cancelled when nothing more is read; what waits in the outbox may still be written.
    pub(crate) closed: CancellationToken,
    /// Cancelled when nothing more is written either.
    pub(crate) cut: CancellationToken,
    pong: Notify,
}

/// A fresh id of an Engine.IO connection or Socket.IO session: 20 URL-safe characters.
pub(crate) fn fresh_id() -> String {
    let bytes: [u8; 15] = rand::rng().random();
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Connection {
    /// A connection whose first packet, the handshake, waits to be sent.
    pub(crate) fn new(transport: Transport, options: &SocketOptions) -> Self {
        let id = fresh_id();
        let handshake = json!({
            "sid": &id,
            "upgrades": [],
            "pingTimeout": millis(options.ping_timeout),
            "pingInterval": millis(options.ping_interval),
            "maxPayload": options.max_payload,
        });
        let connection = Self {
            id,
            transport,
            outbox: Outbox::new(options.outbox),
            inbound: Mutex::default(),
            polling: tokio::sync::Mutex::default(),
            closed: CancellationToken::new(),
            cut: CancellationToken::new(),
            pong: Notify::new(),
        };
        // The outbox is empty and open, so this cannot be refused.
        let _ = connection.outbox.push(format!("0{handshake}").into());
        connection
    }

    /// Queues a packet; a reader that lets too many wait is cut off.
    pub(crate) fn send(&self, frame: Utf8Bytes) {
        if self.outbox.push(frame) == Err(PushError::Full) {
            tracing::warn!(connection = %self.id, "the client reads too slowly and is cut off");
            self.abort();
        }
    }

    /// Notes the client's answer to a ping. One that was not asked for counts for the next ping.
    pub(crate) fn pong(&self) {
        self.pong.notify_one();
    }

    /// Ends the connection after what waits has been sent.
    pub(crate) fn close(&self) {
        if self.transport == Transport::Polling && !self.closed.is_cancelled() {
            // Tells a waiting poll that there will be no other; WebSockets have their own close.
            let _ = self.outbox.push(Utf8Bytes::from_static("1"));
        }
        self.outbox.close();
        self.closed.cancel();
    }

    /// Ends the connection at once, also for a writer that is stuck.
    pub(crate) fn abort(&self) {
        self.outbox.discard();
        self.closed.cancel();
        self.cut.cancel();
    }

    /// Pings the client until it fails to answer in time. The pause is counted from the pong.
    pub(crate) async fn heartbeat(&self, interval: Duration, timeout: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.send(Utf8Bytes::from_static("2"));
            if tokio::time::timeout(timeout, self.pong.notified()).await.is_err() {
                tracing::debug!(connection = %self.id, "no answer to a ping");
                return;
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OutboxLimits;

    #[tokio::test]
    async fn the_handshake_comes_first_and_has_the_references_numbers() {
        let connection = Connection::new(Transport::WebSocket, &SocketOptions::default());
        let frames = connection.outbox.next().await.unwrap();
        assert_eq!(
            frames[0].as_str(),
            format!(
                "0{{\"sid\":\"{}\",\"upgrades\":[],\"pingTimeout\":20000,\"pingInterval\":25000,\"maxPayload\":16777216}}",
                connection.id
            )
        );
        assert_eq!(connection.id.len(), 20);
    }

    #[tokio::test]
    async fn an_overflowing_outbox_cuts_the_connection() {
        let limits = OutboxLimits {
            packets: 2,
            bytes: 1000,
        };
        let options = SocketOptions {
            outbox: limits,
            ..SocketOptions::default()
        };
        let connection = Connection::new(Transport::WebSocket, &options);
        connection.send("a".into());
        assert!(!connection.closed.is_cancelled());
        connection.send("b".into());
        assert!(connection.cut.is_cancelled() && connection.closed.is_cancelled());
        assert_eq!(connection.outbox.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_heartbeat_ends_when_a_pong_is_late() {
        let connection = Connection::new(Transport::WebSocket, &SocketOptions::default());
        let (interval, timeout) = (Duration::from_secs(25), Duration::from_secs(20));
        let started = tokio::time::Instant::now();
        let answering = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            connection.pong();
        };
        tokio::join!(connection.heartbeat(interval, timeout), answering);
        // 25 s, pong at 30 s, ping at 55 s, given up at 75 s.
        assert_eq!(started.elapsed().as_secs(), 75);
    }
}
