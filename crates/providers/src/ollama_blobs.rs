//! Model files brought to an Ollama server: from an upload or from an address elsewhere, as a blob and then as a model
//! of that blob. How it is getting on is told in server-sent events, as clients of the reference expect.

use oui_core::boxed;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest::{Context as Sha256, SHA256};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::connections::Connection;
use crate::context::CallContext;
use crate::http::Http;

/// Bytes that are read from a file at a time.
const PIECE: usize = 1024 * 1024;

/// How long a download may take.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// Takes the events of a transfer, one text of server-sent events each.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Bytes>);

impl Progress {
    /// A sender and the stream of what it sends. A reader that is slow slows the transfer; one that is gone ends it.
    pub fn channel() -> (Self, impl Stream<Item = Bytes> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(16);
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        (Self(sender), events)
    }

    async fn send(&self, event: &Value) -> Result<(), TransferError> {
        let text = Bytes::from(format!("data: {event}\n\n"));
        self.0.send(text).await.map_err(|_| TransferError::Abandoned)
    }

    async fn step(&self, completed: u64, total: u64) -> Result<(), TransferError> {
        let of = if total == 0 { completed } else { total };
        let share = if of == 0 {
            100.0
        } else {
            completed as f64 / of as f64 * 100.0
        };
        let share = (share * 100.0).round() / 100.0;
        self.send(&json!({ "progress": share, "completed": completed, "total": total }))
            .await
    }
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    /// Nobody listens any more.
    #[error("abandoned")]
    Abandoned,
    #[error("{0}")]
    Failed(String),
}

impl From<std::io::Error> for TransferError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<reqwest::Error> for TransferError {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(crate::http::innermost(&error))
    }
}

/// Where a model goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The pool.
    pub http: Http,
    /// The server.
    pub connection: Connection,
    /// For whom.
    pub context: CallContext,
}

impl Target {
    /// Sends a file that lies in `file` to the server as the model of `name`, and removes it.
    #[boxed]
    pub async fn upload(self, file: PathBuf, name: String, progress: Progress) {
        let sent = self.store(&file, &name, &progress, true).await;
        let _ = tokio::fs::remove_file(&file).await;
        tell(sent, &progress).await;
    }

    /// Fetches `url` into `file`, continuing where an earlier try ended, and sends it to the server as the model of
    /// `name`. What was fetched stays for the next try when that fails.
    #[boxed]
    pub async fn download(self, url: String, file: PathBuf, name: String, progress: Progress) {
        let done = async {
            self.fetch(&url, &file, &progress).await?;
            self.store(&file, &name, &progress, false).await?;
            tokio::fs::remove_file(&file).await?;
            Ok(())
        };
        tell(done.await, &progress).await;
    }

    async fn fetch(&self, url: &str, file: &Path, progress: &Progress) -> Result<(), TransferError> {
        let mut had = tokio::fs::metadata(file).await.map_or(0, |found| found.len());
        let mut response = self
            .http
            .fetch_file(url, had, DOWNLOAD)
            .await
            .map_err(|error| TransferError::Failed(error.for_log()))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if had > 0 => {}
            // All of it is there already.
            StatusCode::RANGE_NOT_SATISFIABLE if had > 0 => return Ok(()),
            status if status.is_success() => had = 0,
            status => {
                return Err(TransferError::Failed(format!(
                    "The download was refused with status {}.",
                    status.as_u16()
                )));
            }
        }
        let total = response.content_length().map_or(0, |length| length + had);
        let mut options = tokio::fs::OpenOptions::new();
        let mut target = options
            .create(true)
            .write(true)
            .append(had > 0)
            .truncate(had == 0)
            .open(file)
            .await?;
        let mut told = had;
        while let Some(piece) = response.chunk().await? {
            target.write_all(&piece).await?;
            had += piece.len() as u64;
            if had - told >= PIECE as u64 || had == total {
                told = had;
                progress.step(had, total).await?;
            }
        }
        target.flush().await?;
        Ok(())
    }

    /// Makes a blob of a file and a model of the blob.
    async fn store(
        &self,
        file: &Path,
        name: &str,
        progress: &Progress,
        tells: bool,
    ) -> Result<(), TransferError> {
        let (digest, size) = digest(file).await?;
        let digest = format!("sha256:{digest}");
        let pieces = pieces(File::open(file).await?);
        let progress_of_blob = progress.clone();
        let mut sent = 0_u64;
        let counted = pieces.then(move |piece| {
            sent += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            let (progress, sent) = (progress_of_blob.clone(), sent);
            async move {
                if tells && progress.step(sent, size).await.is_err() {
                    return Err(std::io::Error::other("abandoned"));
                }
                piece
            }
        });
        let mut headers = self.http.headers(&self.connection, &self.context);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        let response = self
            .post(&format!("api/blobs/{digest}"), headers)
            .body(reqwest::Body::wrap_stream(counted))
            .send()
            .await?;
        if !response.status().is_success() {
            let text = "Ollama: Could not create blob, Please try again.";
            return Err(TransferError::Failed(text.to_owned()));
        }
        let model = Path::new(name)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or(name);
        let body = json!({ "model": model, "files": { name: digest }, "stream": false });
        let headers = self.http.headers(&self.connection, &self.context);
        let response = self
            .post("api/create", headers)
            .body(body.to_string())
            .send()
            .await?;
        if !response.status().is_success() {
            let said = response.text().await.unwrap_or_default();
            return Err(TransferError::Failed(format!(
                "Failed to create model in Ollama. {said}"
            )));
        }
        progress
            .send(&json!({ "done": true, "blob": digest, "name": name, "model_created": model }))
            .await
    }

    fn post(&self, path: &str, headers: HeaderMap) -> reqwest::RequestBuilder {
        let url = format!("{}/{path}", self.connection.url);
        let request = self.http.client().post(url).headers(headers);
        match self.http.options().timeouts.total {
            Some(limit) => request.timeout(limit),
            None => request,
        }
    }
}

/// The last event of a transfer that failed.
async fn tell(outcome: Result<(), TransferError>, progress: &Progress) {
    if let Err(TransferError::Failed(error)) = outcome {
        tracing::warn!(error, "a model file was not brought to its server");
        let _ = progress.send(&json!({ "error": error })).await;
    }
}

/// SHA-256 of a file, and its size.
async fn digest(file: &Path) -> Result<(String, u64), std::io::Error> {
    let mut pieces = Box::pin(pieces(File::open(file).await?));
    let mut sum = Sha256::new(&SHA256);
    let mut size = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        sum.update(&piece);
        size += piece.len() as u64;
    }
    let bytes = sum.finish();
    let hex = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, size))
}

fn pieces(file: File) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    futures::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(piece), file)))
    })
}
