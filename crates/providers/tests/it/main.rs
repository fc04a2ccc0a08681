//! The crate against real HTTP servers on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside the functions that clippy excuses"
)]

mod blobs;
mod entra;
mod mangled;
mod models;
mod ollama;
mod openai;
mod streams;
mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use oui_core::Clock;
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{
    ByteStream, ChatReply, Connection, Http, HttpOptions, ProviderClient, ProviderError, ProviderKind,
    ProviderSettings, StreamError, Timeouts,
};
use serde_json::Value;
use tokio::net::TcpListener;

/// Seconds that completions are dated with.
pub(crate) const NOW: i64 = 1_700_000_000;

pub(crate) fn http(timeouts: Timeouts) -> Http {
    Http::new(
        HttpOptions {
            timeouts,
            ..HttpOptions::default()
        },
        Clock::fixed(NOW),
    )
    .unwrap()
}

pub(crate) fn client() -> ProviderClient {
    ProviderClient::new(http(Timeouts::default()), Clock::fixed(NOW))
}

/// Patience that keeps tests of silence short.
pub(crate) fn hasty() -> Timeouts {
    let short = Some(Duration::from_millis(1500));
    Timeouts {
        total: short,
        stream_idle: None,
        model_list: short,
        connect: short,
    }
}

pub(crate) fn openai(url: &str, config: Value) -> Connection {
    Connection::adhoc(ProviderKind::OpenAi, url, "sk-secret", Some(&config))
}

pub(crate) fn ollama(url: &str, config: Value) -> Connection {
    Connection::adhoc(ProviderKind::Ollama, url, "", Some(&config))
}

pub(crate) fn settings(values: Value) -> Arc<ProviderSettings> {
    Arc::new(ProviderSettings::read(|key| values.get(key).cloned()))
}

/// A port where nothing listens.
pub(crate) async fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A port that takes connections and never answers, as long as the listener lives.
pub(crate) async fn silent_server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn json(reply: Result<ChatReply, ProviderError>) -> Value {
    match reply.unwrap() {
        ChatReply::Json(value) => value,
        ChatReply::Stream(_) => panic!("a whole answer was expected"),
    }
}

pub(crate) fn stream(reply: Result<ChatReply, ProviderError>) -> oui_providers::UpstreamStream {
    match reply.unwrap() {
        ChatReply::Stream(stream) => stream,
        ChatReply::Json(value) => panic!("a stream was expected, not {value}"),
    }
}

/// All bytes up to the end or the first error.
pub(crate) async fn drain(mut body: ByteStream) -> (Vec<u8>, Option<StreamError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

/// The data of all events.
pub(crate) fn events(bytes: &[u8]) -> Vec<String> {
    let mut parser = SseParser::default();
    parser.feed(bytes);
    parser.finish();
    let mut found = Vec::new();
    while let Some(item) = parser.next_item().unwrap() {
        found.push(match item {
            SseItem::Event(event) => event.data.into_owned(),
            SseItem::Stray(line) => line.into_owned(),
        });
    }
    found
}

/// The body of a response.
pub(crate) async fn body(response: axum::response::Response) -> Bytes {
    axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap()
}
