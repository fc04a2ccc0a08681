//! Documents that several sessions edit at once.

use serde_json::{Value, json};

use crate::client::{Client, TestServer};

/// Yjs: the first client inserts `hi` into the text `t`.
const UPDATE: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];

fn note(id: &str) -> Value {
    json!({ "document_id": id })
}

fn change(extra: Value) -> Value {
    let mut data = json!({ "document_id": "note:n", "user_id": "me", "update": UPDATE });
    data.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    data
}

async fn editor(it: &TestServer, id: &str, may_write: bool) -> Client {
    {
        let mut state = it.backend.0.lock();
        state.notes.insert((id.into(), "n".into()));
        if may_write {
            state.writable_notes.insert((id.into(), "n".into()));
        }
    }
    it.join(id).await
}

async fn open(client: &mut Client) -> Value {
    assert_eq!(client.ask("ydoc:document:join", note("note:n")).await, json!([]));
    client.event().await
}

#[tokio::test]
async fn changes_reach_the_others_and_are_saved() {
    let it = TestServer::start().await;
    let mut alice = editor(&it, "alice", true).await;
    let mut bob = editor(&it, "bob", true).await;
    let empty = json!(["ydoc:document:state",
        {"document_id": "note:n", "state": [0, 0], "content": {"md": "text of n"}}]);
    assert_eq!(open(&mut alice).await, empty);
    // Both spellings of the id are one document.
    let who = json!({"document_id": "note_n", "user_id": "b", "user_name": "Bob", "user_color": "#fff"});
    bob.ask("ydoc:document:join", who).await;
    assert_eq!(bob.event().await, empty);
    let joined = json!(["ydoc:user:joined",
        {"document_id": "note:n", "user_id": "b", "user_name": "Bob", "user_color": "#fff"}]);
    assert_eq!(alice.event().await, joined);

    let first = change(json!({"initialize": true, "data": {"content": {"md": "hi"}}}));
    assert_eq!(
        alice.ask("ydoc:document:update", first.clone()).await,
        json!([UPDATE])
    );
    let told = json!(["ydoc:document:update",
        {"document_id": "note:n", "user_id": "me", "update": UPDATE, "socket_id": alice.sid}]);
    assert_eq!(bob.event().await, told);
    // The second who begins gets what is there, and changes nothing.
    assert_eq!(bob.ask("ydoc:document:update", first).await, json!([UPDATE]));
    alice.hears_nothing().await;

    bob.ask("ydoc:document:state", note("note:n")).await;
    let state = bob.event().await;
    assert_eq!(
        (&state[0], &state[1]["state"]),
        (&json!("ydoc:document:state"), &json!(UPDATE))
    );
    assert_eq!(state[1]["sessions"].as_array().unwrap().len(), 2);

    alice
        .ask(
            "ydoc:awareness:update",
            json!({"document_id": "note:n", "update": [7]}),
        )
        .await;
    let cursor =
        json!(["ydoc:awareness:update", {"document_id": "note:n", "user_id": "alice", "update": [7]}]);
    assert_eq!(bob.event().await, cursor);

    // The same change again, with what the text is now.
    let text = change(json!({"data": {"content": {"md": "hi"}}}));
    assert_eq!(alice.ask("ydoc:document:update", text).await, json!([]));
    assert_eq!(bob.event().await, told);
    it.until(|| !it.backend.0.lock().saved_notes.is_empty()).await;
    let saved = (
        "alice".to_owned(),
        "n".to_owned(),
        json!({"content": {"md": "hi"}}),
    );
    assert_eq!(it.backend.0.lock().saved_notes, [saved]);

    assert_eq!(alice.ask("ydoc:document:leave", note("note:n")).await, json!([]));
    assert_eq!(
        bob.event().await,
        json!(["ydoc:user:left", {"document_id": "note:n", "user_id": "alice"}])
    );
    drop(bob);
    // Nobody has it open any more: it begins anew.
    loop {
        let state = open(&mut alice).await;
        if state[1]["state"] == json!([0, 0]) {
            break;
        }
        alice.ask("ydoc:document:leave", note("note:n")).await;
    }
}

#[tokio::test]
async fn only_those_who_may_change_a_note() {
    let it = TestServer::start().await;
    let mut carol = it.join("carol").await;
    assert_eq!(carol.ask("ydoc:document:join", note("note:n")).await, json!([]));
    carol.hears_nothing().await;
    let mut bob = editor(&it, "bob", false).await;
    open(&mut bob).await;
    let mut alice = editor(&it, "alice", true).await;
    // She has not opened it.
    assert_eq!(
        alice.ask("ydoc:document:update", change(json!({}))).await,
        json!([])
    );
    open(&mut alice).await;
    bob.event().await;
    let first = change(json!({"initialize": true, "data": {"content": {"md": "no"}}}));
    assert_eq!(bob.ask("ydoc:document:update", first).await, json!([]));
    let foreign = change(json!({"data": {"files": ["foreign"]}}));
    alice.ask("ydoc:document:update", foreign).await;
    let refusal = json!(["error", {"message": "Cannot attach files you cannot access"}]);
    assert_eq!(alice.event().await, refusal);
    for broken in [json!([1, 2, 3, 255]), json!(["x"]), json!("text"), json!([256])] {
        let update = change(json!({"update": broken, "initialize": true}));
        assert_eq!(alice.ask("ydoc:document:update", update).await, json!([]));
    }
    bob.hears_nothing().await;
    assert!(it.backend.0.lock().saved_notes.is_empty());
}

#[tokio::test]
async fn a_session_has_a_limited_number_of_documents_open() {
    let it = TestServer::start().await;
    let mut alice = it.join("alice").await;
    for number in 0..20 {
        alice.ask("ydoc:document:join", note(&format!("d{number}"))).await;
        assert_eq!(alice.event().await[1]["content"], Value::Null);
    }
    alice.ask("ydoc:document:join", note("one too many")).await;
    alice.hears_nothing().await;
    assert_eq!(alice.ask("ydoc:document:join", json!({})).await, json!([]));
}
