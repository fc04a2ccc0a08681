//! Channels and notes.

use oui_core::{Emitter, Room};
use serde_json::json;

use crate::client::TestServer;

fn channel(id: &str) -> Room {
    Room::Channel(id.into())
}

#[tokio::test]
async fn members_hear_their_channels() {
    let it = TestServer::start().await;
    it.backend.set_channels("alice", &["c1", "c2"]);
    it.backend.set_channels("bob", &["c1"]);
    let mut alice = it.join("alice").await;
    let mut bob = it.join("bob").await;
    alice
        .ask("user-join", json!({ "auth": { "token": "alice" } }))
        .await;
    assert_eq!(
        bob.ask("join-channels", json!({ "auth": { "token": "bob" } }))
            .await,
        json!([])
    );
    it.server
        .emit(&channel("c1"), "events:channel", &json!("both"), None)
        .await;
    it.server
        .emit(&channel("c2"), "events:channel", &json!("alice"), None)
        .await;
    it.server
        .emit(&channel("c1"), "events:channel", &json!("bob"), Some(&alice.sid))
        .await;
    assert_eq!(alice.event().await, json!(["events:channel", "both"]));
    assert_eq!(alice.event().await, json!(["events:channel", "alice"]));
    assert_eq!(bob.event().await, json!(["events:channel", "both"]));
    assert_eq!(bob.event().await, json!(["events:channel", "bob"]));
    alice.hears_nothing().await;
    bob.hears_nothing().await;
    let users: Vec<String> = it.server.users_in(&channel("c1")).await.into_iter().collect();
    assert_eq!(users, ["alice", "bob"]);
}

#[tokio::test]
async fn joining_with_a_bad_or_foreign_token_hears_nothing() {
    let it = TestServer::start().await;
    it.backend.set_channels("alice", &["c1"]);
    let mut bob = it.join("bob").await;
    for data in [
        json!({ "auth": { "token": "nobody" } }),
        json!({ "auth": { "token": "alice" } }),
        json!({}),
    ] {
        assert_eq!(bob.ask("join-channels", data).await, json!([]));
    }
    assert!(!it.server.has_listeners(&channel("c1"), None));
}

#[tokio::test]
async fn typing_is_shown_to_all_in_the_channel() {
    let it = TestServer::start().await;
    it.backend.set_channels("alice", &["c1"]);
    it.backend.set_channels("bob", &["c1"]);
    let mut alice = it.join("alice").await;
    let mut bob = it.join("bob").await;
    let mut carol = it.join("carol").await;
    for (client, token) in [(&mut alice, "alice"), (&mut bob, "bob"), (&mut carol, "carol")] {
        client
            .ask("join-channels", json!({ "auth": { "token": token } }))
            .await;
    }
    let typing = json!({ "channel_id": "c1", "data": { "type": "typing", "data": { "typing": true } } });
    assert_eq!(alice.ask("events:channel", typing.clone()).await, json!([]));
    let shown = json!(["events:channel", {
        "channel_id": "c1",
        "message_id": null,
        "data": { "type": "typing", "data": { "typing": true } },
        "user": { "id": "alice", "name": "Alice", "role": "admin" },
    }]);
    assert_eq!(alice.event().await, shown);
    assert_eq!(bob.event().await, shown);
    assert_eq!(carol.ask("events:channel", typing).await, json!([]));
    bob.hears_nothing().await;
}

#[tokio::test]
async fn reading_a_channel_is_noted() {
    let it = TestServer::start().await;
    it.backend.set_channels("bob", &["c1"]);
    let mut bob = it.join("bob").await;
    bob.ask("user-join", json!({ "auth": { "token": "bob" } })).await;
    for id in ["c1", "c2"] {
        bob.ask(
            "events:channel",
            json!({ "channel_id": id, "data": { "type": "last_read_at" } }),
        )
        .await;
    }
    assert_eq!(
        it.backend.0.lock().read_channels,
        [("bob".to_owned(), "c1".to_owned())]
    );
}

#[tokio::test]
async fn members_can_be_added_and_removed() {
    let it = TestServer::start().await;
    let mut bob = it.join("bob").await;
    let mut carol = it.join("carol").await;
    it.server
        .enter_room(&channel("c9"), &["bob".into(), "carol".into(), "gone".into()]);
    it.server.leave_room(&channel("c9"), &["carol".into()]);
    it.server
        .emit(&channel("c9"), "events:channel", &json!(1), None)
        .await;
    assert_eq!(bob.event().await, json!(["events:channel", 1]));
    carol.hears_nothing().await;
}

#[tokio::test]
async fn readers_hear_their_note() {
    let it = TestServer::start().await;
    it.backend.0.lock().notes.insert(("bob".into(), "n1".into()));
    let mut bob = it.join("bob").await;
    let mut carol = it.join("carol").await;
    for (client, token) in [(&mut bob, "bob"), (&mut carol, "carol")] {
        client
            .ask(
                "join-note",
                json!({ "auth": { "token": token }, "note_id": "n1" }),
            )
            .await;
    }
    it.server
        .emit(
            &Room::Note("n1".into()),
            "events:note",
            &json!({ "id": "n1" }),
            None,
        )
        .await;
    assert_eq!(bob.event().await, json!(["events:note", { "id": "n1" }]));
    carol.hears_nothing().await;
}
