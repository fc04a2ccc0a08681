//! A Chromium of this machine, started for a few pages.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use oui_loaders::LoadError;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::failed;

/// Names that it has.
const PROGRAMS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// How often, and after which pause each, it is looked whether a removed profile stays away: 20 seconds in all.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);
/// Looks in a row without it that are taken for its end.
const ENOUGH: u32 = 20;

/// A running browser.
pub(super) struct Started {
    /// Its WebSocket for debugging.
    pub(super) url: String,
    child: Child,
    _profile: Profile,
}

impl Started {
    /// Ends it; its profile goes with it.
    pub(super) async fn end(mut self) {
        let _ = self.child.kill().await;
    }
}

/// The folder of a browser's profile, removed in the background when the browser is given up, however that happens.
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(remove(std::mem::take(&mut self.0)));
        }
    }
}

/// Removes a profile for good: the browser's helper processes end a little later than it does, and write until then.
async fn remove(profile: PathBuf) {
    let mut absent = 0;
    for _ in 0..LOOKS {
        let _ = tokio::fs::remove_dir_all(&profile).await;
        tokio::time::sleep(PAUSE).await;
        let is_there = tokio::fs::try_exists(&profile).await.unwrap_or(true);
        absent = if is_there { 0 } else { absent + 1 };
        if absent == ENOUGH {
            return;
        }
    }
    tracing::warn!(profile = %profile.display(), "the profile of a browser could not be removed");
}

#[cfg(unix)]
async fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tokio::fs::metadata("/proc/self")
        .await
        .is_ok_and(|own| own.uid() == 0)
}

#[cfg(not(unix))]
async fn is_root() -> bool {
    false
}

/// Starts the first that is there, with a new profile inside the folder.
pub(super) async fn start(folder: &Path) -> Result<Started, LoadError> {
    let profile = Profile(folder.join(oui_core::ids::uuid()));
    tokio::fs::create_dir_all(&profile.0).await.map_err(failed)?;
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command
            .args([
                "--headless",
                "--remote-debugging-port=0",
                "--no-first-run",
                "--disable-gpu",
            ])
            .args(["--no-default-browser-check", "--disable-background-networking"])
            .args(["--disable-dev-shm-usage", "--proxy-server=http://127.0.0.1:1"])
            .arg(format!("--user-data-dir={}", profile.0.display()));
        // It refuses to shut root in.
        if is_root().await {
            command.arg("--no-sandbox");
        }
        let started = command
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = started else { continue };
        let Some(output) = child.stderr.take() else {
            continue;
        };
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await.map_err(failed)? {
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                let url = url.trim().to_owned();
                // What it says later is of no use, but it must be able to say it.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Started {
                    url,
                    child,
                    _profile: profile,
                });
            }
        }
    }
    Err(failed(
        "there is no Chromium on this machine; install one, or name a Playwright server in PLAYWRIGHT_WS_URL",
    ))
}
