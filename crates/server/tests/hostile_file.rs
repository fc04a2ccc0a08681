//! A file that a reader would never be done with ends the process that reads it, and nothing else.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what a test cannot do ends it")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What the worker says of a file; `null` when it has ended before it could.
fn read(path: &str) -> Value {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_oui"))
        .arg("extract-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let job = json!({
        "path": path, "name": "a.txt", "content_type": "text/plain",
        "settings": { "single_page": false, "ocr": null },
    });
    let mut input = worker.stdin.take().unwrap();
    input.write_all(job.to_string().as_bytes()).unwrap();
    drop(input);
    let output = worker.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn a_file_without_end_is_not_read() {
    let good = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(good.path(), "a text").unwrap();
    let answer = read(good.path().to_str().unwrap());
    assert_eq!(answer["Ok"][0]["text"], "a text", "{answer}");
    // Two gigabytes of memory are allowed.
    let answer = read("/dev/zero");
    assert!(answer["Ok"].is_null(), "{answer}");
}
