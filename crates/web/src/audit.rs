//! The audit log: one JSON object a line, in a file that is closed, zipped and begun anew when it is full. What is
//! audited is decided by the middleware of the server crate; secrets are taken out there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use oui_core::Clock;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Where the log goes.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The file; `None` writes none.
    pub file: Option<PathBuf>,
    /// Size in bytes at which a new file begins.
    pub rotate_at: u64,
    /// Lines go to standard output as well.
    pub to_stdout: bool,
    /// Time.
    pub clock: Clock,
}

/// One line.
#[derive(Debug, Clone, Default)]
pub struct AuditEntry {
    /// Id of the request.
    pub id: String,
    /// `{id, name, email, role}` of who asked, as far as it is known.
    pub user: Value,
    /// Name of the level.
    pub level: &'static str,
    /// HTTP method, or the kind of a security event.
    pub verb: String,
    /// Address that was asked.
    pub request_uri: String,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Address of the client.
    pub source_ip: Option<String>,
    /// Its name of itself.
    pub user_agent: Option<String>,
    /// Body of the request, as far as it is kept.
    pub request: Option<String>,
    /// Body of the answer, as far as it is kept.
    pub response: Option<String>,
    /// What else there is to say.
    pub extra: Value,
}

/// Takes entries; a thread of its own writes them.
pub struct AuditLog {
    lines: Option<Mutex<Option<Sender<String>>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    clock: Clock,
}

impl AuditLog {
    /// A log that keeps nothing.
    pub fn off(clock: Clock) -> Self {
        Self {
            lines: None,
            thread: Mutex::default(),
            clock,
        }
    }

    /// Opens the log.
    ///
    /// # Errors
    /// The file can not be written to.
    pub fn open(options: AuditOptions) -> io::Result<Self> {
        let clock = options.clock.clone();
        let mut writer = Writer::open(options)?;
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            lines: Some(Mutex::new(Some(sender))),
            thread: Mutex::new(Some(thread)),
            clock,
        })
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds an entry; never waits for the disk.
    pub fn write(&self, entry: &AuditEntry) {
        let Some(lines) = &self.lines else { return };
        let line = json!({
            "id": entry.id,
            "timestamp": self.clock.seconds(),
            "user": if entry.user.is_null() { json!({}) } else { entry.user.clone() },
            "audit_level": entry.level,
            "verb": entry.verb,
            "request_uri": entry.request_uri,
            "response_status_code": entry.status,
            "source_ip": entry.source_ip,
            "user_agent": entry.user_agent,
            "model_id": null,
            "usage": null,
            "request_object": entry.request,
            "response_object": entry.response,
            "extra": if entry.extra.is_null() { json!({}) } else { entry.extra.clone() },
        });
        if let Some(lines) = &*lines.lock() {
            // The thread ends when the log is closed, and then there is nobody to be told of a line.
            let _ = lines.send(line.to_string());
        }
    }

    /// Waits until everything is written. Later entries are lost.
    pub fn close(&self) {
        if let Some(lines) = &self.lines {
            lines.lock().take();
        }
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the audit log ended with a fault");
        }
    }
}

/// The writing side.
struct Writer {
    options: AuditOptions,
    file: Option<File>,
    size: u64,
}

impl Writer {
    fn open(options: AuditOptions) -> io::Result<Self> {
        let mut writer = Self {
            options,
            file: None,
            size: 0,
        };
        writer.begin()?;
        Ok(writer)
    }

    fn begin(&mut self) -> io::Result<()> {
        if let Some(path) = &self.options.file {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        Ok(())
    }

    fn run(&mut self, lines: &Receiver<String>) {
        while let Ok(line) = lines.recv() {
            if let Err(error) = self.write(&line) {
                tracing::error!(%error, "the audit log could not be written");
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        if self.options.to_stdout {
            io::stdout().write_all(line.as_bytes())?;
        }
        let length = line.len() as u64;
        if self.file.is_some() && self.size > 0 && self.size + length > self.options.rotate_at {
            self.rotate()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.size += length;
        }
        Ok(())
    }

    /// Puts the full file aside, zipped, and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(path) = self.options.file.clone() else {
            return Ok(());
        };
        self.file = None;
        let full = aside(&path, self.options.clock.nanos());
        std::fs::rename(&path, &full)?;
        self.begin()?;
        compress(&full)
    }
}

/// `audit.2026-01-31_23-59-59_000000.log` for `audit.log`; `now` in nanoseconds.
fn aside(path: &Path, now: i64) -> PathBuf {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default();
    let stamp = format!(
        "{}_{:06}",
        stamp.strftime("%Y-%m-%d_%H-%M-%S"),
        now / 1000 % 1_000_000
    );
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path
        .extension()
        .map(|ending| format!(".{}", ending.to_string_lossy()))
        .unwrap_or_default();
    path.with_file_name(format!("{stem}.{stamp}{ending}"))
}

fn compress(path: &Path) -> io::Result<()> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut zipped = path.as_os_str().to_owned();
    zipped.push(".zip");
    let mut archive = zip::ZipWriter::new(File::create(PathBuf::from(zipped))?);
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file(name, options).map_err(io::Error::other)?;
    io::copy(&mut File::open(path)?, &mut archive)?;
    archive.finish().map_err(io::Error::other)?.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_zipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut writer = Writer::open(AuditOptions {
            file: Some(path.clone()),
            rotate_at: 25,
            to_stdout: false,
            clock: Clock::fixed(1_700_000_000),
        })
        .unwrap();
        for line in ["0123456789", "abcdefghij", "klmnopqrst"] {
            writer.write(line).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "klmnopqrst\n");
        let zipped = folder.path().join("audit.2023-11-14_22-13-20_000000.log.zip");
        let mut archive = zip::ZipArchive::new(File::open(zipped).unwrap()).unwrap();
        let text = io::read_to_string(archive.by_index(0).unwrap()).unwrap();
        assert_eq!(text, "0123456789\nabcdefghij\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
