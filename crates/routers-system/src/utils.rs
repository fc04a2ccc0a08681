//! `/api/v1/utils`: small services of the client and the administration.

use std::process::Stdio;
use std::time::Duration;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::response::{IntoResponse, Response};
use http::header;
use oui_config::code as keys;
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_models::database_copy;
use oui_plugins::code;
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

/// How long the formatter may take.
const FORMAT_TIMEOUT: Duration = Duration::from_secs(30);
/// What is said where there is no formatter.
const NO_BLACK: &str = "Code can not be formatted: the server has no `black`. Get it with `oui python install` or `pip install black`.";

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "utils" at "/api/v1/utils";
        GET  "/gravatar"    Verified => gravatar,
        POST "/code/format" Admin    => format_code,
        POST "/code/execute" Verified => execute_code,
        GET  "/db/download" Admin    => download,
    }
}

form! {
    struct GravatarQuery {
        email: String,
    }
}

form! {
    struct CodeForm {
        code: String,
    }
}

/// Address of the picture that belongs to an e-mail address.
async fn gravatar(_: Caller<Verified>, Query(query): Query<GravatarQuery>) -> Json<String> {
    let digest = Sha256::digest(query.email.trim().to_lowercase());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Json(format!("https://www.gravatar.com/avatar/{hash}?d=mp"))
}

/// Formats Python with the `black` of the plugins' Python, or with the operator's.
async fn format_code(caller: Caller<Admin>, Body { form, .. }: Body<CodeForm>) -> ApiResult<Json<Value>> {
    let python = caller.app().settings.plugins.python.as_str();
    let formatters = [(python, &["-m", "black"][..]), ("black", &[][..])];
    let code = formatted(&formatters, &form.code).await?;
    Ok(Json(json!({ "code": code })))
}

/// What the first of these programs that is there makes of the code.
async fn formatted(formatters: &[(&str, &[&str])], code: &str) -> ApiResult<String> {
    for (program, arguments) in formatters {
        match black(program, arguments, code).await {
            Ok(Formatted::Code(code)) => return Ok(code),
            Ok(Formatted::Refused(problem)) => return Err(ApiError::bad_request(problem)),
            Ok(Formatted::Missing) => {}
            Err(error) => {
                tracing::warn!(%error, program, "the formatter could not be run");
            }
        }
    }
    Err(ApiError::bad_request(NO_BLACK))
}

/// Runs code of a message on the operator's Jupyter server.
async fn execute_code(caller: Caller<Verified>, Body { form, .. }: Body<CodeForm>) -> ApiResult<Json<Value>> {
    let config = &caller.app().config;
    if !config.get(&keys::ENABLE_CODE_EXECUTION) {
        return Err(ApiError::forbidden("Code execution is disabled"));
    }
    if config.get(&keys::CODE_EXECUTION_ENGINE) != code::JUPYTER {
        return Err(ApiError::bad_request(
            "[ERROR: Code execution engine not supported]",
        ));
    }
    let output = code::of_execution(config).execute(&form.code).await;
    Ok(Json(output.to_json()))
}

enum Formatted {
    Code(String),
    Refused(String),
    Missing,
}

async fn black(program: &str, arguments: &[&str], code: &str) -> std::io::Result<Formatted> {
    let started = Command::new(program)
        .args(arguments)
        .args(["--quiet", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Formatted::Missing),
        Err(error) => return Err(error),
    };
    let input = child.stdin.take();
    let code = code.to_owned();
    // Written beside reading, since a long text fills the pipe of the other direction.
    let feed = tokio::spawn(async move {
        if let Some(mut input) = input {
            // A formatter that stops reading says why in its answer.
            let _ = input.write_all(code.as_bytes()).await;
        }
    });
    let output = tokio::time::timeout(FORMAT_TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    feed.abort();
    if output.status.success() {
        return Ok(Formatted::Code(
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ));
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    if problem.contains("No module named black") {
        return Ok(Formatted::Missing);
    }
    let problem = problem.trim().trim_start_matches("error: cannot format -: ");
    Ok(Formatted::Refused(problem.to_owned()))
}

/// A copy of the database, made while others go on.
async fn download(caller: Caller<Admin>) -> ApiResult<Response> {
    let settings = &caller.app().settings;
    if !settings.access.admin_export {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let path = settings
        .server
        .data_dir
        .join(format!("download-{}.db", ids::uuid()));
    let copy = Copy(path);
    if !database_copy::copy_to(caller.db(), &copy.0).await? {
        return Err(ApiError::bad_request(
            "This feature is only available with SQLite databases.",
        ));
    }
    let file = tokio::fs::File::open(&copy.0).await.map_err(ApiError::internal)?;
    let length = file.metadata().await.map_err(ApiError::internal)?.len();
    let mut stream = ReaderStream::new(file);
    // The copy lives as long as somebody reads it.
    let body = futures::stream::poll_fn(move |context| {
        let _kept = &copy;
        futures::Stream::poll_next(std::pin::Pin::new(&mut stream), context)
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"webui.db\"".to_owned(),
        ),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, HttpBody::from_stream(body)).into_response())
}

/// A file that goes when it is no longer needed.
struct Copy(std::path::PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.0.display(), "a copy of the database could not be removed");
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that does as `black` would.
    fn program(folder: &std::path::Path, name: &str, script: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn code_is_formatted_by_the_first_formatter_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let without = program(
            folder.path(),
            "python",
            "echo \"$0: No module named black\" >&2; exit 1",
        );
        let formats = program(folder.path(), "black", "sed 's/=/ = /'");
        let refuses = program(
            folder.path(),
            "picky",
            "cat >/dev/null; echo 'error: cannot format -: Cannot parse: 1:1: x(' >&2; exit 123",
        );
        let there: [(&str, &[&str]); 2] = [(&without, &["-m", "black"]), (&formats, &[])];
        assert_eq!(formatted(&there, "x=1\n").await.unwrap(), "x = 1\n");
        let bad = formatted(&[(&refuses, &[])], "x(").await.unwrap_err();
        assert_eq!(
            (bad.status().as_u16(), bad.detail_text()),
            (400, "Cannot parse: 1:1: x(".into())
        );
        let missing = folder.path().join("nothing");
        let absent: [(&str, &[&str]); 2] = [(&without, &["-m", "black"]), (missing.to_str().unwrap(), &[])];
        let error = formatted(&absent, "x=1").await.unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.detail_text()),
            (400, NO_BLACK.into())
        );
    }
}
