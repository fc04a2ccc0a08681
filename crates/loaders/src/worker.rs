//! Reading a file in a process of its own: the program starts itself again as `oui extract-worker`, hands over a job as
//! JSON and gets documents back. A file that hangs, eats memory or crashes a reader ends that process and nothing
//! else.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::readers::{self, ReadSettings};
use crate::{Document, LoadError, Source};

/// Name of the subcommand.
pub const COMMAND: &str = "extract-worker";
/// How long one file may take. Several hundred dense pages take a few seconds.
const MAX_TIME: Duration = Duration::from_secs(300);
/// How long one may take whose pictures are read, some seconds for each page.
const MAX_PICTURE_TIME: Duration = Duration::from_secs(1800);
/// Address space that a worker may use, in bytes.
const MAX_MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Workers at the same time; further files wait.
static SLOTS: Semaphore = Semaphore::const_new(2);
/// Program to start, once it is known to have the subcommand.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Lets files be read by `program extract-worker`. Without this call they are read in this process, as in tests.
pub fn use_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    path: PathBuf,
    name: String,
    content_type: Option<String>,
    settings: ReadSettings,
}

impl Job {
    fn run(&self) -> Result<Vec<Document>, LoadError> {
        readers::read(
            &self.path,
            &self.name,
            self.content_type.as_deref(),
            self.settings.clone(),
        )
    }
}

/// Reads a file with the built-in readers.
pub(crate) async fn read(source: &Source<'_>, settings: ReadSettings) -> Result<Vec<Document>, LoadError> {
    let job = Job {
        path: source.path.to_owned(),
        name: source.name.to_owned(),
        content_type: source.content_type.map(str::to_owned),
        settings,
    };
    let closed = |_| LoadError::new("The server is stopping");
    let _slot = SLOTS.acquire().await.map_err(closed)?;
    let Some(program) = PROGRAM.get() else {
        let crashed = |_| LoadError::new("The file could not be read");
        return tokio::task::spawn_blocking(move || job.run())
            .await
            .map_err(crashed)?;
    };
    let patience = if job.settings.ocr.is_some() {
        MAX_PICTURE_TIME
    } else {
        MAX_TIME
    };
    let outcome = tokio::time::timeout(patience, in_process(program, &job)).await;
    outcome.unwrap_or_else(|_| Err(LoadError::new("Reading the file took too long")))
}

async fn in_process(program: &PathBuf, job: &Job) -> Result<Vec<Document>, LoadError> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a worker for documents could not be used");
        LoadError::new("The file could not be read")
    };
    let mut child = Command::new(program)
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let job = serde_json::to_vec(job).map_err(|error| failed(&error))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&job).await.map_err(|error| failed(&error))?;
    }
    let output = child.wait_with_output().await.map_err(|error| failed(&error))?;
    // A worker that ran into its limits has said nothing, or half of it.
    let answer: Result<Result<Vec<Document>, LoadError>, _> = serde_json::from_slice(&output.stdout);
    answer.unwrap_or_else(|_| {
        tracing::warn!(status = %output.status, "a worker for documents ended without an answer");
        Err(LoadError::new("The file is too large or too damaged to be read"))
    })
}

/// The worker's whole life: limits itself, reads a job from standard input, answers on standard output.
///
/// # Errors
/// A job that can not be read; failures of the job itself are part of the answer.
pub fn run() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let limit = |what: rlimit::Resource, value: u64| rlimit::setrlimit(what, value, value);
        limit(rlimit::Resource::AS, MAX_MEMORY)?;
        limit(rlimit::Resource::CPU, MAX_TIME.as_secs())?;
        limit(rlimit::Resource::CORE, 0)?;
    }
    let job: Job = serde_json::from_reader(std::io::stdin().lock())?;
    // Deeply nested documents need a deep stack.
    let reading = std::thread::Builder::new()
        .stack_size(64 * 1024 * 1024)
        .spawn(move || job.run())?;
    let answer = reading
        .join()
        .unwrap_or_else(|_| Err(LoadError::new("The file is too damaged to be read")));
    serde_json::to_writer(std::io::stdout().lock(), &answer)?;
    Ok(())
}
