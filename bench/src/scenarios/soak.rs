//! Hours in small: every minute a burst of chats of both kinds and a crowd of slow replies, whose people then go away;
//! after each minute, how much memory the server holds. What only ever grows is seen here.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{slow, sse, web};
use crate::load::Effort;
use crate::process::Server;
use crate::site::Site;

/// One round.
const ROUND: Duration = Duration::from_secs(60);

/// Memory in MB after each minute.
///
/// # Errors
/// When a chat is refused or fails, or a word of a reply is missing.
pub async fn run(
    site: &Site,
    server: &Server,
    minutes: usize,
    words: usize,
    effort: &Effort,
) -> Result<Vec<f64>> {
    let mut ticks = tokio::time::interval(ROUND);
    ticks.tick().await;
    let mut memory = Vec::with_capacity(minutes);
    for minute in 0..minutes {
        let round = async {
            web::run(site, words, effort).await?;
            sse::run(site.address, sse::SERVER_PATH, &site.tokens, words, effort).await?;
            slow::web(site, effort).await?;
            slow::sse(site.address, sse::SERVER_PATH, &site.tokens, effort).await
        };
        round.await.with_context(|| format!("minute {}", minute + 1))?;
        ticks.tick().await;
        memory.push(server.memory()?);
    }
    Ok(memory)
}
