//! Starts and stops reference servers through `conformance/reference.sh host`, one per scenario.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{http, scenario::Table};

/// The first start on a machine also finds out which libraries to load.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The process that all servers are forked from.
pub struct Host {
    pipes: Mutex<Pipes>,
    client: Client,
    // Ends when dropped, because its stdin closes.
    _process: Child,
}

struct Pipes {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// A running reference server with an empty database.
pub struct Server {
    /// `http://127.0.0.1:port`.
    pub base_url: String,
    pid: u64,
    data: tempfile::TempDir,
}

impl Host {
    /// Starts the host; installs the reference on the first use of a machine.
    ///
    /// # Errors
    /// When the script fails.
    pub async fn start(script: &Path, home: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(script);
        command
            .arg("host")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(home) = home {
            command.env("OUI_REFERENCE_HOME", home);
        }
        let mut process = command
            .spawn()
            .with_context(|| format!("starting {}", script.display()))?;
        let orders = process.stdin.take().context("no stdin")?;
        let answers = BufReader::new(process.stdout.take().context("no stdout")?).lines();
        let host = Self {
            pipes: Mutex::new(Pipes { orders, answers }),
            client: http::client(START_LIMIT)?,
            _process: process,
        };
        let first = host.pipes.lock().await.answers.next_line().await?;
        ensure!(first.is_some(), "the reference host did not start");
        Ok(host)
    }

    async fn order(&self, order: &Value) -> Result<Value> {
        let mut pipes = self.pipes.lock().await;
        pipes.orders.write_all(format!("{order}\n").as_bytes()).await?;
        let answer = pipes
            .answers
            .next_line()
            .await?
            .context("the reference host is gone")?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Starts a server with this environment and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; the end of its log is in the message.
    pub async fn serve(&self, environment: &Table) -> Result<Server> {
        let port = free_port().await?;
        let data = tempfile::tempdir()?;
        let order = json!({"start": {"port": port, "data": data.path(), "env": environment}});
        let pid = self.order(&order).await?["pid"].as_u64().context("no pid")?;
        let server = Server {
            base_url: format!("http://127.0.0.1:{port}"),
            pid,
            data,
        };
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            let answer = self.client.get(format!("{}/ready", server.base_url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(server);
            }
            sleep(Duration::from_millis(100)).await;
        }
        let log = server.log();
        self.stop(server).await?;
        bail!("the reference did not become ready:\n{log}")
    }

    /// Stops a server and removes its data.
    ///
    /// # Errors
    /// When the host is gone.
    pub async fn stop(&self, server: Server) -> Result<()> {
        self.order(&json!({ "stop": server.pid })).await?;
        Ok(())
    }
}

impl Server {
    /// The last lines of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.data.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// When there is none.
pub async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

/// A server of another make, started from a program for one scenario.
pub struct Launched {
    /// `http://127.0.0.1:port`.
    pub base_url: String,
    process: Child,
    _data: tempfile::TempDir,
}

impl Launched {
    /// Starts `program` with this environment, `PORT`, `HOST` and an empty `DATA_DIR`, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// When it ends or does not become ready.
    pub async fn start(program: &Path, environment: &Table) -> Result<Self> {
        let port = free_port().await?;
        let data = tempfile::tempdir()?;
        let mut process = Command::new(program)
            .env_clear()
            .envs(environment)
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("DATA_DIR", data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let base_url = format!("http://127.0.0.1:{port}");
        let client = http::client(START_LIMIT)?;
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = process.try_wait()? {
                bail!("{} ended with {status}", program.display());
            }
            let answer = client.get(format!("{base_url}/ready")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(Self {
                    base_url,
                    process,
                    _data: data,
                });
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("{} did not become ready", program.display())
    }

    /// Ends the program.
    pub async fn stop(mut self) {
        // It may have ended by itself.
        let _ = self.process.kill().await;
    }
}
