//! A browser tab of the web client: a Socket.IO connection that hears events, and an HTTP connection that starts
//! chats. Events are told apart by looking for a few words; parsing them all would cost more than sending them.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use memchr::memmem;
use oui_core::ids;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::http::{Connection, request};

/// What an event is about, as far as the load cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A piece of a reply.
    Piece(Utf8Bytes),
    /// The reply is whole and saved.
    Idle,
    /// Anything else.
    Other,
}

/// One tab.
#[derive(Debug)]
pub struct Tab {
    socket: Events,
    chats: Chats,
}

/// The tab's ear.
#[derive(Debug)]
pub struct Events(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The tab's mouth.
#[derive(Debug)]
pub struct Chats {
    connection: Connection,
    token: String,
    session_id: String,
}

impl Tab {
    /// Opens the tab of the token's owner and joins.
    ///
    /// # Errors
    /// When the server does not speak as it should.
    pub async fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let url = format!("ws://{address}/ws/socket.io/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default();
        let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(config), true).await?;
        let mut socket = Events(socket);
        socket.text().await?.strip_prefix('0').context("no handshake")?;
        let auth = json!({ "token": token });
        socket.send(format!("40{auth}")).await?;
        let joined = socket.text().await?;
        let joined: Value = serde_json::from_str(joined.strip_prefix("40").context("not let in")?)?;
        let session_id = joined["sid"].as_str().context("no session id")?.to_owned();
        let join = json!(["user-join", { "auth": auth }]);
        socket.send(format!("420{join}")).await?;
        while !socket.text().await?.starts_with("430") {}
        Ok(Self {
            socket,
            chats: Chats {
                connection: Connection::open(address).await?,
                token: token.to_owned(),
                session_id,
            },
        })
    }

    /// Ear and mouth, for use at the same time.
    pub fn split(&mut self) -> (&mut Events, &mut Chats) {
        (&mut self.socket, &mut self.chats)
    }

    /// Ear and mouth, for different tasks.
    #[must_use]
    pub fn into_parts(self) -> (Events, Chats) {
        (self.socket, self.chats)
    }
}

impl Events {
    async fn send(&mut self, text: String) -> Result<()> {
        Ok(self.0.send(Message::Text(text.into())).await?)
    }

    /// The next packet, heartbeats answered.
    async fn text(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the socket was closed")?? {
                Message::Text(text) if text.as_str() == "2" => self.send("3".to_owned()).await?,
                Message::Text(text) => return Ok(text),
                Message::Close(_) => bail!("the server closed the socket"),
                _ => {}
            }
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// When the socket is closed, or the event tells of a failed reply.
    pub async fn next(&mut self) -> Result<Heard> {
        let text = self.text().await?;
        let has = |words: &[u8]| memmem::find(text.as_bytes(), words).is_some();
        if has(br#""response.output_text.delta""#) {
            return Ok(Heard::Piece(text));
        }
        if has(br#""chat:message:error""#) {
            bail!("a reply failed: {text}");
        }
        if has(br#""chat:active""#) && has(br#""active":false"#) {
            return Ok(Heard::Idle);
        }
        Ok(Heard::Other)
    }
}

impl Chats {
    /// Asks a question in a new chat. The answer is the chat's id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn start(&mut self, model: &str, question: &str) -> Result<String> {
        let (question_id, answer_id) = (ids::uuid(), ids::uuid());
        let body = json!({
            "stream": true, "model": model, "params": {}, "tool_servers": [],
            "features": { "voice": false, "image_generation": false, "code_interpreter": false, "web_search": false },
            "variables": { "{{USER_NAME}}": "User", "{{USER_LANGUAGE}}": "en-US" },
            "session_id": self.session_id, "id": answer_id, "parent_id": null,
            "message_ids": [{ "model_id": model, "message_id": answer_id, "modelIdx": 0 }],
            "user_message": {
                "id": question_id, "parentId": null, "childrenIds": [answer_id], "role": "user",
                "content": question, "timestamp": 1_700_000_000, "models": [model],
            },
            "background_tasks": {},
        });
        let bytes = request(
            "POST",
            "/api/chat/completions",
            Some(&self.token),
            Some(body.to_string().as_bytes()),
        );
        let mut answer = Vec::new();
        let status = self.connection.exchange(&bytes, &mut answer).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        match answer["chat_id"].as_str() {
            Some(id) if status == 200 => Ok(id.to_owned()),
            _ => bail!("a chat was not begun: {status} {answer}"),
        }
    }
}
