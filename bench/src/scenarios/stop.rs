//! SIGTERM while replies are being written: how long the server takes to end, and whether what had arrived is there
//! when it starts again.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use crate::http::Connection;
use crate::process::{Program, Server};
use crate::report::Figures;
use crate::site::{CLOCK_MODEL, Site, call};
use crate::tab::{Heard, Tab};

/// Replies in flight when the signal comes.
const CHATS: usize = 100;
/// Words of each that have arrived before, on average; of every one at least one.
const HEARD: usize = 10;

/// Begins chats, stops the server in the middle, starts it again and looks for the words. The answer is the new
/// server.
///
/// # Errors
/// When the server does not end well, or a reply has lost what its tab had seen.
pub async fn run(
    server: Server,
    program: &Program,
    data: &Path,
    site: &Site,
    figures: &mut Figures,
) -> Result<Server> {
    let (mut events, mut tab) = Tab::open(site.address, site.token(0)).await?.into_parts();
    let listening = tokio::spawn(async move {
        let mut heard = 0;
        let mut begun = HashSet::new();
        while heard < CHATS * HEARD || begun.len() < CHATS {
            if let Heard::Piece(event) = events.next().await? {
                heard += 1;
                begun.insert(chat_of(&event).context("a piece of no chat")?.to_owned());
            }
        }
        anyhow::Ok(events)
    });
    let mut chats = Vec::new();
    for _ in 0..CHATS {
        chats.push(tab.start(CLOCK_MODEL, "What time is it?").await?);
    }
    let events = listening.await??;
    figures.add(
        "SIGTERM during 100 replies, ms",
        milliseconds(server.stop().await?),
    );
    drop((events, tab));

    let server = Server::start(program, data).await?;
    figures.add("start after that, ms", milliseconds(server.start));
    let mut connection = Connection::open(server.address).await?;
    for id in chats {
        let path = format!("/api/v1/chats/{id}");
        let chat = call(&mut connection, "GET", &path, Some(site.token(0)), None).await?;
        let history = &chat["chat"]["history"];
        let current = history["currentId"].as_str().unwrap_or_default();
        let reply = &history["messages"][current];
        ensure!(
            reply["done"] == true,
            "the reply of chat {id} is not done: {reply}"
        );
        let text = reply["output"][0]["content"][0]["text"]
            .as_str()
            .unwrap_or_default();
        ensure!(!text.is_empty(), "the reply of chat {id} is lost: {reply}");
    }
    Ok(server)
}

/// The chat that an event is about.
fn chat_of(event: &str) -> Option<&str> {
    const NAME: &str = "\"chat_id\":\"";
    let start = memmem::find(event.as_bytes(), NAME.as_bytes())? + NAME.len();
    event[start..].split('"').next()
}

fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
