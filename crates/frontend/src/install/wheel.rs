//! Reading the client's wheel: its name and version, its list of checksums, and the part that is
//! unpacked. A wheel is trusted with nothing: names, sizes and contents are checked before and
//! while files are written. Does not know where the wheel came from or where the files end up.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::error::{InstallError, at};
use super::progress::{Board, Step};
use crate::layout::{CHANGELOG, FRONTEND, LICENSES, STATIC};
use crate::{FRONTEND_PACKAGE, FRONTEND_VERSION};

/// Limits against files made to fill the disk. The published wheel unpacks to 230 MB in 4,600
/// frontend files, the largest 21 MB.
const MAX_TOTAL: u64 = 1 << 30;
const MAX_FILE: u64 = 256 << 20;
const MAX_FILES: usize = 50_000;
/// Limit of the metadata files themselves (RECORD of the published wheel: 0.6 MB).
const MAX_METADATA: u64 = 16 << 20;

/// Folder of the package inside the wheel.
const PACKAGE_DIR: &str = "open_webui";

/// An opened wheel of the right name and version.
#[derive(Debug)]
pub(super) struct Wheel {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// Name of the metadata folder, `<name>-<version>.dist-info`.
    info: String,
    record: HashMap<String, Recorded>,
}

/// Checksum and size that the wheel claims for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    sha256: Vec<u8>,
    size: u64,
}

/// What was unpacked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// One file to unpack: entry number, name in the wheel, place below the target, claims.
struct Job {
    index: usize,
    entry: String,
    place: PathBuf,
    recorded: Recorded,
}

impl Wheel {
    /// Opens a wheel and checks that it is the client of this version.
    pub(super) fn open(path: &Path) -> Result<Self, InstallError> {
        let file = File::open(path).map_err(at(path))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| unreadable(path, error))?;
        let info = info_dir(&archive).ok_or_else(|| unreadable(path, "it has no .dist-info/METADATA"))?;
        let metadata = read_text(path, &mut archive, &format!("{info}/METADATA"))?;
        let (name, version) = name_and_version(&metadata);
        if normal(&name) != FRONTEND_PACKAGE || version != FRONTEND_VERSION {
            return Err(InstallError::WrongWheel {
                wheel: path.to_path_buf(),
                name,
                version,
            });
        }
        let record = parse_record(&read_text(path, &mut archive, &format!("{info}/RECORD"))?);
        Ok(Self {
            path: path.to_path_buf(),
            archive,
            info,
            record,
        })
    }

    /// Writes the frontend, its static files, the release notes and the licences below `into`.
    pub(super) fn unpack(mut self, into: &Path, board: &Board) -> Result<Unpacked, InstallError> {
        let jobs = self.plan()?;
        let total = jobs.len() as u64;
        let mut unpacked = Unpacked::default();
        board.set(Step::Unpacking { done: 0, total });
        for job in &jobs {
            self.write(job, &into.join(&job.place))?;
            unpacked.files += 1;
            unpacked.bytes += job.recorded.size;
            board.set(Step::Unpacking {
                done: unpacked.files,
                total,
            });
        }
        Ok(unpacked)
    }

    /// Chooses the entries to unpack and refuses unsafe ones before anything is written.
    fn plan(&self) -> Result<Vec<Job>, InstallError> {
        let mut jobs = Vec::new();
        let mut bytes = 0_u64;
        for index in 0..self.archive.len() {
            let Some(name) = self.archive.name_for_index(index) else {
                continue;
            };
            let entry = name.to_owned();
            let Some(wanted) = place_of(&entry, &self.info) else {
                continue;
            };
            let place = safe_path(&wanted).ok_or_else(|| self.unsafe_entry(&entry))?;
            let recorded = self
                .record
                .get(&entry)
                .cloned()
                .ok_or_else(|| self.damaged(&entry))?;
            bytes = bytes.saturating_add(recorded.size);
            if recorded.size > MAX_FILE || bytes > MAX_TOTAL {
                return Err(self.too_large(format!("{} MB", MAX_TOTAL >> 20)));
            }
            jobs.push(Job {
                index,
                entry,
                place,
                recorded,
            });
        }
        if jobs.len() > MAX_FILES {
            return Err(self.too_large(format!("{MAX_FILES} files")));
        }
        Ok(jobs)
    }

    /// Writes one file, reading no more than its recorded size and checking its checksum.
    fn write(&mut self, job: &Job, target: &Path) -> Result<(), InstallError> {
        let wheel = self.path.clone();
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        let damaged = InstallError::Damaged {
            wheel: wheel.clone(),
            entry: job.entry.clone(),
        };
        let entry = self
            .archive
            .by_index(job.index)
            .map_err(|error| unreadable(&wheel, error))?;
        if !entry.is_file() {
            return Err(InstallError::UnsafeEntry {
                wheel,
                entry: job.entry.clone(),
            });
        }
        // A name that stands in the archive twice fails here: a later file never replaces an earlier one.
        let mut file = File::create_new(target).map_err(at(target))?;
        let mut source = entry.take(job.recorded.size + 1);
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            // A broken deflate stream or a wrong CRC shows as a read error: the wheel's fault, not the disk's.
            let Ok(count) = source.read(&mut buffer) else {
                return Err(damaged);
            };
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            size += count as u64;
            file.write_all(&buffer[..count]).map_err(at(target))?;
        }
        let matches = size == job.recorded.size && hash.finalize().as_slice() == job.recorded.sha256;
        if matches { Ok(()) } else { Err(damaged) }
    }

    fn damaged(&self, entry: &str) -> InstallError {
        InstallError::Damaged {
            wheel: self.path.clone(),
            entry: entry.to_owned(),
        }
    }

    fn unsafe_entry(&self, entry: &str) -> InstallError {
        InstallError::UnsafeEntry {
            wheel: self.path.clone(),
            entry: entry.to_owned(),
        }
    }

    fn too_large(&self, limit: String) -> InstallError {
        InstallError::TooLarge {
            wheel: self.path.clone(),
            limit,
        }
    }
}

