//! What is logged and how, and the audit log.

use std::path::PathBuf;

use super::spec::{Spec, flag, int, optional_path, settings, text};
use crate::python;

settings! {
    "Logging";
    /// What is logged and how.
    pub struct Logging {
        /// Least severe messages to log: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        GLOBAL_LOG_LEVEL => pub level: LogLevel = Spec::new("a log level", "INFO", log_level);
        /// `json` logs one JSON object per line; anything else logs text.
        LOG_FORMAT => pub(crate) format: String = text("");
        /// What the audit log holds: `NONE`, `METADATA`, `REQUEST` or `REQUEST_RESPONSE`.
        AUDIT_LOG_LEVEL => pub audit_level: AuditLevel = Spec::new("an audit level", "NONE", audit_level);
        /// Writes the audit log to its file.
        ENABLE_AUDIT_LOGS_FILE => pub audit_to_file: bool = flag("true");
        /// Writes the audit log to standard output.
        ENABLE_AUDIT_STDOUT => pub audit_to_stdout: bool = flag("false");
        /// File of the audit log; empty uses `audit.log` in `DATA_DIR`.
        AUDIT_LOGS_FILE_PATH => pub(crate) audit_file: Option<PathBuf> = optional_path();
        /// Size at which a new audit file begins, such as `10MB`.
        AUDIT_LOG_FILE_ROTATION_SIZE => pub audit_rotation_bytes: u64 =
            Spec::new("a size", "10MB", size).strict();
        /// Bytes of a request or response body kept in the audit log.
        MAX_BODY_LOG_SIZE => pub audit_max_body: usize = int("2048");
        /// Paths left out of the audit log, separated by commas.
        AUDIT_EXCLUDED_PATHS => pub audit_excluded: Vec<String> =
            Spec::new("a list with commas", "/chats,/chat,/folders", paths);
        /// Only these paths are audited, separated by commas; empty audits all but the excluded ones.
        AUDIT_INCLUDED_PATHS => pub audit_included: Vec<String> = Spec::new("a list with commas", "", paths);
        /// Audits reading requests as well.
        ENABLE_AUDIT_GET_REQUESTS => pub audit_reads: bool = flag("false");
    }
}

/// Least severe messages to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For finding faults.
    Debug,
    /// Normal operation.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// How much of a request the audit log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditLevel {
    /// No audit log.
    None,
    /// Who asked for what.
    Metadata,
    /// And the body of the request.
    Request,
    /// And the body of the response.
    RequestResponse,
}

impl Logging {
    /// Whether log lines are JSON objects.
    pub fn json(&self) -> bool {
        self.format.eq_ignore_ascii_case("json")
    }
}

fn log_level(text: &str) -> Option<LogLevel> {
    Some(match text.to_uppercase().as_str() {
        "NOTSET" => LogLevel::Trace,
        "DEBUG" => LogLevel::Debug,
        "INFO" => LogLevel::Info,
        "WARN" | "WARNING" => LogLevel::Warn,
        "ERROR" | "CRITICAL" | "FATAL" => LogLevel::Error,
        _ => return None,
    })
}

fn audit_level(text: &str) -> Option<AuditLevel> {
    Some(match text.to_uppercase().as_str() {
        "NONE" => AuditLevel::None,
        "METADATA" => AuditLevel::Metadata,
        "REQUEST" => AuditLevel::Request,
        "REQUEST_RESPONSE" => AuditLevel::RequestResponse,
        _ => return None,
    })
}

fn paths(text: &str) -> Option<Vec<String>> {
    let paths = text.split(',').map(|path| path.trim().trim_start_matches('/'));
    Some(paths.filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// `10MB`, `500 KiB`, `1e6`: decimal units, binary ones with an `i`; no unit means bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[number.len()..].to_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = unit
        .strip_suffix('i')
        .map_or((unit, 1000.0_f64), |prefix| (prefix, 1024.0));
    let power = ["", "k", "m", "g", "t"]
        .iter()
        .position(|known| *known == prefix)?;
    let bytes = python::float(number)? * base.powi(i32::try_from(power).ok()?);
    (1.0..9.0e15).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("10MB"), Some(10_000_000));
        assert_eq!(size("1.5 KiB"), Some(1536));
        assert_eq!(size("500"), Some(500));
        assert_eq!(size("ten MB"), None);
        assert_eq!(size("0"), None);
    }

    #[test]
    fn audit_paths_lose_their_slash() {
        assert_eq!(
            paths("/chats, chat,, //x"),
            Some(vec!["chats".into(), "chat".into(), "x".into()])
        );
    }
}
