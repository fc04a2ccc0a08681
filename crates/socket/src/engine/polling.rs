//! Carries a connection by long polling: `GET` waits for packets, `POST` brings them. Packets of
//! one body are separated by the record separator character.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::connection::{Connection, Transport};
use super::http::{BAD_REQUEST, bad_request, text};
use super::inbound::{self, Flow};
use crate::hub::Hub;

const SEPARATOR: &str = "\u{1e}";
/// Content type of answers that carry packets.
const PACKETS: &str = "text/plain; charset=UTF-8";

/// Answers the first request of a client: the handshake.
pub(crate) async fn open(hub: &Arc<Hub>) -> Response {
    match hub.open_connection(Transport::Polling) {
        Some(connection) => poll(hub, &connection).await,
        None => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain",
            "Service Unavailable",
        ),
    }
}

/// Waits for packets and answers with all that wait.
pub(crate) async fn poll(hub: &Hub, connection: &Connection) -> Response {
    let _one_at_a_time = connection.polling.lock().await;
    let patience = hub.options.ping_interval + hub.options.ping_timeout;
    match tokio::time::timeout(patience, connection.outbox.next()).await {
        Ok(Some(batch)) => {
            let packets: Vec<&str> = batch.iter().map(|frame| frame.as_str()).collect();
            text(StatusCode::OK, PACKETS, packets.join(SEPARATOR))
        }
        Ok(None) => bad_request(BAD_REQUEST),
        Err(_) => {
            connection.close();
            bad_request(BAD_REQUEST)
        }
    }
}

/// Takes the packets of a body. A body that is too large ends the connection.
pub(crate) async fn receive(hub: &Arc<Hub>, connection: &Arc<Connection>, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, hub.options.max_payload).await else {
        connection.close();
        return bad_request(BAD_REQUEST);
    };
    let Ok(payload) = std::str::from_utf8(&body) else {
        return accepted();
    };
    if !payload.is_empty() {
        for packet in payload.split(SEPARATOR) {
            if inbound::text(hub, connection, packet).await == Flow::End && packet == "1" {
                connection.close();
                break;
            }
        }
    }
    accepted()
}

fn accepted() -> Response {
    text(StatusCode::OK, "text/plain", "OK")
}
