//! The part of the area `retrieval` that reads the web: pages, transcripts, files by address, search.

use axum::Json;
use http::header;
use oui_config::web;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_loaders::ingest::SaveOptions;
use oui_loaders::texts::text_hash;
use oui_loaders::{Document, LoadError};
use oui_models::files;
use oui_web::body::Body;
use oui_web::{Area, Caller, Query, Verified, endpoints};
use oui_web_search::{Fetched, TOO_LARGE, is_youtube_url};
use serde_json::{Map, Value, json};

use crate::files::too_large;
use crate::files::upload::{self, Upload, UploadOptions, keep_upload, size_limit};

/// Characters of a collection's name.
const MAX_NAME: usize = 63;

pub(crate) fn area() -> Area {
    endpoints! { "retrieval" at "/api/v1/retrieval";
        POST "/process/url"        Verified => process_url,
        POST "/process/web"        Verified => process_web,
        POST "/process/youtube"    Verified => process_web,
        POST "/process/web/search" Verified => search,
    }
}

form! {
    struct UrlForm {
        url: String,
        collection_name: Option<String>,
    }
}

form! {
    struct UrlQuery {
        process: bool = true,
    }
}

form! {
    struct WebQuery {
        process: bool = true,
        overwrite: bool = true,
    }
}

form! {
    struct SearchForm {
        queries: Texts,
    }
}

/// A list of texts.
#[derive(Debug, Clone)]
struct Texts(Vec<String>);

impl Field for Texts {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        Vec::<String>::parse(input, issues).map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

fn unreadable(address: &str) -> ApiError {
    ApiError::bad_request(messages::default_with(format!(
        "Could not read content from {address}"
    )))
}

/// The documents at an address and their text.
async fn content_of(caller: &Caller<Verified>, address: &str) -> ApiResult<(Vec<Document>, String)> {
    let loaded = caller.app().web.pages.load(address).await;
    let documents = match loaded {
        Ok(documents) => documents,
        // What is wrong with a transcript is for the user; what is wrong with a page may tell about the network.
        Err(LoadError(text)) if is_youtube_url(address) => return Err(ApiError::bad_request(text)),
        Err(error) => {
            tracing::warn!(%address, %error, "a page could not be read");
            return Err(unreadable(address));
        }
    };
    if documents.is_empty() {
        return Err(unreadable(address));
    }
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let text = texts.join(" ");
    Ok((documents, text))
}

/// Reads an address and, if wanted, makes it findable.
async fn page(caller: &Caller<Verified>, form: &UrlForm, process: bool, overwrite: bool) -> ApiResult<Value> {
    let (documents, content) = content_of(caller, &form.url).await?;
    if !process {
        return Ok(json!({ "status": true, "content": content }));
    }
    let app = caller.app();
    let mut collection = match &form.collection_name {
        Some(name) if !name.is_empty() => {
            app.ingest.demand_collection(caller.user(), name).await?;
            Some(name.clone())
        }
        _ => Some(text_hash(&form.url).chars().take(MAX_NAME).collect()),
    };
    if app.config.get(&web::BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL) {
        collection = None;
    }
    if let Some(name) = &collection {
        let options = SaveOptions {
            metadata: Map::new(),
            overwrite,
            add: !overwrite,
            split: true,
        };
        if let Err(error) = app.ingest.save(caller.user(), documents, name, options).await {
            tracing::error!(%error, "a page could not be made findable");
            return Err(ApiError::bad_request(messages::default_with(
                "Error querying knowledge base",
            )));
        }
    }
    Ok(json!({
        "status": true, "collection_name": collection, "filename": form.url, "content": content,
        "file": { "data": { "content": content }, "meta": { "name": form.url, "source": form.url } },
    }))
}

async fn process_web(
    caller: Caller<Verified>,
    Query(query): Query<WebQuery>,
    body: Body<UrlForm>,
) -> ApiResult<Json<Value>> {
    page(&caller, &body.form, query.process, query.overwrite)
        .await
        .map(Json)
}

async fn process_url(
    caller: Caller<Verified>,
    Query(query): Query<UrlQuery>,
    body: Body<UrlForm>,
) -> ApiResult<Json<Value>> {
    let form = body.form;
    let kind = if is_youtube_url(&form.url) {
        "youtube"
    } else {
        let pages = &caller.app().web.pages;
        let limit = size_limit(&caller.app().config);
        let fetched = pages
            .http()
            .get(&form.url, pages.user_agent(), limit.map(upload::bytes_of), None)
            .await
            .map_err(|LoadError(text)| match limit {
                Some(megabytes) if text == TOO_LARGE => too_large(megabytes),
                _ => unreadable(&form.url),
            })?;
        if !fetched.status.is_success() {
            return Err(unreadable(&form.url));
        }
        if !is_page(&fetched) {
            return keep_fetched(&caller, &form.url, fetched, query.process)
                .await
                .map(Json);
        }
        "web"
    };
    let read = page(&caller, &form, query.process, true).await?;
    Ok(Json(json!({
        "status": true, "type": kind, "name": form.url, "url": form.url,
        "collection_name": read.get("collection_name"), "content": read.get("content"), "file": null,
    })))
}

fn header_text<'a>(fetched: &'a Fetched, name: &header::HeaderName) -> &'a str {
    fetched
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Whether an answer is a web page: by its type, or by its beginning where the type says nothing.
fn is_page(fetched: &Fetched) -> bool {
    let disposition = header_text(fetched, &header::CONTENT_DISPOSITION).to_lowercase();
    if disposition.split(';').next().unwrap_or_default().trim() == "attachment" {
        return false;
    }
    match fetched.media_type().as_str() {
        "text/html" | "application/xhtml+xml" => true,
        "" | "application/octet-stream" | "binary/octet-stream" => {
            let sample = &fetched.body[..fetched.body.len().min(4096)];
            let sample = String::from_utf8_lossy(sample).trim_start().to_lowercase();
            ["<!doctype html", "<html", "<head", "<body", "<?xml"]
                .iter()
                .any(|start| sample.starts_with(start))
                || sample.chars().take(1024).collect::<String>().contains("<html")
        }
        _ => false,
    }
}

