//! Connections: heartbeats, slow readers, the end of the server.

use std::time::Duration;

use oui_core::{Emitter, Room};
use oui_socket::{OutboxLimits, SocketOptions};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::TestServer;

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_dropped() {
    let options = SocketOptions {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_secs(2),
        ..SocketOptions::default()
    };
    let it = TestServer::with(options).await;
    let mut silent = it.join("alice").await;
    let mut answering = it.join("bob").await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let staying = tokio::spawn(async move {
        // Its reads answer pings.
        while stopped.try_recv().is_err() {
            answering.sync().await;
        }
        answering.hears_nothing().await;
    });
    let mut pings = 0;
    while let Some(Message::Text(text)) = silent.message().await {
        assert_eq!(text.as_str(), "2");
        pings += 1;
    }
    assert_eq!(pings, 1);
    it.until(|| it.server.sessions_of("alice").is_empty()).await;
    stop.send(()).unwrap();
    staying.await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_nobody_else_notices() {
    let limits = OutboxLimits {
        packets: 1000,
        bytes: 1024 * 1024,
    };
    let it = TestServer::with(SocketOptions {
        outbox: limits,
        ..SocketOptions::default()
    })
    .await;
    let room = Room::Channel("busy".into());
    let slow = it.join("alice").await;
    let mut quick = it.join("bob").await;
    it.server.enter_room(&room, &["alice".into(), "bob".into()]);
    let payload = json!("x".repeat(256 * 1024));
    let mut sent = 0;
    // The kernel takes some megabytes before the outbox begins to fill.
    while it.server.session_user(&slow.sid).is_some() {
        it.server.emit(&room, "big", &payload, None).await;
        assert_eq!(quick.event().await, json!(["big", payload]));
        sent += 1;
        assert!(sent < 1000, "the slow reader is never cut off");
    }
    quick.hears_nothing().await;
    assert!(!it.server.has_listeners(&room, Some(&quick.sid)));
    // What was under way may still come out; then the connection ends.
    let mut slow = slow;
    let mut got = 0;
    while slow.text().await.is_some() {
        got += 1;
    }
    assert!(got < sent);
}

#[tokio::test]
async fn stopping_lets_clients_come_back_later() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    it.server
        .emit(&Room::User("alice".into()), "events", &json!("last"), None)
        .await;
    it.server.close().await;
    assert_eq!(client.event().await, json!(["events", "last"]));
    let Some(Message::Close(Some(frame))) = client.message().await else {
        panic!("no close frame")
    };
    assert_eq!(u16::from(frame.code), 1012);
    assert_eq!(it.server.active_users(), 0);
    let url = format!("ws://{}/ws/socket.io/?EIO=4&transport=websocket", it.address);
    assert!(tokio_tungstenite::connect_async(url).await.is_err());
}

#[tokio::test]
async fn closing_the_transport_ends_the_session() {
    let it = TestServer::start().await;
    let mut by_packet = it.join("alice").await;
    let mut by_frame = it.join("alice").await;
    let by_drop = it.join("alice").await;
    assert_eq!(it.server.sessions_of("alice").len(), 3);
    by_packet.send("1").await;
    assert_eq!(by_packet.text().await, None);
    by_frame.socket.close(None).await.unwrap();
    drop(by_drop);
    it.until(|| it.server.sessions_of("alice").is_empty()).await;
    assert!(!it.server.has_listeners(&Room::User("alice".into()), None));
}
