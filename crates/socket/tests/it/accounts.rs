//! Signing in, staying signed in, being thrown out.

use std::time::Duration;

use oui_core::{Emitter, Room};
use oui_socket::SocketOptions;
use serde_json::json;

use crate::client::TestServer;

fn user_room(id: &str) -> Room {
    Room::User(id.into())
}

#[tokio::test]
async fn a_good_token_signs_in() {
    let it = TestServer::start().await;
    let mut client = it.connect().await;
    let handshake = client.expect_handshake().await;
    assert_eq!(
        (
            &handshake["upgrades"],
            &handshake["pingInterval"],
            &handshake["pingTimeout"],
            &handshake["maxPayload"]
        ),
        (&json!([]), &json!(25000), &json!(20000), &json!(16_777_216))
    );
    client.enter(&json!({ "token": "alice" })).await;
    assert_eq!(it.server.sessions_of("alice"), [client.sid.clone()]);
    assert_eq!(it.server.session_user(&client.sid).as_deref(), Some("alice"));
    assert_eq!(it.server.active_users(), 1);
    it.server
        .emit(&user_room("alice"), "events", &json!({ "x": 1 }), None)
        .await;
    assert_eq!(client.event().await, json!(["events", { "x": 1 }]));
}

#[tokio::test]
async fn a_bad_token_stays_connected_and_unheard() {
    let it = TestServer::start().await;
    for auth in [
        json!({ "token": "nobody" }),
        json!({}),
        json!({ "token": 5 }),
        json!("alice"),
        json!(null),
    ] {
        let mut client = it.connect().await;
        client.expect_handshake().await;
        client.enter(&auth).await;
        assert_eq!(
            client
                .ask("user-join", json!({ "auth": { "token": "nobody" } }))
                .await,
            json!([])
        );
        it.server
            .emit(&user_room("alice"), "events", &json!({}), None)
            .await;
        client.hears_nothing().await;
        assert_eq!(it.server.session_user(&client.sid), None);
    }
    assert_eq!(it.server.active_users(), 0);
}

#[tokio::test]
async fn an_event_for_members_ends_a_session_that_is_not_signed_in() {
    let it = TestServer::start().await;
    let mut client = it.join("nobody").await;
    client.send("427[\"heartbeat\",{}]").await;
    client.expect("41").await;
    client.expect("437[]").await;
    // The connection goes on, and may join again.
    let former = client.sid.clone();
    client.enter(&json!({ "token": "alice" })).await;
    assert_ne!(client.sid, former);
    assert_eq!(it.server.sessions_of("alice"), [client.sid.clone()]);
}

#[tokio::test]
async fn user_join_signs_in_late() {
    let it = TestServer::start().await;
    let mut client = it.join("").await;
    let auth = json!({ "auth": { "token": "bob" } });
    assert_eq!(
        client.ask("user-join", auth).await,
        json!([{ "id": "bob", "name": "Bob" }])
    );
    it.server.emit(&user_room("bob"), "events", &json!(1), None).await;
    assert_eq!(client.event().await, json!(["events", 1]));
    assert_eq!(client.ask("user-join", json!({})).await, json!([]));
}

#[tokio::test]
async fn another_user_on_the_same_session_keeps_nothing_of_the_former() {
    let it = TestServer::start().await;
    it.backend.set_channels("alice", &["c1"]);
    let mut client = it.join("alice").await;
    client
        .ask("user-join", json!({ "auth": { "token": "alice" } }))
        .await;
    assert!(it.server.has_listeners(&Room::Channel("c1".into()), None));
    client
        .ask("user-join", json!({ "auth": { "token": "bob" } }))
        .await;
    assert!(!it.server.has_listeners(&user_room("alice"), None));
    assert!(!it.server.has_listeners(&Room::Channel("c1".into()), None));
    assert_eq!(it.server.session_user(&client.sid).as_deref(), Some("bob"));
}

#[tokio::test]
async fn a_token_that_fails_later_ends_the_session_at_its_next_event() {
    let it = TestServer::start().await;
    let mut client = it.join("bob").await;
    assert_eq!(client.ask("heartbeat", json!({})).await, json!([]));
    it.backend.remove_user("bob");
    client.emit("heartbeat", json!({})).await;
    client.expect("41").await;
    assert_eq!(it.server.sessions_of("bob"), Vec::<String>::new());
    assert_eq!(it.backend.0.lock().heartbeats, ["bob"]);
}

#[tokio::test]
async fn a_token_that_fails_later_ends_a_silent_session_too() {
    let options = SocketOptions {
        revalidation_interval: Duration::from_millis(10),
        ..SocketOptions::default()
    };
    let it = TestServer::with(options).await;
    let mut listening = it.join("").await;
    listening
        .ask("join-channels", json!({ "auth": { "token": "bob" } }))
        .await;
    let mut signed_in = it.join("bob").await;
    let mut other = it.join("alice").await;
    it.backend.remove_user("bob");
    listening.expect("41").await;
    signed_in.expect("41").await;
    other.hears_nothing().await;
}

#[tokio::test]
async fn a_user_can_be_thrown_out() {
    let it = TestServer::start().await;
    let mut tabs = [it.join("bob").await, it.join("bob").await];
    let mut other = it.join("alice").await;
    it.server.disconnect_user("bob", true).await;
    for tab in &mut tabs {
        tab.expect("42[\"access:updated\",{}]").await;
        tab.expect("41").await;
    }
    other.hears_nothing().await;
    let mut tab = it.join("bob").await;
    it.server.disconnect_user("bob", false).await;
    tab.expect("41").await;
}

#[tokio::test]
async fn a_connection_joins_the_default_namespace_once() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    client.send("40").await;
    client.expect("44\"Unable to connect\"").await;
    client.send("40/foo,").await;
    client.expect("44/foo,\"Unable to connect\"").await;
    client.send("421/foo,[\"sync\"]").await;
    client.send("41/foo").await;
    client.hears_nothing().await;
    client.send("41").await;
    client.send("422[\"sync\"]").await;
    client.enter(&json!({ "token": "alice" })).await;
    client.hears_nothing().await;
}
