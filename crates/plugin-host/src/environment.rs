//! The Python environment that belongs to a data folder: made once with the operator's own Python and pip, so that
//! packages which plugins ask for touch no other program's. Which interpreter is used is decided by the settings.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// What most tools and functions import, and the formatter of their editor.
pub const PACKAGES: &[&str] = &["pydantic>=2,<3", "requests", "aiohttp", "httpx", "black"];

/// How much of a failed command's output is shown.
const SHOWN_LINES: usize = 6;

/// Why there is no environment.
#[derive(Debug)]
pub enum EnvironmentProblem {
    /// A program could not be started.
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A program failed.
    Failed {
        /// What it was to do.
        what: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// The folder could not be changed.
    Folder(PathBuf, std::io::Error),
}

impl fmt::Display for EnvironmentProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, cause } => write!(
                out,
                "{} could not be started ({cause}). Install Python 3 (on Debian: apt-get install python3-venv), or \
                 name another one with --python.",
                program.display()
            ),
            Self::Failed { what, said } => write!(
                out,
                "{what} failed (on Debian, python3-venv is needed). Its last words:\n{said}"
            ),
            Self::Folder(path, cause) => write!(out, "{} could not be replaced: {cause}", path.display()),
        }
    }
}

impl std::error::Error for EnvironmentProblem {}

/// The interpreter of the environment in `folder`.
pub fn interpreter(folder: &Path) -> PathBuf {
    if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    }
}

/// Makes the environment in `folder` with [`PACKAGES`] in it; `options` go to pip. One that is there gets what it lacks.
/// A folder that is there after a failure holds no interpreter that would be taken for a good one.
///
/// # Errors
/// When there is no usable Python, or pip does not bring the packages.
pub async fn install(
    folder: &Path,
    python: &Path,
    options: &[String],
) -> Result<PathBuf, EnvironmentProblem> {
    let interpreter = interpreter(folder);
    let fresh = !interpreter.exists();
    let done = fill(folder, python, &interpreter, options).await;
    if done.is_err() && fresh && folder.exists() {
        let removed = tokio::fs::remove_dir_all(folder).await;
        removed.map_err(|error| EnvironmentProblem::Folder(folder.to_owned(), error))?;
    }
    done.map(|()| interpreter)
}

async fn fill(
    folder: &Path,
    python: &Path,
    interpreter: &Path,
    options: &[String],
) -> Result<(), EnvironmentProblem> {
    if !interpreter.exists() {
        let arguments = ["-m", "venv"].map(OsStr::new);
        let arguments = arguments.into_iter().chain([folder.as_os_str()]);
        run("making a Python environment", python, arguments).await?;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ];
    let options = options.iter().map(String::as_str);
    let arguments = pip.into_iter().chain(options).chain(PACKAGES.iter().copied());
    run(
        "installing Python packages with pip",
        interpreter,
        arguments.map(OsStr::new),
    )
    .await
}

async fn run<'a>(
    what: &'static str,
    program: &Path,
    arguments: impl Iterator<Item = &'a OsStr>,
) -> Result<(), EnvironmentProblem> {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|cause| EnvironmentProblem::NotStarted {
            program: program.to_owned(),
            cause,
        })?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let said = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    Err(EnvironmentProblem::Failed { what, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_python_nothing_is_left_behind() {
        let folder = std::env::temp_dir().join(format!("oui-python-{}", std::process::id()));
        let problem = install(&folder, Path::new("/nowhere/python3"), &[])
            .await
            .unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("/nowhere/python3 could not be started")
        );
        assert!(!folder.exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_failure_takes_the_half_made_folder_away() {
        let folder = std::env::temp_dir().join(format!("oui-python-half-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        // `false` is no Python: it fails like one that lacks the module venv.
        let problem = install(&folder, Path::new("false"), &[]).await.unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("making a Python environment failed")
        );
        assert!(!folder.exists());
    }
}
