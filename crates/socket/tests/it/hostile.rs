//! Packets that no honest client sends. None may disturb anybody else.

use futures::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::TestServer;

/// Ignored, and the connection goes on.
const IGNORED: [&str; 32] = [
    "4",
    "4x",
    "47",
    "49",
    "4é",
    "44",
    "44\"x\"",
    "42",
    "42{}",
    "42[]",
    "42[1]",
    "42[null]",
    "42[\"a\"",
    "42\"a\"",
    "43",
    "431",
    "431[]",
    "43[]",
    "4399999999999999999999999[1]",
    "45",
    "451",
    "45-[]",
    "459999999-[\"a\"]",
    "451-",
    "40{\"token\"",
    "2",
    "2probe",
    "6",
    "0",
    "9abc",
    "b",
    "b!!!",
];

#[tokio::test]
async fn malformed_packets_are_ignored() {
    let it = TestServer::start().await;
    let mut other = it.join("bob").await;
    let mut client = it.join("alice").await;
    let deep = format!("42[\"a\",{}{}]", "[".repeat(20_000), "]".repeat(20_000));
    for text in IGNORED.into_iter().chain([deep.as_str()]) {
        client.send(text).await;
        let answer = client
            .ask("user-join", json!({ "auth": { "token": "alice" } }))
            .await;
        assert_eq!(
            answer,
            json!([{ "id": "alice", "name": "Alice" }]),
            "after {text}"
        );
    }
    client.hears_nothing().await;
    other.sync().await;
}

#[tokio::test]
async fn what_is_no_packet_at_all_ends_the_connection() {
    let it = TestServer::start().await;
    let mut other = it.join("bob").await;
    for text in ["", "x", "é", "{}"] {
        let mut client = it.join("alice").await;
        client.send(text).await;
        assert_eq!(client.text().await, None, "{text}");
    }
    other.sync().await;
}

#[tokio::test]
async fn events_without_what_they_need_are_not_acknowledged() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    for text in [
        "[\"heartbeat\"]",
        "[\"heartbeat\",1,2]",
        "[\"usage\",{}]",
        "[\"usage\"]",
        "[\"user-join\",5]",
        "[\"events:chat\",5]",
        "[\"events:chat\",{\"data\":5}]",
        "[\"events:chat\",{\"data\":{\"type\":\"last_read_at\"}}]",
        "[\"events:channel\",{}]",
        "[\"connect\",{}]",
        "[\"disconnect\",\"x\"]",
    ] {
        client.send(&format!("42777{text}")).await;
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn binary_attachments_become_arrays() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    let name = format!("alice:{}:r", client.sid);
    let mut stream = it.server.open_channel(&name);
    client
        .send(&format!(
            "451-[\"{name}\",{{\"bytes\":{{\"_placeholder\":true,\"num\":0}}}}]"
        ))
        .await;
    client
        .socket
        .send(Message::binary(vec![0_u8, 7, 255]))
        .await
        .unwrap();
    assert_eq!(stream.recv().await, Some(json!({ "bytes": [0, 7, 255] })));
    // An attachment that belongs to nothing, a wrong index, and a packet whose attachment never comes.
    client.socket.send(Message::binary(vec![1_u8])).await.unwrap();
    client
        .send(&format!("451-[\"{name}\",{{\"_placeholder\":true,\"num\":5}}]"))
        .await;
    client.socket.send(Message::binary(vec![1_u8])).await.unwrap();
    client
        .send(&format!("451-[\"{name}\",{{\"_placeholder\":true,\"num\":0}}]"))
        .await;
    client.emit(&name, json!("next")).await;
    assert_eq!(stream.recv().await, Some(json!("next")));
}

#[tokio::test]
async fn a_fault_in_the_application_disturbs_nobody() {
    let it = TestServer::start().await;
    let mut other = it.join("bob").await;
    let mut client = it.join("panic").await;
    client
        .send("421000[\"user-join\",{\"auth\":{\"token\":\"panic\"}}]")
        .await;
    let answer = client
        .ask("user-join", json!({ "auth": { "token": "alice" } }))
        .await;
    assert_eq!(answer, json!([{ "id": "alice", "name": "Alice" }]));
    client.hears_nothing().await;
    other.sync().await;
}

#[tokio::test]
async fn an_oversized_message_ends_only_its_connection() {
    let it = TestServer::with(oui_socket::SocketOptions {
        max_payload: 10_000,
        ..Default::default()
    })
    .await;
    let mut other = it.join("bob").await;
    let mut client = it.join("alice").await;
    let _ = client
        .socket
        .send(Message::text(format!("42[\"a\",\"{}\"]", "x".repeat(20_000))))
        .await;
    assert_eq!(client.text().await, None);
    other.sync().await;
}
