//! The bytes of uploaded files: a folder of this machine, or a bucket at S3, Google Cloud Storage or Azure. Files are
//! named by the texts that the column `path` of the table `file` holds, which are those of the Python project:
//! `/…/uploads/name`, `s3://bucket/key`, `gs://bucket/name`, `https://account/container/name`. Rows and rights are
//! not looked at here.
//!
//! An upload is first written to a part file beside its destination, so that a cut-off one can not be taken for whole;
//! parts that a crash left behind are removed at the next start.

mod cloud;
mod incoming;

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use oui_config::Settings;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::cloud::Cloud;
pub use crate::incoming::Incoming;

/// Begins the name of a part file.
const PART: &str = ".part-";

/// What can go wrong with stored bytes.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such file.
    #[error("the file is gone")]
    Missing,
    /// The name is longer than the file system takes.
    #[error("File name too long")]
    NameTooLong,
    /// This machine's disk.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A store over the network.
    #[error("{0}")]
    Cloud(#[from] object_store::Error),
    /// The settings.
    #[error("{0}")]
    Settings(String),
}

type Result<T> = std::result::Result<T, StorageError>;

/// The store of uploaded files.
#[derive(Debug)]
pub struct Storage {
    folder: PathBuf,
    cloud: Option<Cloud>,
}

/// A file's bytes on this machine, for as long as this value lives.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    /// Set for a copy that goes away with this value.
    _copy: Option<tempfile::TempPath>,
}

impl LocalFile {
    /// Where the bytes are.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes on their way out.
pub struct Outgoing {
    /// Size of the whole file.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Names the version of the bytes.
    pub tag: String,
    /// The bytes that were asked for.
    pub body: BoxStream<'static, std::io::Result<Bytes>>,
}

/// What a stored file is, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Size in bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Names the version of the bytes.
    pub tag: String,
}

impl Storage {
    /// The store that the settings name. Removes what cut-off uploads left behind.
    ///
    /// # Errors
    /// Settings that name no store, or an incomplete one, and a folder that can not be read.
    pub fn new(settings: &Settings) -> Result<Self> {
        let folder = settings.server.upload_dir();
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PART) {
                std::fs::remove_file(entry.path())?;
            }
        }
        let cloud = Cloud::of(&settings.storage)?;
        Ok(Self { folder, cloud })
    }

    /// Begins an upload.
    pub async fn receive(&self) -> Result<Incoming> {
        Ok(Incoming::new(&self.folder).await?)
    }

    /// Keeps a received file under `name` and answers its path. `tags` are put on it where the store knows tags.
    ///
    /// # Errors
    /// [`StorageError::NameTooLong`] leaves the file received, so that another name can be tried.
    pub async fn keep(&self, incoming: &mut Incoming, name: &str, tags: &[(&str, &str)]) -> Result<String> {
        incoming.flush().await?;
        if let Some(cloud) = &self.cloud {
            return cloud.put(incoming.path(), name, tags).await;
        }
        let path = self.folder.join(name);
        incoming.move_to(&path).await?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Size and version of a file.
    pub async fn facts(&self, path: &str) -> Result<Facts> {
        match &self.cloud {
            Some(cloud) if cloud.owns(path) => cloud.facts(path).await,
            _ => {
                let meta = tokio::fs::metadata(path).await.map_err(missing)?;
                if !meta.is_file() {
                    return Err(StorageError::Missing);
                }
                Ok(local_facts(&meta))
            }
        }
    }

    /// Reads a file or a part of it.
    pub async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Outgoing> {
        if let Some(cloud) = self.cloud.as_ref().filter(|cloud| cloud.owns(path)) {
            return cloud.read(path, range).await;
        }
        let mut file = tokio::fs::File::open(path).await.map_err(missing)?;
        let meta = file.metadata().await?;
        if !meta.is_file() {
            return Err(StorageError::Missing);
        }
        let facts = local_facts(&meta);
        let range = range.unwrap_or(0..facts.size);
        if range.start > 0 {
            file.seek(std::io::SeekFrom::Start(range.start)).await?;
        }
        let length = range.end.saturating_sub(range.start);
        let body = ReaderStream::with_capacity(file.take(length), 64 * 1024).boxed();
        Ok(Outgoing {
            size: facts.size,
            modified: facts.modified,
            tag: facts.tag,
            body,
        })
    }

    /// The whole file in memory.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut outgoing = self.read(path, None).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(outgoing.size).unwrap_or_default());
        while let Some(piece) = outgoing.body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    /// The file on this machine: itself, or a copy that lives as long as the answer.
    pub async fn local(&self, path: &str) -> Result<LocalFile> {
        let Some(cloud) = self.cloud.as_ref().filter(|cloud| cloud.owns(path)) else {
            return match tokio::fs::metadata(path).await {
                Ok(meta) if meta.is_file() => Ok(LocalFile {
                    path: PathBuf::from(path),
                    _copy: None,
                }),
                Ok(_) => Err(StorageError::Missing),
                Err(error) => Err(missing(error)),
            };
        };
        let mut incoming = Incoming::new(&self.folder).await?;
        let mut outgoing = cloud.read(path, None).await?;
        while let Some(piece) = outgoing.body.next().await {
            incoming.write(&piece?).await?;
        }
        incoming.flush().await?;
        let copy = incoming.into_temp_path().ok_or(StorageError::Missing)?;
        Ok(LocalFile {
            path: copy.to_path_buf(),
            _copy: Some(copy),
        })
    }

    /// Removes a file. One that is gone already is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        if let Some(cloud) = self.cloud.as_ref().filter(|cloud| cloud.owns(path)) {
            cloud.delete(path).await?;
        }
        // Local files are looked for by name in the folder of uploads, wherever the row says they are. This also
        // keeps rows with foreign paths from deleting anything else.
        let Some(name) = Path::new(path).file_name() else {
            return Ok(());
        };
        match tokio::fs::remove_file(self.folder.join(name)).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all files, uploads in flight excepted.
    pub async fn delete_all(&self) -> Result<()> {
        if let Some(cloud) = &self.cloud {
            cloud.delete_all().await?;
        }
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().starts_with(PART) {
                continue;
            }
            let removed = if entry.file_type().await?.is_dir() {
                tokio::fs::remove_dir_all(entry.path()).await
            } else {
                tokio::fs::remove_file(entry.path()).await
            };
            if let Err(error) = removed {
                tracing::warn!(path = %entry.path().display(), %error, "a file could not be removed");
            }
        }
        Ok(())
    }
}

fn missing(error: std::io::Error) -> StorageError {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => StorageError::Missing,
        _ => error.into(),
    }
}

fn local_facts(meta: &std::fs::Metadata) -> Facts {
    let age = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .unwrap_or_default();
    Facts {
        size: meta.len(),
        modified: age.as_secs(),
        tag: format!("{:x}-{:x}", age.as_nanos(), meta.len()),
    }
}

#[cfg(test)]
mod tests;
