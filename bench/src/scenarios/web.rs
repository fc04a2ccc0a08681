//! Chats as the web client has them: begun by a request, answered through Socket.IO, saved. Every tab belongs to
//! another person and has one chat after the other.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::load::{Client, Effort, Outcome, Sample, drive};
use crate::site::{FAST_MODEL, Site};
use crate::tab::{Heard, Tab};

struct Chatter {
    tab: Tab,
    words: usize,
}

impl Client for Chatter {
    async fn once(&mut self) -> Result<Sample> {
        let started = Instant::now();
        let (events, chats) = self.tab.split();
        let listening = async {
            let (mut first, mut words) = (None, 0);
            loop {
                match events.next().await? {
                    Heard::Piece(_) => {
                        first.get_or_insert_with(|| started.elapsed());
                        words += 1;
                    }
                    Heard::Idle => return anyhow::Ok((first, words)),
                    Heard::Other => {}
                }
            }
        };
        let (begun, heard) = tokio::join!(chats.start(FAST_MODEL, "Tell me something."), listening);
        begun?;
        let (first, words) = heard?;
        ensure!(words == self.words, "{words} pieces of {}", self.words);
        let whole = started.elapsed();
        Ok(Sample {
            first: first.unwrap_or(whole),
            whole,
        })
    }
}

/// Chats of `words` words in all tabs at once.
///
/// # Errors
/// When a chat is refused or fails, or a piece of a reply is missing.
pub async fn run(site: &Site, words: usize, effort: &Effort) -> Result<Outcome> {
    let mut chatters = Vec::new();
    for number in 0..effort.clients {
        let tab = Tab::open(site.address, site.token(number)).await?;
        chatters.push(Chatter { tab, words });
    }
    drive(chatters, effort).await
}
