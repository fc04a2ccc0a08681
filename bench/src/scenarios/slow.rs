//! Very many replies at a time, each word 20 ms after the other: how late the words are, and how much memory the
//! server takes meanwhile. The provider says the time at which it sends each word.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use oui_core::Clock;
use tokio::task::JoinSet;

use super::sse;
use crate::http::Connection;
use crate::load::Effort;
use crate::site::{CLOCK_MODEL, Site};
use crate::tab::{Chats, Events, Heard, Tab};

/// Digits of a time in microseconds since 1970.
const DIGITS: usize = 16;

/// How long every word was on its way.
pub type Delays = Vec<Duration>;

/// The time in a piece, which stands behind `mark`.
fn sent_at(bytes: &[u8], mark: &[u8]) -> Option<i64> {
    let at = memmem::find(bytes, mark)? + mark.len();
    let digits = bytes.get(at..)?.trim_ascii_start().get(..DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn now(clock: &Clock) -> i64 {
    clock.nanos() / 1000
}

fn since(sent: i64, clock: &Clock) -> Duration {
    Duration::from_micros(u64::try_from(now(clock) - sent).unwrap_or(0))
}

const QUESTION: &str = "What time is it?";

/// Streams of API clients, all at once, through a server or from the provider.
///
/// # Errors
/// When a stream is refused or words are missing.
pub async fn sse(address: SocketAddr, path: &str, tokens: &[String], effort: &Effort) -> Result<Delays> {
    let mut streams = JoinSet::new();
    for number in 0..effort.streams {
        let token = tokens.get(number % tokens.len().max(1)).map(String::as_str);
        let request = sse::chat(path, token, CLOCK_MODEL, QUESTION);
        let words = effort.words;
        streams.spawn(async move {
            let mut connection = Connection::open(address).await?;
            read(&mut connection, &request, words).await
        });
    }
    join(streams).await
}

async fn read(connection: &mut Connection, request: &[u8], words: usize) -> Result<Delays> {
    let clock = Clock::system();
    let status = connection.send(request).await?;
    ensure!(status == 200, "a stream was refused: {status}");
    let mut delays = Vec::with_capacity(words);
    let mut text: Vec<u8> = Vec::new();
    while let Some(piece) = connection.piece().await? {
        text.extend_from_slice(&piece);
        while let Some(end) = memmem::find(&text, b"\n\n") {
            if let Some(sent) = sent_at(&text[..end], b"\"content\":\"") {
                delays.push(since(sent, &clock));
            }
            text.drain(..end + 2);
        }
    }
    ensure!(
        delays.len() == words,
        "{} words of {words}, then {}",
        delays.len(),
        String::from_utf8_lossy(&text)
    );
    Ok(delays)
}

/// Chats of the web client, all at once, in as many tabs as there are clients.
///
/// # Errors
/// When a chat is refused or words are missing.
pub async fn web(site: &Site, effort: &Effort) -> Result<Delays> {
    let mut streams = JoinSet::new();
    for number in 0..effort.clients {
        let chats = effort.streams / effort.clients;
        let (events, begin) = Tab::open(site.address, site.token(number)).await?.into_parts();
        streams.spawn(listen(events, chats, effort.words));
        streams.spawn(begin_all(begin, chats));
    }
    join(streams).await
}

async fn begin_all(mut tab: Chats, chats: usize) -> Result<Delays> {
    for _ in 0..chats {
        tab.start(CLOCK_MODEL, QUESTION).await?;
    }
    Ok(Vec::new())
}

async fn listen(mut events: Events, chats: usize, words: usize) -> Result<Delays> {
    let clock = Clock::system();
    let mut delays = Vec::with_capacity(chats * words);
    let mut ended = 0;
    while ended < chats {
        match events.next().await? {
            Heard::Piece(text) => {
                let sent = sent_at(text.as_bytes(), b"\"delta\":\"").context("a piece without a time")?;
                delays.push(since(sent, &clock));
            }
            Heard::Idle => ended += 1,
            Heard::Other => {}
        }
    }
    ensure!(
        delays.len() == chats * words,
        "{} words of {}",
        delays.len(),
        chats * words
    );
    Ok(delays)
}

async fn join(mut streams: JoinSet<Result<Delays>>) -> Result<Delays> {
    let mut all = Vec::new();
    while let Some(done) = streams.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_behind_its_mark() {
        let piece = br#"{"delta":{"content":" 1700000000123456"}}"#;
        assert_eq!(sent_at(piece, b"\"content\":\""), Some(1_700_000_000_123_456));
        assert_eq!(sent_at(piece, b"\"delta\":\""), None);
        assert_eq!(sent_at(b"\"content\":\"17", b"\"content\":\""), None);
    }
}
