//! Reads that the web client makes all the time.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::http::{Connection, request};
use crate::load::{Client, Effort, Sample, drive};
use crate::report::Figures;
use crate::site::Site;

/// Name and path of every read; those with a token are asked by the owner of the chats.
fn reads(site: &Site) -> Vec<(&'static str, String, bool)> {
    vec![
        ("health", "/health".into(), false),
        ("config", "/api/config".into(), true),
        ("session", "/api/v1/auths/".into(), true),
        ("models", "/api/models".into(), true),
        ("chat list", "/api/v1/chats/?page=1".into(), true),
        ("whole chat list", "/api/v1/chats/".into(), true),
        ("long chat", format!("/api/v1/chats/{}", site.long_chat), true),
    ]
}

struct Reader {
    connection: Connection,
    request: Vec<u8>,
    body: Vec<u8>,
    /// Length of the first answer: all others must have it.
    length: Option<usize>,
}

impl Client for Reader {
    async fn once(&mut self) -> Result<Sample> {
        let started = Instant::now();
        let status = self.connection.exchange(&self.request, &mut self.body).await?;
        let whole = started.elapsed();
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&self.body));
        let length = *self.length.get_or_insert(self.body.len());
        ensure!(
            length.abs_diff(self.body.len()) < 16 && length > 2,
            "answers of {length} and of {} bytes",
            self.body.len()
        );
        Ok(Sample { first: whole, whole })
    }
}

/// Requests a second and the slowest of a hundred, for every read.
///
/// # Errors
/// When an answer is not 200, or its length is not that of the others.
pub async fn run(site: &Site, effort: &Effort, figures: &mut Figures) -> Result<()> {
    for (name, path, signed_in) in reads(site) {
        let token = signed_in.then(|| site.token(0));
        let mut readers = Vec::new();
        for _ in 0..effort.clients {
            readers.push(Reader {
                connection: Connection::open(site.address).await?,
                request: request("GET", &path, token, None),
                body: Vec::new(),
                length: None,
            });
        }
        let outcome = drive(readers, effort).await?;
        figures.add(&format!("{name}, requests/s"), outcome.per_second);
        figures.add(&format!("{name}, p99 ms"), outcome.whole(99.0));
    }
    Ok(())
}
