//! Long polling.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use oui_core::{Clock, Emitter, Room};
use oui_socket::{SocketOptions, SocketServer};
use serde_json::json;
use tower::ServiceExt;

use crate::backend::TestBackend;

struct Poller {
    server: SocketServer,
    router: Router,
    uri: String,
}

impl Poller {
    /// A connection whose handshake has been read.
    async fn open(options: SocketOptions) -> Self {
        let options = SocketOptions {
            websocket: false,
            ..options
        };
        let server = SocketServer::new(options, Clock::fixed(0), Arc::new(TestBackend::new()));
        let uri = "/ws/socket.io/?EIO=4&transport=polling".to_owned();
        let mut poller = Self {
            router: server.router(),
            server,
            uri,
        };
        let (status, handshake) = poller.get().await;
        assert_eq!(status, 200);
        let handshake: serde_json::Value =
            serde_json::from_str(handshake.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(handshake["upgrades"], json!([]));
        poller.uri = format!("{}&sid={}", poller.uri, handshake["sid"].as_str().unwrap());
        poller
    }

    async fn request(&self, method: Method, body: Body) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(&self.uri)
            .body(body)
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self) -> (u16, String) {
        self.request(Method::GET, Body::empty()).await
    }

    async fn post(&self, body: &str) -> (u16, String) {
        self.request(Method::POST, Body::from(body.to_owned())).await
    }

    /// Joins and returns the session id.
    async fn join(&self, token: &str) -> String {
        self.post(&format!("40{}", json!({ "token": token }))).await;
        let (_, joined) = self.get().await;
        let joined: serde_json::Value = serde_json::from_str(joined.strip_prefix("40").unwrap()).unwrap();
        joined["sid"].as_str().unwrap().to_owned()
    }

    /// Polls until this many packets have come.
    async fn packets(&self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let (status, body) = self.get().await;
            assert_eq!(status, 200, "{body}");
            packets.extend(body.split('\u{1e}').map(str::to_owned));
        }
        packets
    }
}

#[tokio::test]
async fn packets_travel_both_ways() {
    let poller = Poller::open(SocketOptions::default()).await;
    poller.join("alice").await;
    let posted = poller.post(
        "421[\"sync\",1]\u{1e}422[\"heartbeat\",{}]\u{1e}423[\"user-join\",{\"auth\":{\"token\":\"alice\"}}]",
    );
    assert_eq!(posted.await, (200, "OK".into()));
    assert_eq!(
        poller.packets(3).await,
        ["431[]", "432[]", "433[{\"id\":\"alice\",\"name\":\"Alice\"}]"]
    );
    poller
        .server
        .emit(&Room::User("alice".into()), "events", &json!("ü"), None)
        .await;
    assert_eq!(poller.get().await, (200, "42[\"events\",\"ü\"]".into()));
    // Malformed and empty bodies are accepted and ignored.
    for body in ["x", "", "42[", "\u{1e}\u{1e}"] {
        assert_eq!(poller.post(body).await, (200, "OK".into()), "{body}");
    }
    poller.post("424[\"sync\"]").await;
    assert_eq!(poller.packets(1).await, ["434[]"]);
}

#[tokio::test]
async fn a_call_over_polling() {
    let poller = Poller::open(SocketOptions::default()).await;
    let sid = poller.join("alice").await;
    poller.post("421[\"sync\"]").await;
    poller.packets(1).await;
    let server = poller.server.clone();
    let call = tokio::spawn(async move { server.call("alice", &sid, "events", &json!({}), None).await });
    assert_eq!(poller.packets(1).await, ["421[\"events\",{}]"]);
    poller.post("431[{\"ok\":1}]").await;
    assert_eq!(call.await.unwrap(), Ok(json!({ "ok": 1 })));
}

#[tokio::test]
async fn attachments_come_as_base64() {
    let poller = Poller::open(SocketOptions::default()).await;
    let sid = poller.join("alice").await;
    let name = format!("alice:{sid}:r");
    let mut stream = poller.server.open_channel(&name);
    poller
        .post(&format!(
            "451-[\"{name}\",{{\"_placeholder\":true,\"num\":0}}]\u{1e}bAQID"
        ))
        .await;
    assert_eq!(stream.recv().await, Some(json!([1, 2, 3])));
}

#[tokio::test]
async fn the_end_of_a_connection() {
    let poller = Poller::open(SocketOptions::default()).await;
    poller.join("alice").await;
    poller.post("421[\"sync\"]").await;
    poller.packets(1).await;
    assert_eq!(poller.server.active_users(), 1);
    assert_eq!(poller.post("1").await, (200, "OK".into()));
    while poller.server.active_users() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(poller.get().await.0, 400);
}

#[tokio::test]
async fn a_body_that_is_too_large_ends_the_connection() {
    let poller = Poller::open(SocketOptions {
        max_payload: 1000,
        ..SocketOptions::default()
    })
    .await;
    assert_eq!(
        poller.post(&"x".repeat(1001)).await,
        (400, "\"Bad Request\"".into())
    );
    assert_eq!(poller.post("40").await.0, 400);
}

#[tokio::test]
async fn a_client_that_does_not_come_back_is_dropped() {
    let short = Duration::from_millis(20);
    let options = SocketOptions {
        ping_interval: short,
        ping_timeout: short,
        ..SocketOptions::default()
    };
    let poller = Poller::open(options).await;
    poller.post(&format!("40{}", json!({ "token": "alice" }))).await;
    let gone = async {
        while poller.post("6").await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the connection is never dropped");
    assert_eq!(poller.server.sessions_of("alice"), Vec::<String>::new());
}

#[tokio::test]
async fn stopping_ends_a_waiting_poll() {
    let poller = Poller::open(SocketOptions::default()).await;
    poller.join("alice").await;
    let (polled, ()) = tokio::join!(poller.get(), poller.server.close());
    assert_eq!(polled, (200, "1".into()));
    let again = Poller {
        uri: "/ws/socket.io/?EIO=4".into(),
        router: poller.router,
        server: poller.server,
    };
    assert_eq!(again.get().await.0, 503);
}
