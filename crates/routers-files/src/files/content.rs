//! The bytes of a file, whole or in part. Types that a browser would run are only sent as attachments; the HTML view
//! shows pages of administrators only.

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::files::FileRow;
use oui_models::users;
use oui_storage::{Facts, Storage, StorageError};
use oui_web::Query;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::loaded::File;

form! {
    pub(crate) struct ContentQuery {
        attachment: bool = false,
    }
}

/// What `quote` of the Python library leaves as it is.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

fn shown_name(row: &FileRow) -> &str {
    row.meta_text("name").unwrap_or(&row.filename)
}

fn disposition(kind: &str, row: &FileRow) -> String {
    let name = utf8_percent_encode(shown_name(row), QUOTED);
    format!("{kind}; filename*=UTF-8''{name}")
}

/// Type by the ending of the stored name.
fn guessed(path: &str) -> String {
    mime_guess::from_path(path)
        .first_raw()
        .unwrap_or("text/plain")
        .to_owned()
}

fn missing() -> ApiError {
    ApiError::not_found(messages::NOT_FOUND)
}

fn unreadable(error: StorageError) -> ApiError {
    match error {
        StorageError::Missing => missing(),
        other => {
            tracing::error!(error = %other, "a stored file can not be read");
            ApiError::bad_request(messages::default_with("Error getting file content"))
        }
    }
}

pub(crate) async fn content(
    file: File,
    headers: HeaderMap,
    Query(query): Query<ContentQuery>,
) -> ApiResult<Response> {
    let row = &file.row;
    let path = row
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .ok_or_else(|| ApiError::not_found("Original file is unavailable."))?;
    let mut kind = row.meta_text("content_type").map(str::to_owned);
    let is_pdf =
        kind.as_deref() == Some("application/pdf") || shown_name(row).to_lowercase().ends_with(".pdf");
    let disposition = if query.attachment {
        Some(disposition("attachment", row))
    } else if is_pdf {
        kind = Some("application/pdf".into());
        Some(disposition("inline", row))
    } else if kind.as_deref() != Some("text/plain") {
        Some(disposition("attachment", row))
    } else {
        None
    };
    let kind = kind.unwrap_or_else(|| guessed(path));
    send(&file.caller.app().storage, path, &kind, disposition, &headers)
        .await
        .map_err(unreadable)
}

pub(crate) async fn html(file: File, headers: HeaderMap) -> ApiResult<Response> {
    let owner = users::account(file.caller.db(), &file.row.user_id).await?;
    if owner.is_none_or(|owner| owner.user.role != oui_access::ADMIN) {
        return Err(missing());
    }
    let path = file.row.path.as_deref().ok_or_else(missing)?;
    send(&file.caller.app().storage, path, &guessed(path), None, &headers)
        .await
        .map_err(unreadable)
}

/// The original under its name; where it is lost, the text that was found in it.
pub(crate) async fn download(file: File, headers: HeaderMap) -> ApiResult<Response> {
    let row = &file.row;
    let disposition = disposition("attachment", row);
    if let Some(path) = row.path.as_deref().filter(|path| !path.is_empty()) {
        let storage = &file.caller.app().storage;
        match send(storage, path, &guessed(path), Some(disposition.clone()), &headers).await {
            Err(StorageError::Missing) => {}
            other => return other.map_err(unreadable),
        }
    }
    let mut response = row.content().to_owned().into_response();
    set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    Ok(response)
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// What a range header asks of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Malformed(&'static str),
    Unsatisfiable,
}

/// Several ranges in one request are answered with the whole file, which the protocol allows.
fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, list)) = header.split_once('=') else {
        return Wanted::Malformed("Malformed range header.");
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Malformed("Only support bytes range");
    }
    if list.contains(',') {
        return Wanted::Whole;
    }
    let numbers = list.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim(), last.trim());
        match (first, last) {
            ("", last) => Some((size.saturating_sub(last.parse().ok()?), size)),
            (first, "") => Some((first.parse().ok()?, size)),
            (first, last) => Some((
                first.parse().ok()?,
                last.parse::<u64>().ok()?.saturating_add(1).min(size),
            )),
        }
    });
    match numbers {
        None => Wanted::Malformed("Range header: range must be requested"),
        Some((start, _)) if start >= size => Wanted::Unsatisfiable,
        Some((start, end)) if start >= end => Wanted::Malformed("Range header: start must be less than end"),
        Some((start, end)) => Wanted::Part(start..end),
    }
}

/// Sends a stored file, or the part that the headers ask for.
async fn send(
    storage: &Storage,
    path: &str,
    kind: &str,
    disposition: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, StorageError> {
    let Facts { size, modified, tag } = storage.facts(path).await?;
    let modified = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(modified));
    let tag = format!("\"{tag}\"");
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A range of another version of the file would be put together with the wrong rest.
    let same = headers
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == tag.as_bytes() || value.as_bytes() == modified.as_bytes());
    let wanted = match asked {
        Some(asked) if same => wanted(asked, size),
        _ => Wanted::Whole,
    };
    let range = match wanted {
        Wanted::Malformed(text) => return Ok((StatusCode::BAD_REQUEST, text).into_response()),
        Wanted::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
            return Ok(response);
        }
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
    };
    let sent = storage.read(path, range.clone()).await?;
    let mut response = Body::from_stream(sent.body).into_response();
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    if let Some(range) = &range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        set(&mut response, header::CONTENT_RANGE, &text);
    }
    let kind = match kind.starts_with("text/") && !kind.contains("charset=") {
        true => format!("{kind}; charset=utf-8"),
        false => kind.to_owned(),
    };
    set(&mut response, header::CONTENT_TYPE, &kind);
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::LAST_MODIFIED, &modified);
    set(&mut response, header::ETAG, &tag);
    if let Some(disposition) = disposition {
        set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(wanted("bytes=4-8", 20), Wanted::Part(4..9));
        assert_eq!(wanted("bytes=4-", 20), Wanted::Part(4..20));
        assert_eq!(wanted("bytes=-5", 20), Wanted::Part(15..20));
        assert_eq!(wanted("bytes=-50", 20), Wanted::Part(0..20));
        assert_eq!(wanted("bytes=4-800", 20), Wanted::Part(4..20));
        assert_eq!(wanted("bytes=20-", 20), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=1-2,4-5", 20), Wanted::Whole);
        assert_eq!(
            wanted("bytes=8-4", 20),
            Wanted::Malformed("Range header: start must be less than end")
        );
        assert_eq!(
            wanted("lines=1-2", 20),
            Wanted::Malformed("Only support bytes range")
        );
        assert_eq!(wanted("4-8", 20), Wanted::Malformed("Malformed range header."));
        assert_eq!(
            wanted("bytes=x", 20),
            Wanted::Malformed("Range header: range must be requested")
        );
    }
}
