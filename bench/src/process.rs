//! Servers as processes: started, watched from outside through `/proc`, told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::http::{Connection, request};

/// Between two looks at a server that is starting.
const LOOK: Duration = Duration::from_millis(2);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments; `{port}` and `{data}` are filled in.
    pub command: Vec<String>,
    /// Variables added to this process's own.
    pub variables: Vec<(String, String)>,
    /// A path that is answered by 200 as soon as it is up.
    pub ready: &'static str,
    /// How long the start may take.
    pub patience: Duration,
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the process to the first good answer.
    pub start: Duration,
    log: PathBuf,
}

impl Server {
    /// Starts a server on a data folder and waits until it answers. What it prints goes into `NAME.log` in there.
    ///
    /// # Errors
    /// When it ends or does not answer in time; its last lines are part of the error.
    pub async fn start(program: &Program, data: &Path) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let fill = |word: &String| {
            word.replace("{port}", &port.to_string())
                .replace("{data}", &data.to_string_lossy())
        };
        let (name, arguments) = program.command.split_first().context("no program")?;
        let log = data.join("server.log");
        let output = std::fs::File::create(&log)?;
        let started = Instant::now();
        let child = Command::new(name)
            .args(arguments.iter().map(fill))
            .envs(program.variables.iter().map(|(name, value)| (name, fill(value))))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} can not be started"))?;
        let mut server = Self {
            child,
            address,
            start: Duration::ZERO,
            log,
        };
        while !answers(address, program.ready).await {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status}: {}", server.last_lines());
            }
            if started.elapsed() > program.patience {
                bail!(
                    "{name} did not answer in {:?}: {}",
                    program.patience,
                    server.last_lines()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        server.start = started.elapsed();
        Ok(server)
    }

    /// Memory that is really there (`VmRSS`), in MB.
    ///
    /// # Errors
    /// When the process has ended, or there is no `/proc`.
    pub fn memory(&self) -> Result<f64> {
        let id = self.child.id().context("the server has ended")?;
        memory_of(id)
    }

    /// Seconds of processor time used so far, in all threads.
    ///
    /// # Errors
    /// As [`Self::memory`].
    pub fn processor(&self) -> Result<f64> {
        let id = self.child.id().context("the server has ended")?;
        let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        let ticks: u64 = fields
            .iter()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a few million ticks")]
        Ok(ticks as f64 / 100.0)
    }

    /// Tells it to stop (SIGTERM) and waits for its end; the answer is how long that took.
    ///
    /// # Errors
    /// When it ends with a failure, or not within 30 s.
    pub async fn stop(mut self) -> Result<Duration> {
        let id = self.child.id().context("the server has ended already")?;
        let started = Instant::now();
        let told = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await?;
        if !told.success() {
            bail!("process {id} could not be told to stop");
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.context("the server did not stop in 30 s")??;
        // Python ends itself by the signal it got, which is as good.
        if !status.success() && status.code().is_some() {
            bail!("the server stopped with {status}: {}", self.last_lines());
        }
        Ok(started.elapsed())
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// `VmRSS` of a process in MB.
fn memory_of(id: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kilobytes.parse::<f64>()? / 1024.0)
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let look = async {
        let mut connection = Connection::open(address).await?;
        connection
            .exchange(&request("GET", path, None, None), &mut Vec::new())
            .await
    };
    look.await.is_ok_and(|status| status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_process() {
        let before = memory_of(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        let after = memory_of(std::process::id()).unwrap();
        assert!(
            after - before > 60.0,
            "{before} {after} {}",
            block.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        );
    }

    #[tokio::test]
    async fn a_program_that_ends_is_reported_with_its_last_words() {
        let program = Program {
            command: ["sh", "-c", "echo no such thing; exit 3"]
                .map(str::to_owned)
                .to_vec(),
            variables: Vec::new(),
            ready: "/",
            patience: Duration::from_secs(60),
        };
        let data = tempfile::tempdir().unwrap();
        let error = Server::start(&program, data.path())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no such thing"),
            "{error}"
        );
    }
}
