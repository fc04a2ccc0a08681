//! Fetching the official client and unpacking it into the data folder. The steps are here; asking
//! pip is in [`pip`], reading and checking the wheel in [`wheel`], what can go wrong in [`error`].

mod error;
mod pip;
mod progress;
#[cfg(test)]
mod tests;
mod wheel;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

pub use error::InstallError;
use error::at;
use progress::{Board, watch};
pub use progress::{Progress, Step};

use crate::compress::{Effort, Variants, compress_trees};
use crate::layout::{FRONTEND, Layout, STATIC};

/// Names of the temporary folders inside the data folder.
const WORK_PREFIX: &str = ".frontend-install-";
/// Temporary folders of installations that were killed are swept when this much older than a new one.
const LEFTOVER_AGE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// How much work goes into compressed variants of the files, once, at installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Smallest transfers; about half a minute of processor time for the whole client.
    #[default]
    Best,
    /// Transfers some 5 % larger, for a few seconds of processor time.
    Fast,
    /// Nothing now: each file is compressed when it is first asked for.
    OnDemand,
}

/// What to install and where.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// The server's data folder; created if missing.
    pub data_dir: PathBuf,
    /// A wheel file that is already here; `None` downloads it with pip.
    pub wheel: Option<PathBuf>,
    /// The Python whose pip downloads; `None` looks for one on the search path.
    pub python: Option<PathBuf>,
    /// Replace an installation that is already there and whole.
    pub force: bool,
    /// Effort spent on compressed variants.
    pub compression: Compression,
}

/// An installed client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its folder, `<data_dir>/frontend-<version>`.
    pub dir: PathBuf,
    /// Version of the client.
    pub version: String,
    /// Number of files unpacked from the wheel.
    pub files: u64,
    /// Their size in bytes, uncompressed.
    pub bytes: u64,
    /// True when nothing had to be done.
    pub already_there: bool,
}

/// Makes sure the official client is in the data folder: downloads its wheel with the user's pip
/// (or takes the given file), checks name, version and checksums, and unpacks the frontend through
/// a temporary folder, so that an interrupted run leaves nothing half done. Does nothing when it is
/// there already (unless `force`).
///
/// # Errors
/// See [`InstallError`]; each text says what to do.
pub async fn install(options: InstallOptions, progress: &dyn Progress) -> Result<Installed, InstallError> {
    let target = Layout::in_data_dir(&options.data_dir);
    if !options.force
        && let Some(found) = target.installed()
    {
        return Ok(found);
    }
    let data_dir = options.data_dir.clone();
    let work = Arc::new(blocking(move || work_dir(&data_dir)).await?);
    let wheel = match &options.wheel {
        Some(path) => path.clone(),
        None => download_wheel(options.python.as_deref(), work.path(), progress).await?,
    };

    let board = Arc::new(Board::new(Step::Checking));
    let job = {
        let (board, work, target) = (board.clone(), work.clone(), target.clone());
        move || {
            let staging = Layout::at(work.path().join("unpacked"));
            unpack(&wheel, &staging, options.compression, &board)?;
            place(&staging, &target, work.path(), options.force)
        }
    };
    let result = watch(&board, progress, blocking(job)).await;
    // Thousands of files may have to be removed: not on the async threads.
    let _ = tokio::task::spawn_blocking(move || drop(work)).await;
    result
}

/// Downloads the client's wheel with the user's own pip and its configuration into a folder and
/// returns the file's path.
///
/// # Errors
/// See [`InstallError`].
pub async fn download_wheel(
    python: Option<&Path>,
    into: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf, InstallError> {
    progress.report(Step::FindingPip);
    let pip = pip::find(python).await?;
    tracing::debug!(pip = %pip.version(), "found pip");
    pip.download(into, progress).await
}

/// Unpacks, compresses and seals, all below `staging`.
fn unpack(
    wheel: &Path,
    staging: &Layout,
    compression: Compression,
    board: &Board,
) -> Result<(), InstallError> {
    std::fs::create_dir_all(staging.dir()).map_err(at(staging.dir()))?;
    let unpacked = wheel::Wheel::open(wheel)?.unpack(staging.dir(), board)?;
    for needed in [staging.frontend().join("index.html"), staging.changelog()] {
        if !needed.is_file() {
            return Err(InstallError::NoFrontend {
                wheel: wheel.to_path_buf(),
            });
        }
    }
    let effort = match compression {
        Compression::Best => Some(Effort::Best),
        Compression::Fast => Some(Effort::Fast),
        Compression::OnDemand => None,
    };
    if let Some(effort) = effort {
        let trees = [(staging.frontend(), FRONTEND), (staging.statics(), STATIC)]
            .map(|(root, tree)| (root, Variants::new(staging.compressed(tree))));
        compress_trees(&trees, effort, |done, total| {
            board.set(Step::Compressing { done, total })
        })
        .map_err(at(staging.dir()))?;
    }
    staging
        .seal(unpacked.files, unpacked.bytes)
        .map_err(at(staging.dir()))
}

/// Moves a finished installation to its place; an older one there is moved aside first and goes
/// away with the work folder.
fn place(staging: &Layout, target: &Layout, work: &Path, force: bool) -> Result<Installed, InstallError> {
    if !force && let Some(found) = target.installed() {
        return Ok(found); // Another process was faster.
    }
    let aside = work.join("replaced");
    let replaced = target.dir().exists();
    if replaced {
        std::fs::rename(target.dir(), &aside).map_err(at(target.dir()))?;
    }
    if let Err(error) = std::fs::rename(staging.dir(), target.dir()) {
        if replaced {
            // The old installation is better than none.
            let _ = std::fs::rename(&aside, target.dir());
        }
        return Err(at(target.dir())(error));
    }
    let placed = target.installed().ok_or_else(|| {
        at(target.dir())(std::io::Error::other(
            "the installation is not readable after moving it into place",
        ))
    })?;
    Ok(Installed {
        already_there: false,
        ..placed
    })
}

/// A temporary folder on the data folder's file system, where the last rename is atomic.
fn work_dir(data_dir: &Path) -> Result<TempDir, InstallError> {
    std::fs::create_dir_all(data_dir).map_err(at(data_dir))?;
    let work = tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(data_dir)
        .map_err(at(data_dir))?;
    sweep_leftovers(data_dir, work.path());
    Ok(work)
}

/// Removes work folders of installations that were killed long ago. Ages are compared with the new
/// folder's own time, so no clock is asked. Failing to sweep is no failure.
fn sweep_leftovers(data_dir: &Path, newest: &Path) {
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let (Some(now), Ok(entries)) = (modified(newest), std::fs::read_dir(data_dir)) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(WORK_PREFIX);
        let old = modified(&entry.path())
            .and_then(|then| now.duration_since(then).ok())
            .is_some_and(|age| age > LEFTOVER_AGE);
        if ours && old {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(InstallError::BrokeOff {
            reason: error.to_string(),
        }),
    }
}
