//! Asking a browser, and answers that it streams.

use std::time::Duration;

use oui_core::{CallError, Emitter};
use serde_json::json;

use crate::client::TestServer;

const ASK: &str = "events";

#[tokio::test]
async fn a_call_returns_the_answer() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    for (answer, expected) in [
        ("[{\"ok\":true}]", json!({ "ok": true })),
        ("[]", json!(null)),
        ("[1,2]", json!([1, 2])),
    ] {
        let server = it.server.clone();
        let sid = client.sid.clone();
        let call =
            tokio::spawn(async move { server.call("alice", &sid, ASK, &json!({ "q": 1 }), None).await });
        let asked = client.packet().await;
        let id = asked
            .strip_prefix("42")
            .unwrap()
            .strip_suffix("[\"events\",{\"q\":1}]")
            .unwrap();
        client.send(&format!("43{id}{answer}")).await;
        assert_eq!(call.await.unwrap(), Ok(expected));
    }
}

#[tokio::test]
async fn only_the_users_own_session_can_be_called() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    let call = |user: &'static str, sid: String| {
        let server = it.server.clone();
        async move { server.call(user, &sid, ASK, &json!({}), None).await }
    };
    assert_eq!(call("bob", client.sid.clone()).await, Err(CallError::NoSession));
    assert_eq!(call("alice", "unknown".into()).await, Err(CallError::NoSession));
    client.hears_nothing().await;
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    let limit = Some(Duration::from_millis(30));
    let answer = it.server.call("alice", &client.sid, ASK, &json!({}), limit).await;
    assert_eq!(answer, Err(CallError::Timeout));
    // A late answer is ignored.
    client.send("431[1]").await;
    client.sync().await;
}

#[tokio::test]
async fn a_call_ends_with_its_session() {
    let it = TestServer::start().await;
    for leave in ["41", "1"] {
        let mut client = it.join("alice").await;
        let (server, sid) = (it.server.clone(), client.sid.clone());
        let call = tokio::spawn(async move { server.call("alice", &sid, ASK, &json!({}), None).await });
        client.event().await;
        client.send(leave).await;
        assert_eq!(call.await.unwrap(), Err(CallError::Disconnected), "{leave}");
    }
}

#[tokio::test]
async fn calls_are_answered_in_any_order() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let (server, sid) = (it.server.clone(), client.sid.clone());
            tokio::spawn(async move { server.call("alice", &sid, ASK, &json!(n), None).await })
        })
        .collect();
    let mut asked = Vec::new();
    for _ in 0..calls.len() {
        let text = client.packet().await;
        let (id, rest) = text.strip_prefix("42").unwrap().split_once('[').unwrap();
        asked.push((
            id.to_owned(),
            rest.strip_prefix("\"events\",")
                .unwrap()
                .trim_end_matches(']')
                .to_owned(),
        ));
    }
    for (id, number) in asked.iter().rev() {
        client.send(&format!("43{id}[{number}]")).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), Ok(json!(n)));
    }
}

#[tokio::test]
async fn streamed_parts_arrive_in_order() {
    let it = TestServer::start().await;
    let mut client = it.join("alice").await;
    let mut stranger = it.join("bob").await;
    let name = format!("alice:{}:r1", client.sid);
    let mut stream = it.server.open_channel(&name);
    stranger.emit(&name, json!("forged")).await;
    stranger.sync().await;
    for part in 0..500 {
        client.emit(&name, json!({ "part": part })).await;
    }
    client.emit(&name, json!({ "done": true })).await;
    for part in 0..500 {
        assert_eq!(stream.recv().await, Some(json!({ "part": part })));
    }
    assert_eq!(stream.recv().await, Some(json!({ "done": true })));
    drop(stream);
    assert_eq!(client.ask(&name, json!("nobody listens")).await, json!([]));
}
