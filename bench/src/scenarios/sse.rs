//! Streamed chats of API clients: a reply of 50 words as fast as it comes, through a server or from the provider
//! itself.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http::{Connection, request};
use crate::load::{Client, Effort, Outcome, Sample, drive};
use crate::site::FAST_MODEL;

/// Path of the provider's own completions.
pub const PROVIDER_PATH: &str = "/v1/chat/completions";
/// Path of a server's.
pub const SERVER_PATH: &str = "/api/chat/completions";

/// The request for a streamed chat.
#[must_use]
pub fn chat(path: &str, token: Option<&str>, model: &str, question: &str) -> Vec<u8> {
    let body = json!({
        "model": model, "stream": true, "messages": [{ "role": "user", "content": question }],
    });
    request("POST", path, token, Some(body.to_string().as_bytes()))
}

struct Caller {
    connection: Connection,
    request: Vec<u8>,
    body: Vec<u8>,
    words: usize,
}

impl Client for Caller {
    async fn once(&mut self) -> Result<Sample> {
        let started = Instant::now();
        self.body.clear();
        let status = self.connection.send(&self.request).await?;
        let mut first = None;
        while let Some(piece) = self.connection.piece().await? {
            first.get_or_insert_with(|| started.elapsed());
            self.body.extend_from_slice(&piece);
        }
        let whole = started.elapsed();
        let words = words(&self.body);
        ensure!(
            status == 200 && words == self.words && memchr::memmem::find(&self.body, b"[DONE]").is_some(),
            "{status}, {words} words of {}: {}",
            self.words,
            String::from_utf8_lossy(&self.body)
        );
        Ok(Sample {
            first: first.unwrap_or(whole),
            whole,
        })
    }
}

/// How many events of a stream carry a word; the first one carries an empty text. The stream is the provider's,
/// whose JSON has no spaces.
fn words(body: &[u8]) -> usize {
    let mark = b"\"content\":\"";
    memchr::memmem::find_iter(body, mark)
        .filter(|at| body.get(at + mark.len()) != Some(&b'"'))
        .count()
}

/// Chats of `words` words, by all clients at once.
///
/// # Errors
/// When a reply is refused, cut off or of another length.
pub async fn run(
    address: SocketAddr,
    path: &str,
    tokens: &[String],
    words: usize,
    effort: &Effort,
) -> Result<Outcome> {
    let mut callers = Vec::new();
    for number in 0..effort.clients {
        let token = tokens.get(number % tokens.len().max(1)).map(String::as_str);
        callers.push(Caller {
            connection: Connection::open(address).await?,
            request: chat(path, token, FAST_MODEL, "Tell me something."),
            body: Vec::new(),
            words,
        });
    }
    drive(callers, effort).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_with_a_word_are_counted() {
        let body = b"data: {\"delta\":{\"content\":\"\"}}\n\ndata: {\"delta\":{\"content\":\"b\"}}\n\ndata: [DONE]\n\n";
        assert_eq!(words(body), 1);
    }
}
