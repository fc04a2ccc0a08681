//! Compressed variants of the client's files, made once and kept on disk beside them: at
//! installation for the whole tree, later one by one for files that have none yet (a build folder
//! of the user's own, or a file edited by hand). A variant's name carries the stamp of its source,
//! so that an edited file never meets an old variant. Does not decide which variant a client gets.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

/// Files below this fit into one network packet: compressing them gains nothing.
const MIN_SIZE: u64 = 1400;
/// Larger files are served as they are (none in the client; guards memory).
const MAX_SIZE: u64 = 128 << 20;
/// A variant has to save at least a twentieth.
const WORTH_PERCENT: u64 = 95;

/// A content encoding that is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    /// Best first; the order in which the original server prefers them.
    pub(crate) const ALL: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];

    /// Its name in HTTP headers.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Gzip => "gz",
        }
    }
}

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Best,
    Fast,
}

impl Effort {
    /// Brotli quality by size. Measured on the client's files against 5: for small ones 10 saves 7 % in
    /// 20 times the time, 11 another 2 % in twice that again, and 9 is slow on many small files for
    /// nothing; for large ones 9 saves 4 % in three times the time, 10 and 11 would take minutes.
    fn brotli_quality(self, size: u64) -> u32 {
        match self {
            Effort::Fast => 5,
            Effort::Best if size <= 256 << 10 => 10,
            Effort::Best => 9,
        }
    }
}

/// Identity of a file's content as far as the file system tells: change time and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) nanos: u128,
    pub(crate) size: u64,
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Self {
        let modified = meta
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            nanos: modified.map_or(0, |since| since.as_nanos()),
            size: meta.len(),
        }
    }
}

/// The variants of one file tree.
#[derive(Debug, Clone)]
pub(crate) struct Variants {
    dir: PathBuf,
}

impl Variants {
    /// Variants kept below `dir`, which need not exist.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Whether a file of this size can have variants (its type is the caller's question).
    pub(crate) fn worthwhile(size: u64) -> bool {
        (MIN_SIZE..=MAX_SIZE).contains(&size)
    }

    /// Where the variant of the file `relative` with that stamp is, if it is.
    pub(crate) fn path(&self, relative: &Path, stamp: Stamp, encoding: Encoding) -> PathBuf {
        let mut name = relative.as_os_str().to_owned();
        name.push(format!(
            ".{:x}-{:x}.{}",
            stamp.nanos,
            stamp.size,
            encoding.extension()
        ));
        self.dir.join(name)
    }

    /// Makes the variants of one file; those that save nothing are not kept.
    pub(crate) fn make(&self, relative: &Path, source: &Path, effort: Effort) -> io::Result<()> {
        let mut file = File::open(source)?;
        let stamp = Stamp::of(&file.metadata()?);
        if !Self::worthwhile(stamp.size) {
            return Ok(());
        }
        let mut content = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0));
        file.read_to_end(&mut content)?;
        for encoding in Encoding::ALL {
            let packed = pack(&content, encoding, effort)?;
            if packed.len() as u64 * 100 <= content.len() as u64 * WORTH_PERCENT {
                self.keep(&self.path(relative, stamp, encoding), &packed)?;
            }
        }
        Ok(())
    }

    /// Writes through a temporary file: a reader never sees half a variant.
    fn keep(&self, target: &Path, packed: &[u8]) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(folder)?;
        file.write_all(packed)?;
        #[cfg(unix)]
        {
            // Temporary files are private; these are as public as their sources.
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(target)?;
        Ok(())
    }
}

fn pack(content: &[u8], encoding: Encoding, effort: Effort) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    match encoding {
        Encoding::Brotli => {
            let quality = effort.brotli_quality(content.len() as u64);
            let mut writer = brotli::CompressorWriter::new(&mut packed, 64 << 10, quality, 22);
            writer.write_all(content)?;
            // Ends the stream; the writer only borrows `packed`.
            writer.into_inner();
        }
        Encoding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::best());
            writer.write_all(content)?;
            writer.finish()?;
        }
    }
    Ok(packed)
}

