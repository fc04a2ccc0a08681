//! Carries a connection over a WebSocket: one task reads, another writes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};

use super::connection::{Connection, Transport};
use super::inbound::{self, Flow};
use crate::hub::Hub;

/// How long the last packets of a closing connection may take.
const CLOSING_TIME: Duration = Duration::from_secs(5);
/// Close code "service restart": clients reconnect.
const SERVICE_RESTART: u16 = 1012;

/// Serves a connection until either side ends it.
pub(crate) async fn run(hub: Arc<Hub>, websocket: WebSocket) {
    let Some(connection) = hub.open_connection(Transport::WebSocket) else {
        return;
    };
    let (sink, stream) = websocket.split();
    hub.tasks.spawn(write(hub.clone(), connection.clone(), sink));
    connection
        .closed
        .run_until_cancelled(read(&hub, &connection, stream))
        .await;
    connection.close();
}

async fn read(hub: &Arc<Hub>, connection: &Arc<Connection>, mut stream: SplitStream<WebSocket>) {
    while let Some(Ok(message)) = stream.next().await {
        let flow = match message {
            Message::Text(text) => inbound::text(hub, connection, &text).await,
            Message::Binary(bytes) => inbound::binary(hub, connection, bytes.to_vec()).await,
            Message::Ping(_) | Message::Pong(_) => Flow::Continue,
            Message::Close(_) => Flow::End,
        };
        if flow == Flow::End {
            return;
        }
    }
}

/// Writes until the outbox is closed and empty. A client that stops reading leaves this stuck in
/// a write: the heartbeat notices, or the outbox overflows, and the connection is cut.
async fn write(hub: Arc<Hub>, connection: Arc<Connection>, mut sink: SplitSink<WebSocket, Message>) {
    let pump = async {
        while let Some(batch) = connection.outbox.next().await {
            for frame in batch {
                sink.feed(Message::Text(frame)).await?;
            }
            sink.flush().await?;
        }
        if hub.closing.is_cancelled() {
            let frame = CloseFrame {
                code: SERVICE_RESTART,
                reason: "".into(),
            };
            sink.feed(Message::Close(Some(frame))).await?;
        }
        sink.close().await
    };
    let overdue = async {
        connection.closed.cancelled().await;
        tokio::time::sleep(CLOSING_TIME).await;
    };
    tokio::select! {
        written = pump => if let Err(error) = written {
            tracing::debug!(connection = %connection.id, %error, "the WebSocket broke");
        },
        () = connection.cut.cancelled() => {}
        () = overdue => {}
    }
    connection.abort();
}
