//! What time does: stale uses of models and silent sessions.

use std::time::Duration;

use oui_core::{CallError, Emitter, Room};
use oui_socket::{ChatAccess, SocketOptions};
use serde_json::json;

use crate::client::TestServer;

#[tokio::test(start_paused = true)]
async fn a_model_is_in_use_for_three_seconds() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    client.ask("usage", json!({ "model": "m1" })).await;
    client.ask("usage", json!({ "model": "m2" })).await;
    it.clock.advance(3);
    client.ask("usage", json!({ "model": "m2" })).await;
    assert_eq!(it.server.usage_models(), ["m1", "m2"]);
    it.clock.advance(1);
    it.until(|| it.server.usage_models() == ["m2"]).await;
    it.clock.advance(3);
    it.until(|| it.server.usage_models().is_empty()).await;
    // The loop rests now, and begins again with the next use.
    client.ask("usage", json!({ "model": "m3" })).await;
    assert_eq!(it.server.usage_models(), ["m3"]);
    it.clock.advance(4);
    it.until(|| it.server.usage_models().is_empty()).await;
}

#[tokio::test]
async fn the_uses_of_a_session_end_with_it() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    client.ask("usage", json!({ "model": "m1" })).await;
    assert_eq!(it.server.usage_models(), ["m1"]);
    client.send("41").await;
    it.until(|| it.server.usage_models().is_empty()).await;
}

#[tokio::test]
async fn a_silent_session_is_dropped_and_comes_back() {
    let options = SocketOptions {
        revalidation_interval: Duration::from_millis(10),
        ..SocketOptions::default()
    };
    let it = TestServer::with(options).await;
    it.backend.allow_chat("alice", "k", ChatAccess::Owner);
    it.backend.allow_chat("bob", "k", ChatAccess::Owner);
    let join = json!({ "chat_id": "k", "data": { "type": "join" } });
    let mut alice = it.join("alice").await;
    let mut bob = it.join("bob").await;
    alice.ask("events:chat", join.clone()).await;
    bob.ask("events:chat", join).await;
    alice.event().await;
    alice.event().await;

    let (server, sid) = (it.server.clone(), bob.sid.clone());
    let call = tokio::spawn(async move { server.call("bob", &sid, "ask", &json!({}), None).await });
    bob.event().await;
    bob.event().await;

    it.clock.advance(100);
    alice.ask("heartbeat", json!({})).await;
    it.clock.advance(21);
    let left = alice.event().await;
    assert_eq!(
        left[1]["data"]["data"]["users"],
        json!([{ "id": "alice", "name": "Alice" }])
    );
    assert_eq!(it.server.session_user(&bob.sid), None);
    assert_eq!(call.await.unwrap(), Err(CallError::Disconnected));
    assert!(!it.server.has_listeners(&Room::Chat("k".into()), Some(&alice.sid)));
    assert!(
        it.server.has_listeners(&Room::User("bob".into()), None),
        "the connection stays"
    );

    bob.ask("heartbeat", json!({})).await;
    assert_eq!(it.server.session_user(&bob.sid).as_deref(), Some("bob"));
    assert_eq!(it.server.session_in_chat("bob", "k"), None);
    assert_eq!(it.backend.0.lock().heartbeats, ["alice", "bob"]);
}
