//! Saved chats: presence, typing, reading.

use oui_core::{Emitter, Room};
use oui_socket::{ChatAccess, ReadMark};
use serde_json::{Value, json};

use crate::client::{Client, TestServer};

fn chat_event(kind: &str) -> Value {
    json!({ "chat_id": "k", "data": { "type": kind } })
}

fn presence(users: &[&str]) -> Value {
    let users: Vec<Value> = users
        .iter()
        .map(|id| json!({ "id": id, "name": format!("{}{}", id[..1].to_uppercase(), &id[1..]) }))
        .collect();
    let data = json!({ "type": "chat:presence", "data": { "users": users } });
    json!(["events", { "chat_id": "k", "shared": true, "data": data }])
}

async fn two_readers(it: &TestServer) -> (Client, Client) {
    it.backend.allow_chat("alice", "k", ChatAccess::Owner);
    it.backend.allow_chat("bob", "k", ChatAccess::Read);
    let mut alice = it.join("alice").await;
    let mut bob = it.join("bob").await;
    assert_eq!(alice.ask("events:chat", chat_event("join")).await, json!([true]));
    assert_eq!(alice.event().await, presence(&["alice"]));
    assert_eq!(bob.ask("events:chat", chat_event("join")).await, json!([true]));
    assert_eq!(alice.event().await, presence(&["alice", "bob"]));
    assert_eq!(bob.event().await, presence(&["alice", "bob"]));
    (alice, bob)
}

#[tokio::test]
async fn presence_follows_joining_leaving_and_disconnecting() {
    let it = TestServer::start().await;
    let (mut alice, mut bob) = two_readers(&it).await;
    // A second tab of the same user changes nothing in the list.
    let mut tab = it.join("bob").await;
    assert_eq!(tab.ask("events:chat", chat_event("join")).await, json!([true]));
    assert_eq!(alice.event().await, presence(&["alice", "bob"]));
    assert_eq!(bob.ask("events:chat", chat_event("leave")).await, json!([true]));
    assert_eq!(alice.event().await, presence(&["alice", "bob"]));
    drop(tab);
    assert_eq!(alice.event().await, presence(&["alice"]));
    bob.event().await;
    bob.hears_nothing().await;
    assert_eq!(it.server.session_in_chat("alice", "k"), Some(alice.sid.clone()));
    assert_eq!(it.server.session_in_chat("bob", "k"), None);
}

#[tokio::test]
async fn chats_open_only_for_those_who_may_read_them() {
    let it = TestServer::start().await;
    it.backend.allow_chat("carol", "local:k", ChatAccess::Owner);
    let mut carol = it.join("carol").await;
    for id in ["k", "local:k", ""] {
        let join = json!({ "chat_id": id, "data": { "type": "join" } });
        assert_eq!(carol.ask("events:chat", join).await, json!([false]), "{id}");
    }
    assert_eq!(
        carol
            .ask("events:chat", json!({ "data": { "type": "join" } }))
            .await,
        json!([false])
    );
    assert_eq!(carol.ask("events:chat", chat_event("leave")).await, json!([true]));
    assert_eq!(carol.ask("events:chat", chat_event("other")).await, json!([]));
    assert_eq!(carol.ask("events:chat", json!({})).await, json!([]));
    carol.hears_nothing().await;
}

#[tokio::test]
async fn typing_is_shown_to_the_others() {
    let it = TestServer::start().await;
    let (mut alice, mut bob) = two_readers(&it).await;
    let typing =
        |value: Value| json!({ "chat_id": "k", "data": { "type": "typing", "data": { "typing": value } } });
    assert_eq!(alice.ask("events:chat", typing(json!(true))).await, json!([true]));
    let shown = json!({
        "chat_id": "k",
        "user_id": "alice",
        "user": { "id": "alice", "name": "Alice" },
        "shared": true,
        "data": { "type": "typing", "data": { "typing": true } },
    });
    assert_eq!(bob.event().await, json!(["events", shown]));
    // Not for readers, not for people outside, not without a proper value.
    assert_eq!(bob.ask("events:chat", typing(json!(true))).await, json!([false]));
    assert_eq!(
        alice.ask("events:chat", typing(json!("yes"))).await,
        json!([false])
    );
    let mut tab = it.join("alice").await;
    assert_eq!(tab.ask("events:chat", typing(json!(true))).await, json!([false]));
    alice.hears_nothing().await;
    bob.hears_nothing().await;
}

#[tokio::test]
async fn reading_a_chat_is_told_to_all_tabs() {
    let it = TestServer::start().await;
    let mut tabs = [it.join("bob").await, it.join("bob").await];
    assert_eq!(
        tabs[0].ask("events:chat", chat_event("last_read_at")).await,
        json!([])
    );
    tabs[1].hears_nothing().await;
    let counts = Some(vec![("f1".to_owned(), 2), ("f0".to_owned(), 0)]);
    for (folder_unread_counts, expected) in [
        (None, json!({ "chat_id": "k", "last_read_at": 7 })),
        (
            counts,
            json!({ "chat_id": "k", "last_read_at": 7, "folder_unread_counts": { "f1": 2, "f0": 0 } }),
        ),
    ] {
        it.backend.0.lock().read_mark = Some(ReadMark {
            last_read_at: 7,
            folder_unread_counts,
        });
        assert_eq!(
            tabs[0].ask("events:chat", chat_event("last_read_at")).await,
            json!([])
        );
        let told = json!(["events", { "chat_id": "k", "data": { "type": "chat:list", "data": expected } }]);
        assert_eq!(tabs[0].event().await, told);
        assert_eq!(tabs[1].event().await, told);
    }
}

#[tokio::test]
async fn lost_access_leaves_the_chat() {
    let it = TestServer::start().await;
    let (mut alice, mut bob) = two_readers(&it).await;
    it.backend.allow_chat("bob", "k", ChatAccess::None);
    it.server.refresh_chat_access(Some("k")).await;
    let told =
        json!(["events", { "chat_id": "k", "shared": true, "data": { "type": "chat:access", "data": {} } }]);
    // Alice is told to look again, and that bob has gone; in the order of user ids.
    assert_eq!(alice.event().await, told);
    assert_eq!(alice.event().await, presence(&["alice"]));
    assert_eq!(bob.event().await, told);
    assert!(!it.server.has_listeners(&Room::Chat("k".into()), Some(&alice.sid)));
    // Without a chat id owners are not bothered.
    it.server.refresh_chat_access(None).await;
    alice.hears_nothing().await;
    bob.hears_nothing().await;
}
