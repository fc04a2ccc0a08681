//! Makes a fresh server ready for the load: people, chats, one long chat. Uses only what both servers have.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::{Connection, request};

/// The model that answers a fixed text as fast as it can.
pub const FAST_MODEL: &str = "fake-model";
/// The model that says the time every 20 ms.
pub const CLOCK_MODEL: &str = "clock";
const PASSWORD: &str = "bench-password";

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// People, one for each client.
    pub people: usize,
    /// Chats of the first of them.
    pub chats: usize,
    /// Messages of that one's long chat.
    pub messages: usize,
}

impl Extent {
    /// As the measurement wants it.
    pub const FULL: Self = Self {
        people: 16,
        chats: 200,
        messages: 100,
    };
}

/// A server with people and chats on it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    /// Tokens of ordinary users.
    pub tokens: Vec<String>,
    /// Id of the long chat, which belongs to the first of them.
    pub long_chat: String,
}

/// One request with a JSON answer.
///
/// # Errors
/// When the connection breaks or the status is not 200.
pub async fn call(
    connection: &mut Connection,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<Value> {
    let body = body.map(Value::to_string);
    let mut answer = Vec::new();
    let request = request(method, path, token, body.as_deref().map(str::as_bytes));
    let status = connection.exchange(&request, &mut answer).await?;
    ensure!(
        status == 200,
        "{method} {path} was answered {status}: {}",
        String::from_utf8_lossy(&answer)
    );
    serde_json::from_slice(&answer).with_context(|| format!("{method} {path} was not answered by JSON"))
}

impl Site {
    /// Fills a server on which nobody has signed up yet.
    ///
    /// # Errors
    /// When the server refuses anything.
    pub async fn prepare(address: SocketAddr, extent: Extent) -> Result<Self> {
        let mut connection = Connection::open(address).await?;
        let form = json!({ "name": "Admin", "email": "admin@example.org", "password": PASSWORD });
        let admin = call(&mut connection, "POST", "/api/v1/auths/signup", None, Some(&form)).await?;
        let admin = text(&admin, "token")?;
        let mut tokens = Vec::new();
        for number in 0..extent.people.max(1) {
            let form = json!({
                "name": format!("User {number}"), "email": format!("user{number}@example.org"),
                "password": PASSWORD, "role": "user",
            });
            let user = call(
                &mut connection,
                "POST",
                "/api/v1/auths/add",
                Some(&admin),
                Some(&form),
            )
            .await?;
            tokens.push(text(&user, "token")?);
        }
        let mut long_chat = String::new();
        for number in 0..=extent.chats {
            // The long chat comes last, so that it is on the first page.
            let messages = if number == extent.chats {
                extent.messages
            } else {
                2
            };
            let form = json!({ "chat": chat(number, messages) });
            let made = call(
                &mut connection,
                "POST",
                "/api/v1/chats/new",
                Some(&tokens[0]),
                Some(&form),
            )
            .await?;
            long_chat = text(&made, "id")?;
        }
        Ok(Self {
            address,
            tokens,
            long_chat,
        })
    }

    /// A token for the client of that number.
    #[must_use]
    pub fn token(&self, client: usize) -> &str {
        &self.tokens[client % self.tokens.len()]
    }
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name]
        .as_str()
        .with_context(|| format!("an answer without {name}"))?;
    Ok(text.to_owned())
}

/// The document of a chat: questions and answers in turn.
fn chat(number: usize, count: usize) -> Value {
    let id = |index: usize| format!("00000000-0000-4000-8000-{number:04}{index:08}");
    let mut messages = serde_json::Map::new();
    for index in 0..count {
        let children: Vec<String> = (index + 1..count.min(index + 2)).map(id).collect();
        let mut message = json!({
            "id": id(index), "parentId": index.checked_sub(1).map(id), "childrenIds": children,
            "content": "The quick brown fox jumps over the lazy dog. ".repeat(8), "timestamp": 1_700_000_000 + index,
        });
        if index % 2 == 0 {
            message["role"] = json!("user");
            message["models"] = json!([FAST_MODEL]);
        } else {
            message["role"] = json!("assistant");
            message["model"] = json!(FAST_MODEL);
            message["modelName"] = json!(FAST_MODEL);
            message["modelIdx"] = json!(0);
            message["done"] = json!(true);
        }
        messages.insert(id(index), message);
    }
    json!({
        "title": format!("Chat {number}"), "models": [FAST_MODEL], "params": {}, "tags": [], "files": [],
        "timestamp": 1_700_000_000_000_u64 + number as u64,
        "history": { "messages": messages, "currentId": count.checked_sub(1).map(id) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_chat_are_linked_both_ways() {
        let chat = chat(1, 3);
        let messages = chat["history"]["messages"].as_object().unwrap();
        assert_eq!(messages.len(), 3);
        let mut at = chat["history"]["currentId"].as_str().unwrap();
        let mut seen = 1;
        while let Some(parent) = messages[at]["parentId"].as_str() {
            assert_eq!(messages[parent]["childrenIds"], json!([at]));
            at = parent;
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
