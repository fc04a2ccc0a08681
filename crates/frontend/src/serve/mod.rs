//! Serving the client's files: the fallback of the whole server, because the original mounts the
//! client at `/` behind everything else. The path lookup is in [`site`], the answer for a file in
//! [`reply`]. Not here: `/manifest.json`, `/opensearch.xml`, and cross-origin or timing headers,
//! which belong to the server's middleware.

mod absent;
mod body;
pub(crate) mod media;
mod range;
mod reply;
mod site;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use oui_core::ApiError;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::sync::{OnceCell, Semaphore};

use self::reply::{Asked, Reply, Uncompressed};
use self::site::Site;
use crate::changelog;
use crate::compress::Effort;
use crate::layout::Layout;

/// Where the client is, from the server's settings.
#[derive(Debug, Clone)]
pub struct FrontendOptions {
    /// The data folder, in which [`crate::install`] puts the client.
    pub data_dir: PathBuf,
    /// `FRONTEND_BUILD_DIR`: a build to serve instead of the installed one.
    pub build_dir: Option<PathBuf>,
    /// `STATIC_DIR`: further files for `/static/`. Files of the build win over it, as they do at the
    /// original, which copies them over it at each start.
    pub static_dir: Option<PathBuf>,
    /// `ENABLE_COMPRESSION_MIDDLEWARE`: whether compressed variants are sent.
    pub compress: bool,
}

/// Serves the client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FrontendService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: FrontendOptions,
    /// Set once a client was found. Until then each request looks again, so that a client installed
    /// while the server runs appears without a restart.
    site: OnceLock<Site>,
    changelog: OnceCell<Bytes>,
    /// Contents whose variants were made or tried since the start: one that cannot be compressed is
    /// not tried again.
    tried: Mutex<HashSet<PathBuf>>,
    /// One file is compressed at a time: a server on a small machine has other work.
    compressing: Semaphore,
}

impl FrontendService {
    /// A service over the given folders; they need not exist yet.
    pub fn new(options: FrontendOptions) -> Self {
        Self(Arc::new(Inner {
            options,
            site: OnceLock::new(),
            changelog: OnceCell::new(),
            tried: Mutex::default(),
            compressing: Semaphore::new(1),
        }))
    }

    /// The service as a router, for `Router::fallback_service`. It answers every method and path.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// Answers one request; also for `Router::method_not_allowed_fallback`: at the original an API
    /// path asked with a method it does not have falls through to the client.
    pub async fn respond(&self, request: Request) -> Response {
        let (parts, _) = request.into_parts();
        let path = percent_decode_str(parts.uri.path())
            .decode_utf8_lossy()
            .into_owned();
        let readable = matches!(parts.method, Method::GET | Method::HEAD);
        let asked = Asked::read(&parts.method, &parts.headers, self.0.options.compress);
        let this = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            this.with_site(|site| this.answer(site, &path, readable, &asked))
        });
        match answer.await {
            Ok(Answer::File(reply)) => self.send(*reply),
            Ok(Answer::NotFound) => not_found(),
            Ok(Answer::NotAllowed) => not_allowed(),
            Ok(Answer::NoClient) => absent::page(parts.method == Method::HEAD),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }

    /// Whether a client is there to be served. Looks at the file system until one was found.
    pub async fn is_present(&self) -> bool {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.with_site(Site::has_client))
            .await
            .unwrap_or(false)
    }

    /// A file of `/static/` by its name (`"user.png"`), for routes that answer with one.
    pub async fn static_file(&self, name: &str) -> Option<PathBuf> {
        let (this, name) = (self.clone(), name.to_owned());
        let find = move || {
            this.with_site(|site| site.find_static(&name))
                .map(|found| found.path)
        };
        tokio::task::spawn_blocking(find).await.ok().flatten()
    }

    /// The body of `GET /api/changelog`: the five newest versions as JSON, `{}` without a client.
    /// Parsed at the first call that finds release notes.
    ///
    /// # Errors
    /// 500 when the file is there and cannot be read.
    pub async fn changelog(&self) -> Result<Bytes, ApiError> {
        if let Some(known) = self.0.changelog.get() {
            return Ok(known.clone());
        }
        let options = self.0.options.clone();
        let parsed = tokio::task::spawn_blocking(move || read_changelog(&options))
            .await
            .map_err(ApiError::internal)?;
        match parsed.map_err(ApiError::internal)? {
            Some(parsed) => Ok(self.0.changelog.get_or_init(|| async { parsed }).await.clone()),
            None => Ok(Bytes::from_static(b"{}")),
        }
    }

    /// Runs `f` over the folders, looking for them anew as long as there is no client. Blocking.
    fn with_site<T>(&self, f: impl FnOnce(&Site) -> T) -> T {
        if let Some(site) = self.0.site.get() {
            return f(site);
        }
        let site = Site::locate(&self.0.options);
        if site.has_client() {
            f(self.0.site.get_or_init(|| site))
        } else {
            f(&site)
        }
    }

    fn answer(&self, site: &Site, path: &str, readable: bool, asked: &Asked) -> Answer {
        if !readable {
            // Without a client nothing stands behind unknown paths, not even a refusal.
            return if site.has_client() {
                Answer::NotAllowed
            } else {
                Answer::NotFound
            };
        }
        match site.resolve(path) {
            (mount, Some(found)) => match reply::file(found, mount, asked, self.0.options.compress) {
                Ok(reply) => Answer::File(Box::new(reply)),
                Err(error) => {
                    tracing::warn!(%path, %error, "a file of the web client cannot be read");
                    Answer::NotFound
                }
            },
            (_, None) if path == "/" && !site.has_client() => Answer::NoClient,
            (_, None) => Answer::NotFound,
        }
    }

    fn send(&self, reply: Reply) -> Response {
        if let Some(file) = reply.uncompressed {
            self.compress_later(file);
        }
        let mut response = Response::new(Body::from(reply.content));
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }

    /// Makes a file's variants in the background, for the requests after this one.
    fn compress_later(&self, file: Uncompressed) {
        if !self.0.tried.lock().insert(file.key) {
            return;
        }
        let inner = self.0.clone();
        tokio::spawn(async move {
            let Ok(_permit) = inner.compressing.acquire().await else {
                return;
            };
            let make = move || file.variants.make(&file.relative, &file.source, Effort::Fast);
            let made = tokio::task::spawn_blocking(make).await;
            if let Ok(Err(error)) = made {
                tracing::debug!(%error, "a compressed variant could not be kept");
            }
        });
    }
}

/// What to send, before the async parts.
enum Answer {
    File(Box<Reply>),
    NotFound,
    NotAllowed,
    NoClient,
}

async fn serve(State(service): State<FrontendService>, request: Request) -> Response {
    service.respond(request).await
}

fn not_found() -> Response {
    ApiError::not_found("Not Found").into_response()
}

fn not_allowed() -> Response {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .with_header(header::ALLOW, "GET, HEAD")
        .into_response()
}

/// Release notes lie beside a build folder, in a wheel as in a checkout; otherwise those of the
/// installation are taken.
fn read_changelog(options: &FrontendOptions) -> std::io::Result<Option<Bytes>> {
    let beside = options
        .build_dir
        .as_ref()
        .map(|build| build.join("../CHANGELOG.md"));
    let installed = Layout::in_data_dir(&options.data_dir).changelog();
    for path in beside.into_iter().chain([installed]) {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return Ok(Some(
                    serde_json::to_vec(&changelog::parse(&text, changelog::SHOWN))?.into(),
                ));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
