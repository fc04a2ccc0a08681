//! What can go wrong while the client is installed. Every text says what happened and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::{FRONTEND_PACKAGE, FRONTEND_VERSION};

/// Why the client could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// No Python and no pip on the search path (or the given one does not run).
    #[error(
        "no usable Python was found ({tried}). The web client is downloaded with pip: install Python 3.9 or newer with \
         pip (on Debian: apt install python3-pip), or name one with --python, or download the wheel of \
         {FRONTEND_PACKAGE} {FRONTEND_VERSION} on another machine and pass it with --wheel FILE"
    )]
    NoPython {
        /// The commands that were tried.
        tried: String,
    },
    /// There is a Python, but it has no pip.
    #[error(
        "{python} has no pip. Install it (on Debian: apt install python3-pip; elsewhere: {python} -m ensurepip), or \
         download the wheel of {FRONTEND_PACKAGE} {FRONTEND_VERSION} on another machine and pass it with --wheel FILE"
    )]
    NoPip {
        /// The Python found.
        python: String,
    },
    /// pip or its Python is too old to read the package index of today.
    #[error(
        "{found} is too old. Use Python 3.8 or newer with pip 20 or newer (name it with --python), or pass a wheel file \
         with --wheel FILE"
    )]
    PipTooOld {
        /// What pip says of itself.
        found: String,
    },
    /// The package index cannot be reached.
    #[error(
        "pip could not reach the package index. Check the network, the proxy settings and pip's configuration (pip \
         config list), or download the wheel of {FRONTEND_PACKAGE} {FRONTEND_VERSION} on another machine and pass it \
         with --wheel FILE.\npip said:\n{output}"
    )]
    NoNetwork {
        /// The end of pip's output.
        output: String,
    },
    /// pip found no such version: the index does not have it, or failed without saying so.
    #[error(
        "pip found no {FRONTEND_PACKAGE} {FRONTEND_VERSION}: the package index in its configuration cannot be reached or \
         does not have it (pip config list shows the configuration). Check the network, use another index, or pass a \
         wheel file with --wheel FILE.\npip said:\n{output}"
    )]
    NotOffered {
        /// The end of pip's output.
        output: String,
    },
    /// pip failed in another way.
    #[error("pip could not download the web client ({status}). pip said:\n{output}")]
    PipFailed {
        /// Exit status of pip.
        status: String,
        /// The end of pip's output.
        output: String,
    },
    /// The wheel file cannot be read as one.
    #[error("{} is not a readable wheel ({reason}). Download it again", wheel.display())]
    Unreadable {
        /// The wheel file.
        wheel: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a wheel of something else.
    #[error(
        "{} is {name} {version}, but this server needs {FRONTEND_PACKAGE} {FRONTEND_VERSION}. Pass that wheel",
        wheel.display()
    )]
    WrongWheel {
        /// The wheel file.
        wheel: PathBuf,
        /// Name in its metadata.
        name: String,
        /// Version in its metadata.
        version: String,
    },
    /// A file in the wheel does not match its checksum or size.
    #[error("{entry} in {} does not match its checksum: the wheel is damaged. Download it again", wheel.display())]
    Damaged {
        /// The wheel file.
        wheel: PathBuf,
        /// The file inside.
        entry: String,
    },
    /// An entry that would write outside its folder, or is no plain file.
    #[error("{} holds the unsafe entry {entry:?} and was not unpacked. Do not use this file", wheel.display())]
    UnsafeEntry {
        /// The wheel file.
        wheel: PathBuf,
        /// The entry's name.
        entry: String,
    },
    /// More data than the client can plausibly have.
    #[error("{} unpacks to more than {limit} and was not unpacked. Do not use this file", wheel.display())]
    TooLarge {
        /// The wheel file.
        wheel: PathBuf,
        /// The limit that was passed.
        limit: String,
    },
    /// The wheel has the right name and no client inside.
    #[error("{} holds no web client. Use the published wheel, not one built without the frontend", wheel.display())]
    NoFrontend {
        /// The wheel file.
        wheel: PathBuf,
    },
    /// The disk is full.
    #[error("the disk of {} is full: the web client needs about 600 MB while it is installed. Free some space and run this again", path.display())]
    DiskFull {
        /// Where the space ran out.
        path: PathBuf,
    },
    /// The unpacking itself broke off; a fault of this program.
    #[error("unpacking broke off ({reason}). Run this again; if it happens again, please report it")]
    BrokeOff {
        /// What is known about it.
        reason: String,
    },
    /// Any other trouble with files.
    #[error("{}: {source}. Check that the folder exists and may be written by this user", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Maps a file error at `path`, telling a full disk from the rest.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError + use<> {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => InstallError::DiskFull { path },
        _ => InstallError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let full = at(Path::new("/data"))(io::ErrorKind::StorageFull.into());
        assert!(matches!(full, InstallError::DiskFull { .. }));
        assert!(
            full.to_string().starts_with("the disk of /data is full"),
            "{full}"
        );
        let denied = at(Path::new("/data"))(io::ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, InstallError::Io { .. }));
    }
}
