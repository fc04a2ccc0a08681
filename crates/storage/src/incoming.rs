//! A file that is being received: written to a part file, counted and hashed on the way. Dropped before it is kept, it
//! leaves nothing behind.

use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::{PART, StorageError};

/// A file that is being received.
pub struct Incoming {
    file: tokio::fs::File,
    path: Option<tempfile::TempPath>,
    hash: Sha256,
    size: u64,
}

impl Incoming {
    pub(crate) async fn new(folder: &Path) -> std::io::Result<Self> {
        let folder = folder.to_owned();
        let made =
            tokio::task::spawn_blocking(move || tempfile::Builder::new().prefix(PART).tempfile_in(folder));
        let (file, path) = made.await.map_err(std::io::Error::other)??.into_parts();
        Ok(Self {
            file: tokio::fs::File::from_std(file),
            path: Some(path),
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// Appends bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the bytes written so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush().await
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the file its name. Too long a name leaves it where it is.
    pub(crate) async fn move_to(&mut self, to: &Path) -> Result<(), StorageError> {
        // Part files are readable by the owner only; files of the store are as the process makes them.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let rights = std::fs::Permissions::from_mode(0o644);
            tokio::fs::set_permissions(self.path(), rights).await?;
        }
        match tokio::fs::rename(self.path(), to).await {
            Ok(()) => {
                if let Some(path) = self.path.take() {
                    // The part is no more: nothing to remove when this value goes.
                    let _ = path.keep();
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => {
                Err(StorageError::NameTooLong)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The part file, removed with the answer; none when it has a name already.
    pub(crate) fn into_temp_path(mut self) -> Option<tempfile::TempPath> {
        self.path.take()
    }
}
