//! Documents that are ZIP archives: their parts, and limits on what they may unfold to.

use std::io::{Cursor, Read};
use std::path::Path;

use zip::ZipArchive;

use super::Result;
use crate::LoadError;

const MEGABYTE: u64 = 1024 * 1024;
/// Bytes that one part may have.
const MAX_PART: u64 = 256 * MEGABYTE;

/// Refuses archives that claim to unfold to much more than they are. What is no archive is left to its reader.
pub(super) fn check_size(path: &Path, max_megabytes: Option<i64>) -> Result<()> {
    let Ok(file) = std::fs::File::open(path) else {
        return Ok(());
    };
    let size = file.metadata().map(|meta| meta.len()).unwrap_or_default();
    let Ok(mut archive) = ZipArchive::new(file) else {
        return Ok(());
    };
    let mut unfolded: u64 = 0;
    for index in 0..archive.len() {
        if let Ok(entry) = archive.by_index_raw(index) {
            unfolded = unfolded.saturating_add(entry.size());
        }
    }
    let limit = max_megabytes
        .and_then(|size| u64::try_from(size).ok())
        .map_or(100 * MEGABYTE, |size| size.saturating_mul(MEGABYTE));
    if unfolded > limit.min((size * 100).max(10 * MEGABYTE)) {
        return Err(LoadError::new(
            "Document archive is too large after decompression",
        ));
    }
    Ok(())
}

/// An open archive.
pub(super) struct Parts(ZipArchive<Cursor<Vec<u8>>>);

impl Parts {
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self> {
        ZipArchive::new(Cursor::new(bytes))
            .map(Self)
            .map_err(|error| LoadError::new(format!("The document is damaged: {error}")))
    }

    /// Names of the parts in the order of the archive.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.file_names().map(str::to_owned).collect()
    }

    /// A part, if it is there.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Ok(part) = self.0.by_name(name) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        // The size in the directory may lie: only what is read counts.
        part.take(MAX_PART)
            .read_to_end(&mut bytes)
            .map_err(|error| LoadError::new(format!("The document is damaged: {error}")))?;
        if bytes.len() as u64 == MAX_PART {
            return Err(LoadError::new(
                "Document archive is too large after decompression",
            ));
        }
        Ok(Some(bytes))
    }

    /// A part that has to be there.
    pub(super) fn need(&mut self, name: &str) -> Result<Vec<u8>> {
        self.find(name)?
            .ok_or_else(|| LoadError::new(format!("The document is damaged: {name} is missing")))
    }
}