/// Type of a picture by its first bytes.
fn picture(bytes: &[u8]) -> Option<&'static str> {
    let starts = |mark: &[u8]| bytes.starts_with(mark);
    if starts(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if starts(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some("image/gif")
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else if starts(b"BM") && bytes.len() > 26 {
        Some("image/bmp")
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        Some("image/tiff")
    } else {
        None
    }
}

/// Name of a fetched file: what the answer says, or the end of the address; with an ending for its type.
fn file_name(fetched: &Fetched, address: &str, kind: &str) -> String {
    let disposition = header_text(fetched, &header::CONTENT_DISPOSITION);
    let member = |name: &str| {
        disposition.split(';').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let starred = member("filename*").and_then(|value| Some(decode(value.split("''").nth(1)?)));
    let name = starred
        .or_else(|| member("filename"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            let path = address.split(['?', '#']).next().unwrap_or_default();
            path.splitn(4, '/')
                .nth(3)
                .and_then(|path| path.rsplit('/').next())
                .unwrap_or_default()
                .to_owned()
        });
    let name = match name.rsplit('/').next() {
        None | Some("") => "download".to_owned(),
        Some(name) => name.to_owned(),
    };
    if !upload::extension(&name).is_empty() {
        return name;
    }
    let ending = mime_guess::get_mime_extensions_str(kind).and_then(|endings| endings.first());
    format!("{name}.{}", ending.unwrap_or(&"bin"))
}

/// Keeps what an address gave as a file of the user.
async fn keep_fetched(
    caller: &Caller<Verified>,
    address: &str,
    fetched: Fetched,
    process: bool,
) -> ApiResult<Value> {
    let of_bytes = picture(&fetched.body);
    let of_server = fetched.media_type();
    if of_bytes.is_none() && of_server.starts_with("image/") {
        return Err(ApiError::bad_request(messages::default_with(
            "Invalid image content",
        )));
    }
    let kind = match of_bytes {
        Some(kind) => kind.to_owned(),
        None if of_server.is_empty() => {
            let path = address.split(['?', '#']).next().unwrap_or_default();
            mime_guess::from_path(path)
                .first_raw()
                .unwrap_or("application/octet-stream")
                .to_owned()
        }
        None => of_server,
    };
    let name = file_name(&fetched, address, &kind);
    let is_image = kind.starts_with("image/");
    let app = caller.app();
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a fetched file could not be stored");
        ApiError::bad_request(messages::default_with("Error processing URL"))
    };
    let mut bytes = app.storage.receive().await.map_err(|error| failed(&error))?;
    bytes.write(&fetched.body).await.map_err(|error| failed(&error))?;
    let mut metadata = Map::new();
    metadata.insert("source_url".into(), json!(address));
    let upload = Upload {
        filename: name.clone(),
        content_type: Some(kind),
        sample: fetched.body.iter().take(8192).copied().collect(),
        bytes,
        metadata,
    };
    let options = UploadOptions {
        process: process && !is_image,
        in_background: false,
    };
    if options.process {
        upload::check_extension(&app.config, &name)?;
    }
    let row = keep_upload(app, caller.db(), caller.user(), upload, options).await?;
    let row = files::by_id(caller.db(), &row.id).await?.unwrap_or(row);
    Ok(json!({
        "status": true, "type": if is_image { "image" } else { "file" }, "name": name, "url": address,
        "collection_name": row.meta_text("collection_name"), "content": null, "file": row.to_json(),
    }))
}

async fn search(caller: Caller<Verified>, body: Body<SearchForm>) -> ApiResult<Json<Value>> {
    let app = caller.app();
    let refused = || ApiError::forbidden(messages::ACCESS_PROHIBITED);
    if !app.config.get(&web::ENABLE_WEB_SEARCH) || !caller.may("features.web_search").await? {
        return Err(refused());
    }
    app.chat
        .search_web(caller.user(), &body.form.queries.0)
        .await
        .map(Json)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn fetched(kind: &str, disposition: &str, body: &[u8]) -> Fetched {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        if !disposition.is_empty() {
            headers.insert(header::CONTENT_DISPOSITION, disposition.parse().unwrap());
        }
        Fetched {
            status: StatusCode::OK,
            headers,
            body: body.to_vec(),
            url: String::new(),
        }
    }

    #[test]
    fn pages_are_told_from_files() {
        assert!(is_page(&fetched("text/html; charset=utf-8", "", b"")));
        assert!(is_page(&fetched("", "", b"  <!DOCTYPE html><p>")));
        assert!(!is_page(&fetched(
            "text/html",
            "attachment; filename=a.html",
            b""
        )));
        assert!(!is_page(&fetched("application/pdf", "", b"<html>")));
        assert_eq!(picture(b"GIF89a"), Some("image/gif"));
        assert_eq!(picture(b"RIFF1234WEBP"), Some("image/webp"));
        assert_eq!(picture(b"<svg"), None);
    }

    #[test]
    fn files_get_names() {
        let name = |disposition: &str, address: &str| {
            file_name(&fetched("", disposition, b""), address, "application/pdf")
        };
        assert_eq!(
            name(
                "attachment; filename*=UTF-8''R%C3%A9sum%C3%A9.pdf; filename=x.pdf",
                ""
            ),
            "Résumé.pdf"
        );
        assert_eq!(name("inline; filename=\"../a.pdf\"", ""), "a.pdf");
        assert_eq!(name("", "https://a.example/b/c.txt?x=/y.z"), "c.txt");
        assert_eq!(name("", "https://a.example/report"), "report.pdf");
        assert_eq!(name("", "https://a.example"), "download.pdf");
    }
}