/// Makes the variants of all compressible files of some trees on all processors. `progress` gets
/// files done and files in all.
pub(crate) fn compress_trees(
    trees: &[(PathBuf, Variants)],
    effort: Effort,
    progress: impl Fn(u64, u64) + Sync,
) -> io::Result<()> {
    let mut files: Vec<(usize, PathBuf, u64)> = Vec::new();
    for (index, (root, _)) in trees.iter().enumerate() {
        collect(root, root, &mut |relative, size| {
            files.push((index, relative, size))
        })?;
    }
    // Largest first, so that no thread is left with a large one at the end.
    files.sort_by_key(|(_, _, size)| std::cmp::Reverse(*size));
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let worker = || {
        while let Some((tree, relative, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (root, variants) = &trees[*tree];
            if let Err(error) = variants.make(relative, &root.join(relative), effort) {
                failed.lock().get_or_insert(error);
                next.store(files.len(), Ordering::Relaxed);
                return;
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len() as u64);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Calls `found` with the relative path and size of every file worth compressing below `folder`.
fn collect(root: &Path, folder: &Path, found: &mut impl FnMut(PathBuf, u64)) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if meta.is_dir() {
            collect(root, &path, found)?;
        } else if meta.is_file()
            && Variants::worthwhile(meta.len())
            && crate::serve::media::of(&path).compressible()
            && let Ok(relative) = path.strip_prefix(root)
        {
            found(relative.to_path_buf(), meta.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf, Variants) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        let variants = Variants::new(dir.path().join("packed"));
        (dir, root, variants)
    }

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&path.metadata().unwrap())
    }

    #[test]
    fn variants_unpack_to_their_source() {
        let (_dir, root, variants) = tree();
        let text = "export const a = 1;\n".repeat(500);
        std::fs::write(root.join("sub/a.js"), &text).unwrap();
        std::fs::write(root.join("small.js"), "x").unwrap();
        std::fs::write(root.join("picture.png"), &text).unwrap();
        let counts = Mutex::new(Vec::new());
        compress_trees(
            &[(root.clone(), variants.clone())],
            Effort::Best,
            |done, total| counts.lock().push((done, total)),
        )
        .unwrap();
        assert_eq!(counts.into_inner(), [(1, 1)], "only the large script is worth it");

        let relative = Path::new("sub/a.js");
        let stamp = stamp(&root.join(relative));
        let mut unpacked = String::new();
        let br = File::open(variants.path(relative, stamp, Encoding::Brotli)).unwrap();
        brotli::Decompressor::new(br, 4096)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        let mut unpacked = String::new();
        let gz = File::open(variants.path(relative, stamp, Encoding::Gzip)).unwrap();
        flate2::read::GzDecoder::new(gz)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn an_edited_file_has_another_stamp() {
        let (_dir, root, variants) = tree();
        let path = root.join("a.css");
        std::fs::write(&path, "a{}".repeat(1000)).unwrap();
        variants.make(Path::new("a.css"), &path, Effort::Fast).unwrap();
        assert!(
            variants
                .path(Path::new("a.css"), stamp(&path), Encoding::Gzip)
                .exists()
        );
        std::fs::write(&path, "b{}".repeat(1001)).unwrap();
        assert!(
            !variants
                .path(Path::new("a.css"), stamp(&path), Encoding::Gzip)
                .exists()
        );
    }

    #[test]
    fn what_does_not_shrink_is_not_kept() {
        let (_dir, root, variants) = tree();
        let path = root.join("noise.wasm");
        let noise: Vec<u8> = (0..8192).map(|_| rand::random()).collect();
        std::fs::write(&path, noise).unwrap();
        variants
            .make(Path::new("noise.wasm"), &path, Effort::Best)
            .unwrap();
        assert!(
            !variants
                .path(Path::new("noise.wasm"), stamp(&path), Encoding::Brotli)
                .exists()
        );
    }

    #[test]
    fn a_missing_tree_has_nothing_to_compress() {
        let missing = PathBuf::from("/nowhere/at/all");
        compress_trees(
            &[(missing.clone(), Variants::new(missing))],
            Effort::Fast,
            |_, _| panic!("no files"),
        )
        .unwrap();
    }
}
