//! Routes at the root: health, version, changelog, usage, manifest, search description, cached files.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use oui_core::{ApiError, ApiResult};
use oui_frontend::FRONTEND_VERSION;
use oui_models::users;
use oui_web::{Area, Caller, Optional, Public, Verified, endpoints};
use serde_json::{Value, json};

use crate::client_config::client_config;

/// Seconds since their last sign of life for which users count as active, as in the reference.
const ACTIVE_WINDOW: i64 = 180;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "root" at "";
        GET "/health"              Public   => health,
        GET "/health/db"           Public   => ready,
        GET "/ready"               Public   => ready,
        GET "/api/config"          Optional => client_config,
        GET "/api/version"         Public   => version,
        GET "/api/version/updates" Verified => updates,
        GET "/api/changelog"       Public   => changelog,
        GET "/api/usage"           Verified => usage,
        GET "/manifest.json"       Public   => manifest,
        GET "/opensearch.xml"      Public   => opensearch,
        GET "/cache/{*path}"       Verified => cached,
    }
}

async fn health(_: Caller<Public>) -> Json<Value> {
    Json(json!({ "status": true }))
}

async fn ready(caller: Caller<Public>) -> ApiResult<Json<Value>> {
    match users::any(caller.db()).await {
        Ok(_) => Ok(Json(json!({ "status": true }))),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Database not ready",
            ))
        }
    }
}

async fn version(caller: Caller<Public>) -> Json<Value> {
    Json(json!({ "version": FRONTEND_VERSION, "deployment_id": caller.app().settings.server.deployment_id }))
}

/// The client's version is pinned, so the newest one that fits is always the present one.
async fn updates(_: Caller<Verified>) -> Json<Value> {
    Json(json!({ "current": FRONTEND_VERSION, "latest": FRONTEND_VERSION }))
}

async fn changelog(caller: Caller<Public>) -> ApiResult<Response> {
    let body = caller.app().frontend.changelog().await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn usage(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    if !caller.app().settings.access.public_active_count && !caller.is_admin() {
        return Err(ApiError::forbidden(
            "Access denied. Only administrators can view usage statistics.",
        ));
    }
    let since = caller.app().clock.seconds() - ACTIVE_WINDOW;
    Ok(Json(json!({
        "model_ids": caller.app().live.usage_models(),
        "user_count": users::active_since(caller.db(), since).await?,
    })))
}

async fn manifest(caller: Caller<Public>) -> Json<Value> {
    let name = &caller.app().settings.server.name;
    let icon = |purpose: &str| json!({ "src": "/static/logo.png", "type": "image/png", "sizes": "500x500", "purpose": purpose });
    Json(json!({
        "name": name,
        "short_name": name,
        // Part of the product's install surface, which its licence asks to leave as it is.
        "description": format!(
            "{name} is an open, extensible, user-friendly interface for AI that adapts to your workflow."
        ),
        "start_url": "/",
        "display": "standalone",
        "background_color": "#343541",
        "icons": [icon("any"), icon("maskable")],
        "share_target": { "action": "/", "method": "GET", "params": { "text": "shared" } },
    }))
}

async fn opensearch(caller: Caller<Public>) -> Response {
    let name = escaped(&caller.app().settings.server.name);
    let url = caller
        .app()
        .config
        .value("webui.url")
        .and_then(|url| url.as_str().map(escaped))
        .unwrap_or_default();
    let lines = [
        String::new(),
        "    <OpenSearchDescription xmlns=\"http://a9.com/-/spec/opensearch/1.1/\" \
         xmlns:moz=\"http://www.mozilla.org/2006/browser/search/\">"
            .to_owned(),
        format!("    <ShortName>{name}</ShortName>"),
        format!("    <Description>Search {name}</Description>"),
        "    <InputEncoding>UTF-8</InputEncoding>".to_owned(),
        format!(
            "    <Image width=\"16\" height=\"16\" type=\"image/x-icon\">{url}/static/favicon.png</Image>"
        ),
        format!("    <Url type=\"text/html\" method=\"get\" template=\"{url}/?q={{searchTerms}}\"/>"),
        format!("    <moz:SearchForm>{url}</moz:SearchForm>"),
        "    </OpenSearchDescription>".to_owned(),
        "    ".to_owned(),
    ];
    ([(header::CONTENT_TYPE, "application/xml")], lines.join("\n")).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Files that other areas keep in the cache folder. Only pictures, sound and film are shown in place.
async fn cached(caller: Caller<Verified>, Path(path): Path<String>) -> ApiResult<Response> {
    let missing = || ApiError::not_found("File not found");
    let root = caller.app().settings.server.cache_dir();
    let (root, file) = tokio::join!(
        tokio::fs::canonicalize(&root),
        tokio::fs::canonicalize(root.join(&path))
    );
    let (Ok(root), Ok(file)) = (root, file) else {
        return Err(missing());
    };
    if !file.starts_with(&root) || file == root {
        return Err(missing());
    }
    let bytes = tokio::fs::read(&file).await.map_err(|_| missing())?;
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("file")
        .replace(['"', '\\'], "_");
    let kind = media_type(&name);
    let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        http::HeaderValue::from_static("nosniff"),
    );
    let shown = ["image/", "audio/", "video/"]
        .iter()
        .any(|prefix| kind.starts_with(prefix));
    if !shown && let Ok(value) = http::HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn media_type(name: &str) -> &'static str {
    let kinds = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/x-wav"),
        ("ogg", "audio/ogg"),
        ("mp4", "video/mp4"),
        ("webm", "video/webm"),
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
    ];
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    kinds
        .iter()
        .find(|(known, _)| *known == ending)
        .map_or("application/octet-stream", |(_, kind)| kind)
}
