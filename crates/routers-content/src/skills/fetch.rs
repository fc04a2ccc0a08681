//! Skills from an address: a file, an archive, or a repository of GitHub. Addresses are checked like all that
//! users name, so nothing of the own network is fetched unless the operator opens it.

use axum::Json;
use oui_core::{ApiError, ApiResult};
use oui_web::{Admin, Body, Caller};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use serde_json::Value;

use super::files::{File, ROOT, checked_path};
use super::package::{self, Discover, LARGEST_IMPORT};
use super::transfer::described;
use crate::plugins::UrlForm;

/// What may stand in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where to fetch from, and where in the archive of a repository to look.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    url: String,
    directory: Option<String>,
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

fn is_name(part: &str) -> bool {
    let known = |character: char| character.is_alphanumeric() || "_.-".contains(character);
    !part.is_empty() && part.chars().all(known) && part != "." && part != ".."
}

/// Pages of GitHub stand for the archive of their repository.
fn source(url: &str) -> Result<Source, String> {
    let plain = || Source {
        url: url.to_owned(),
        directory: None,
    };
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let open = parsed.username().is_empty() && parsed.password().is_none();
    let host = parsed.host_str().filter(|_| open);
    let host = host.ok_or("Use an HTTP(S) URL without embedded credentials")?;
    if host != "github.com" {
        return Ok(plain());
    }
    let parts: Vec<&str> = parsed.path().trim_matches('/').split('/').collect();
    let invalid = || "Invalid GitHub repository URL".to_owned();
    let [owner, repository, rest @ ..] = parts.as_slice() else {
        return Err(invalid());
    };
    if !is_name(owner) || !is_name(repository) {
        return Err(invalid());
    }
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    if repository.is_empty() {
        return Err(invalid());
    }
    let (reference, directory) = match rest {
        [] => ("HEAD".to_owned(), String::new()),
        ["archive" | "releases" | "raw", ..] => return Ok(plain()),
        [kind @ ("tree" | "blob"), reference, path @ ..] => {
            let reference = checked_path(&decoded(reference))?.to_owned();
            let parts: Vec<String> = path.iter().map(|part| decoded(part)).collect();
            let path = parts.join("/");
            let folder = match *kind {
                "blob" => path
                    .strip_suffix(ROOT)
                    .filter(|folder| folder.is_empty() || folder.ends_with('/'))
                    .ok_or("Select a SKILL.md file or a skill folder")?
                    .trim_end_matches('/'),
                _ => &path,
            };
            match folder {
                "" => (reference, String::new()),
                folder => (reference, format!("{}/", checked_path(folder)?)),
            }
        }
        _ => return Err("Use a GitHub repository, folder, or SKILL.md URL".into()),
    };
    let reference = utf8_percent_encode(&reference, PART);
    Ok(Source {
        url: format!("https://codeload.github.com/{owner}/{repository}/zip/{reference}"),
        directory: Some(directory),
    })
}

/// A name that says of what kind a file is.
fn file_name(media_type: &str, url: &str, body: &[u8]) -> String {
    if body.starts_with(b"PK") {
        return "skills.zip".into();
    }
    match media_type {
        "application/json" => "skills.json".into(),
        "text/markdown" => ROOT.into(),
        _ => Url::parse(url).map_or_else(|_| String::new(), |url| decoded(url.path())),
    }
}

pub(super) async fn load(caller: Caller<Admin>, body: Body<UrlForm>) -> ApiResult<Json<Value>> {
    let source = source(&body.form.url.0).map_err(ApiError::bad_request)?;
    let pages = &caller.app().web.pages;
    let limit = Some(LARGEST_IMPORT as u64);
    let fetched = pages
        .http()
        .get(&source.url, pages.user_agent(), limit, None)
        .await;
    let fetched = fetched.map_err(|error| {
        ApiError::bad_request(match error.0.as_str() {
            text @ oui_web_search::INVALID_URL => text,
            oui_web_search::TOO_LARGE => "Import exceeds 200 MiB",
            oui_web_search::TOO_MANY_REDIRECTS => "Too many redirects while downloading the skill",
            _ => "Could not download the skill. Please try again.",
        })
    })?;
    if fetched.status != http::StatusCode::OK {
        let text = "Could not download the skill. Check that the URL is accessible.";
        return Err(ApiError::bad_request(text));
    }
    let media_type = fetched.media_type();
    if media_type == "text/html" {
        let text = "The URL returned a web page. Use a raw skill file or a ZIP/.skill download link.";
        return Err(ApiError::bad_request(text));
    }
    let name = file_name(&media_type, &fetched.url, &fetched.body);
    let packages = tokio::task::spawn_blocking(move || {
        let discover = Discover {
            directory: source.directory.as_deref(),
        };
        package::parse(&fetched.body, &name, Some(&discover))
    })
    .await
    .map_err(ApiError::internal)?
    .map_err(ApiError::bad_request)?;
    let item = |package: &package::Package| {
        let mut item = described(package);
        item.insert("files".into(), package.files.iter().map(File::to_json).collect());
        Value::Object(item)
    };
    Ok(Json(packages.iter().map(item).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_repositories_are_archives() {
        let found = |url: &str| source(url).map(|source| (source.url, source.directory));
        let archive = |reference: &str| format!("https://codeload.github.com/a/b/zip/{reference}");
        assert_eq!(
            found("https://github.com/a/b.git").unwrap(),
            (archive("HEAD"), Some(String::new()))
        );
        assert_eq!(
            found("https://github.com/a/b/tree/x%2Fy/some%20skills/one/").unwrap(),
            (archive("x%2Fy"), Some("some skills/one/".into()))
        );
        assert_eq!(
            found("https://github.com/a/b/blob/main/one/SKILL.md").unwrap(),
            (archive("main"), Some("one/".into()))
        );
        for plain in [
            "https://github.com/a/b/raw/main/SKILL.md",
            "https://example.com/SKILL.md",
        ] {
            assert_eq!(found(plain).unwrap(), (plain.to_owned(), None));
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        for (url, reason) in [
            (
                "https://a:b@example.com/",
                "Use an HTTP(S) URL without embedded credentials",
            ),
            ("https://github.com/a", "Invalid GitHub repository URL"),
            ("https://github.com/a/.git", "Invalid GitHub repository URL"),
            (
                "https://github.com/a/b/issues",
                "Use a GitHub repository, folder, or SKILL.md URL",
            ),
            (
                "https://github.com/a/b/blob/main/x.md",
                "Select a SKILL.md file or a skill folder",
            ),
        ] {
            assert_eq!(source(url).unwrap_err(), reason, "{url}");
        }
        assert!(source("https://github.com/a/b/tree/main/..%2F..").is_err());
    }

    #[test]
    fn the_kind_comes_from_what_was_sent() {
        assert_eq!(file_name("text/plain", "https://h/a%20b.md?x", b"#"), "/a b.md");
        assert_eq!(file_name("application/json", "https://h/x", b"[]"), "skills.json");
        assert_eq!(
            file_name("application/octet-stream", "https://h/x", b"PK\x03"),
            "skills.zip"
        );
    }
}