/// Where an entry goes, or `None` when it is not unpacked.
fn place_of(entry: &str, info: &str) -> Option<String> {
    if entry.ends_with('/') {
        return None;
    }
    let inside = |folder: &str, rest: &str| format!("{folder}/{rest}");
    if let Some(rest) = entry.strip_prefix(info) {
        return rest.strip_prefix("/licenses/").map(|rest| inside(LICENSES, rest));
    }
    let rest = entry.strip_prefix(PACKAGE_DIR)?.strip_prefix('/')?;
    match rest.split_once('/') {
        Some(("frontend", rest)) => Some(inside(FRONTEND, rest)),
        Some(("static", rest)) => Some(inside(STATIC, rest)),
        None if rest == "CHANGELOG.md" => Some(CHANGELOG.to_owned()),
        _ => None,
    }
}

/// A relative path of plain names, the same on every system: no `..`, no empty or dotted parts, no
/// backslashes, drive letters, streams or control characters.
fn safe_path(wanted: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.chars().any(|c| matches!(c, '\\' | ':') || c.is_control())
    };
    wanted.split('/').all(plain).then(|| wanted.split('/').collect())
}

/// The wheel's metadata folder: the only top-level `*.dist-info` with a METADATA file.
fn info_dir(archive: &ZipArchive<BufReader<File>>) -> Option<String> {
    archive.file_names().find_map(|name| {
        let folder = name.strip_suffix("/METADATA")?;
        (folder.ends_with(".dist-info") && !folder.contains('/')).then(|| folder.to_owned())
    })
}

fn read_text(
    path: &Path,
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<String, InstallError> {
    let entry = archive.by_name(name).map_err(|error| unreadable(path, error))?;
    let mut text = String::new();
    entry
        .take(MAX_METADATA)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(path, error))?;
    Ok(text)
}

/// `Name` and `Version` of a METADATA file (headers up to the first empty line).
fn name_and_version(metadata: &str) -> (String, String) {
    let field = |wanted: &str| {
        metadata
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map_or_else(|| "(unnamed)".to_owned(), |(_, value)| value.trim().to_owned())
    };
    (field("Name"), field("Version"))
}

/// A package name in its normal form: lower case, runs of `-`, `_` and `.` as one hyphen (PEP 503).
fn normal(name: &str) -> String {
    let parts: Vec<_> = name
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("-").to_ascii_lowercase()
}

/// Reads RECORD: comma-separated `path,sha256=<unpadded urlsafe base64>,size`, paths quoted when they
/// hold commas. Lines without a SHA-256 (RECORD itself) are left out.
fn parse_record(text: &str) -> HashMap<String, Recorded> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim_end().rsplitn(3, ',');
            let size = fields.next()?.parse().ok()?;
            let sha256 = URL_SAFE_NO_PAD
                .decode(fields.next()?.strip_prefix("sha256=")?)
                .ok()?;
            let path = fields.next()?;
            let path = match path.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => path.to_owned(),
            };
            Some((path, Recorded { sha256, size }))
        })
        .collect()
}

fn unreadable(wheel: &Path, reason: impl std::fmt::Display) -> InstallError {
    InstallError::Unreadable {
        wheel: wheel.to_path_buf(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_client_is_unpacked() {
        let info = "open_webui-0.12.4.dist-info";
        let place = |entry: &str| place_of(entry, info);
        assert_eq!(
            place("open_webui/frontend/_app/a.js").as_deref(),
            Some("frontend/_app/a.js")
        );
        assert_eq!(
            place("open_webui/static/swagger-ui/a.css").as_deref(),
            Some("static/swagger-ui/a.css")
        );
        assert_eq!(place("open_webui/CHANGELOG.md").as_deref(), Some("CHANGELOG.md"));
        assert_eq!(
            place(&format!("{info}/licenses/LICENSE")).as_deref(),
            Some("licenses/LICENSE")
        );
        for other in [
            "open_webui/main.py",
            "open_webui/frontend/",
            "open_webui_x/frontend/a",
            "data/readme.txt",
        ] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        assert_eq!(
            safe_path("frontend/a b/ü.js"),
            Some(PathBuf::from("frontend/a b/ü.js"))
        );
        for bad in [
            "frontend/../x",
            "frontend//x",
            "frontend/./x",
            "frontend/a\\..\\x",
            "frontend/c:x",
            "frontend/a\0",
        ] {
            assert_eq!(safe_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn record_lines_are_read() {
        let record = parse_record(
            "a/b.js,sha256=AAEC,3\r\n\"c,\"\"d\"\".js\",sha256=_w,1\nx/RECORD,,\nold.js,md5=AA,1\n",
        );
        assert_eq!(record.len(), 2);
        assert_eq!(
            record["a/b.js"],
            Recorded {
                sha256: vec![0, 1, 2],
                size: 3
            }
        );
        assert_eq!(
            record["c,\"d\".js"],
            Recorded {
                sha256: vec![255],
                size: 1
            }
        );
    }

    #[test]
    fn names_are_compared_in_normal_form() {
        assert_eq!(normal("Open_WebUI"), "open-webui");
        assert_eq!(normal("open.-_webui"), "open-webui");
        let metadata = "Metadata-Version: 2.5\nName: open-webui\nversion: 0.12.4\n\nName: body\n";
        assert_eq!(
            name_and_version(metadata),
            ("open-webui".to_owned(), "0.12.4".to_owned())
        );
    }
}
