//! What becomes of the packets that a client sends: Engine.IO packets are handled here, Socket.IO
//! packets inside them are read and passed on.
//!
//! A Socket.IO packet that cannot be read is ignored and the connection goes on, as in the
//! reference; one that is no Engine.IO packet at all ends a WebSocket.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::connection::Connection;
use crate::hub::Hub;
use crate::packet::{Kind, Malformed, Packet};
use crate::socket::{Socket, Work};

/// Whether to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    End,
}

/// Socket.IO state of a connection.
#[derive(Default)]
pub(crate) struct Inbound {
    /// The session in the default namespace; a connection has at most one.
    pub(crate) socket: Option<Arc<Socket>>,
    partial: Option<Partial>,
}

/// A packet that waits for its attachments.
struct Partial {
    packet: Packet,
    attachments: Vec<Vec<u8>>,
    size: usize,
}

/// Handles one Engine.IO packet in text form.
pub(crate) async fn text(hub: &Arc<Hub>, connection: &Arc<Connection>, text: &str) -> Flow {
    match text.as_bytes().first() {
        Some(b'4') => {
            connection.inbound.lock().partial = None;
            let handled = match Packet::parse(&text[1..]) {
                Ok(packet) if packet.attachments > 0 => hold(connection, packet),
                Ok(packet) => dispatch(hub, connection, packet, &[]).await,
                Err(malformed) => Err(malformed),
            };
            if handled.is_err() {
                tracing::debug!(connection = %connection.id, "ignoring a malformed packet");
            }
        }
        Some(b'3') => connection.pong(),
        Some(b'5') => connection.send(Utf8Bytes::from_static("6")),
        Some(b'b') => {
            if let Ok(bytes) = STANDARD.decode(&text[1..]) {
                return binary(hub, connection, bytes).await;
            }
        }
        Some(b'1') | None => return Flow::End,
        Some(kind) if kind.is_ascii_digit() => {}
        Some(_) => return Flow::End,
    }
    Flow::Continue
}

/// Handles one binary message: the next attachment of the packet that waits for it.
pub(crate) async fn binary(hub: &Arc<Hub>, connection: &Arc<Connection>, bytes: Vec<u8>) -> Flow {
    let complete = {
        let mut inbound = connection.inbound.lock();
        let Some(partial) = inbound.partial.as_mut() else {
            return Flow::Continue;
        };
        partial.size += bytes.len();
        if partial.size > hub.options.max_payload {
            return Flow::End;
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() < partial.packet.attachments {
            return Flow::Continue;
        }
        inbound.partial.take()
    };
    if let Some(Partial {
        packet, attachments, ..
    }) = complete
        && dispatch(hub, connection, packet, &attachments).await.is_err()
    {
        tracing::debug!(connection = %connection.id, "ignoring a malformed binary packet");
    }
    Flow::Continue
}

/// Keeps a packet until its attachments have come. Refused before the client has joined, so that
/// strangers cannot make the server hold data.
fn hold(connection: &Connection, packet: Packet) -> Result<(), Malformed> {
    let mut inbound = connection.inbound.lock();
    if inbound.socket.is_none() {
        return Err(Malformed);
    }
    let size = packet.data.len();
    inbound.partial = Some(Partial {
        packet,
        attachments: Vec::new(),
        size,
    });
    Ok(())
}

async fn dispatch(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    packet: Packet,
    attachments: &[Vec<u8>],
) -> Result<(), Malformed> {
    if packet.kind == Kind::Connect {
        hub.connect(connection, &packet.namespace, packet.value()?).await;
        return Ok(());
    }
    let socket = connection.inbound.lock().socket.clone();
    let Some(socket) = socket.filter(|_| packet.namespace == "/") else {
        return Ok(());
    };
    match packet.kind {
        Kind::Connect => {}
        Kind::Disconnect => hub.disconnect(&socket),
        Kind::Ack => {
            let id = packet
                .id
                .as_deref()
                .and_then(|id| id.parse().ok())
                .ok_or(Malformed)?;
            socket.answer(id, packet.arguments(attachments)?);
        }
        Kind::Event => socket.accept(Work::Event(packet.event(attachments)?)).await,
    }
    Ok(())
}
