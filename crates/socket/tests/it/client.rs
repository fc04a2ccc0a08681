//! A server on a free port, and a client that speaks the protocol over a WebSocket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use oui_core::Clock;
use oui_socket::{SocketOptions, SocketServer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::backend::TestBackend;

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestServer {
    pub server: SocketServer,
    pub backend: TestBackend,
    pub clock: Clock,
    pub address: SocketAddr,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(SocketOptions::default()).await
    }

    pub async fn with(options: SocketOptions) -> Self {
        let backend = TestBackend::new();
        let clock = Clock::fixed(1_000_000);
        let server = SocketServer::new(options, clock.clone(), Arc::new(backend.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            server,
            backend,
            clock,
            address,
        }
    }

    /// A connection that has not joined yet.
    pub async fn connect(&self) -> Client {
        let url = format!("ws://{}/ws/socket.io/?EIO=4&transport=websocket", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Client {
            socket,
            sid: String::new(),
            asked: 0,
            events: VecDeque::new(),
        }
    }

    /// A client that has joined with this token.
    pub async fn join(&self, token: &str) -> Client {
        let mut client = self.connect().await;
        client.expect_handshake().await;
        client.enter(&json!({ "token": token })).await;
        client
    }

    /// Waits until something is so; for what happens a moment after its cause.
    pub async fn until(&self, mut so: impl FnMut() -> bool) {
        let waiting = async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("it never became so");
    }
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub sid: String,
    asked: u64,
    /// Texts of events that came while waiting for something else.
    events: VecDeque<String>,
}

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message, whatever it is; `None` at the end of the connection.
    pub async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next());
        next.await.expect("nothing came").and_then(Result::ok)
    }

    /// The next text that is no ping; `None` at the end of the connection.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            match self.message().await? {
                Message::Text(text) if text.as_str() == "2" => self.send("3").await,
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub async fn expect(&mut self, expected: &str) {
        assert_eq!(self.text().await.as_deref(), Some(expected));
    }

    /// Reads the handshake and returns its data.
    pub async fn expect_handshake(&mut self) -> Value {
        let text = self.text().await.unwrap();
        serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap()
    }

    /// Joins the namespace and waits until the token has been looked at.
    pub async fn enter(&mut self, auth: &Value) {
        self.send(&format!("40{auth}")).await;
        let text = self.text().await.unwrap();
        let joined: Value = serde_json::from_str(text.strip_prefix("40").unwrap()).unwrap();
        self.sid = joined["sid"].as_str().unwrap().to_owned();
        self.sync().await;
    }

    pub async fn emit(&mut self, event: &str, payload: Value) {
        self.send(&format!("42{}", json!([event, payload]))).await;
    }

    /// Sends an event and waits for its acknowledgement, keeping events that come before it.
    pub async fn ask(&mut self, event: &str, payload: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&format!("42{id}{}", json!([event, payload]))).await;
        let prefix = format!("43{id}[");
        loop {
            let text = self.text().await.expect("the connection ended");
            match text.strip_prefix(&prefix) {
                Some(rest) => return serde_json::from_str(&format!("[{rest}")).unwrap(),
                None => self.events.push_back(text),
            }
        }
    }

    /// Waits until the server has handled everything sent so far.
    pub async fn sync(&mut self) {
        assert_eq!(self.ask("sync", json!(null)).await, json!([]));
    }

    /// The next event as `[name, payload]`.
    pub async fn event(&mut self) -> Value {
        let text = match self.events.pop_front() {
            Some(text) => text,
            None => self.text().await.expect("the connection ended"),
        };
        let at = text.find('[').unwrap_or_else(|| panic!("no event: {text}"));
        serde_json::from_str(&text[at..]).unwrap()
    }

    /// The next packet as text, also one that came while waiting for something else.
    pub async fn packet(&mut self) -> String {
        match self.events.pop_front() {
            Some(text) => text,
            None => self.text().await.expect("the connection ended"),
        }
    }

    /// Asserts that no event has come that was not looked at.
    pub async fn hears_nothing(&mut self) {
        self.sync().await;
        assert_eq!(self.events, VecDeque::<String>::new());
    }
}
