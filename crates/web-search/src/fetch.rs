//! Fetching what a user named. The name is resolved once, and only addresses that pass the rules are connected to, so
//! that a name can not change its mind in between; every redirect is checked again; size and time are limited.

use oui_core::boxed;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use oui_loaders::LoadError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::INVALID_URL;
use crate::address::AddressRules;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Bytes of a page or file where the settings have no limit.
const MAX_BYTES: u64 = 100 * 1024 * 1024;
/// Time for one fetch, reading included.
const MAX_TIME: Duration = Duration::from_secs(60);

/// A client for addresses that users name.
pub struct CheckedHttp {
    client: Client,
    rules: AddressRules,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Status of the last answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Address of the last answer.
    pub url: String,
}

impl Fetched {
    /// Media type without its parameters, in lower case; empty when there is none.
    pub fn media_type(&self) -> String {
        let kind = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        kind.and_then(|kind| kind.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_lowercase()
    }
}

/// Resolves names to addresses that pass the rules.
struct CheckedNames(AddressRules);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One bad address is enough: names of the internet do not point inside.
            if found.is_empty() || found.iter().any(|address| !rules.allows_ip(address.ip())) {
                tracing::warn!(
                    name = name.as_str(),
                    "a name points to an address that may not be fetched"
                );
                return Err(Box::from(INVALID_URL));
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

impl CheckedHttp {
    /// A client under the rules.
    ///
    /// # Errors
    /// When the TLS of the system can not be used.
    pub fn new(rules: AddressRules, verify: bool) -> Result<Self, LoadError> {
        let client = Client::builder()
            .dns_resolver(Arc::new(CheckedNames(rules.clone())))
            .redirect(Policy::none())
            // A proxy would resolve names itself, unchecked.
            .no_proxy()
            .tls_danger_accept_invalid_certs(!verify)
            .connect_timeout(Duration::from_secs(15))
            .timeout(MAX_TIME)
            .build()
            .map_err(|error| LoadError::new(error.to_string()))?;
        Ok(Self { client, rules })
    }

    /// The rules.
    pub fn rules(&self) -> &AddressRules {
        &self.rules
    }

    /// Gets an address, following redirects.
    ///
    /// # Errors
    /// [`INVALID_URL`] for addresses that may not be fetched, otherwise what happened. An answer with a bad status is
    /// none.
    #[boxed]
    pub async fn get(
        &self,
        address: &str,
        user_agent: &str,
        max_bytes: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<Fetched, LoadError> {
        let mut url = self.rules.check(address)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self
                .client
                .get(url.clone())
                .header(header::USER_AGENT, user_agent);
            if let Some(timeout) = timeout {
                request = request.timeout(timeout);
            }
            let response = request.send().await.map_err(|error| failed(&error))?;
            let target = response
                .status()
                .is_redirection()
                .then(|| response.headers().get(header::LOCATION))
                .flatten()
                .and_then(|target| target.to_str().ok())
                .and_then(|target| url.join(target).ok());
            match target {
                Some(target) => url = self.rules.check(target.as_str())?,
                None => return read(response, url.to_string(), max_bytes.unwrap_or(MAX_BYTES)).await,
            }
        }
        Err(LoadError::new(TOO_MANY_REDIRECTS))
    }
}

/// The innermost cause: the outer ones only repeat the address.
fn failed(error: &reqwest::Error) -> LoadError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    LoadError::new(cause.to_string())
}

/// Error of an address that leads on and on.
pub const TOO_MANY_REDIRECTS: &str = "Too many redirects";

/// Error of an answer that is too large.
pub const TOO_LARGE: &str = "The answer is too large";

async fn read(response: Response, url: String, max_bytes: u64) -> Result<Fetched, LoadError> {
    let (status, headers) = (response.status(), response.headers().clone());
    if response.content_length().is_some_and(|length| length > max_bytes) {
        return Err(LoadError::new(TOO_LARGE));
    }
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| failed(&error))?);
        if body.len() as u64 > max_bytes {
            return Err(LoadError::new(TOO_LARGE));
        }
    }
    Ok(Fetched {
        status,
        headers,
        body,
        url,
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;

    async fn server() -> String {
        let router = Router::new()
            .route("/page", get(|| async { "hello" }))
            .route("/moved", get(|| async { Redirect::temporary("/page") }))
            .route(
                "/inside",
                get(|| async { Redirect::temporary("http://169.254.169.254/") }),
            )
            .route("/loop", get(|| async { Redirect::temporary("/loop") }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn install_tls() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[tokio::test]
    async fn pages_are_fetched_within_limits() {
        install_tls();
        let base = server().await;
        let open = CheckedHttp::new(AddressRules::new(true, &[]), true).unwrap();
        let get = async |path: &str, max| {
            open.get(&format!("{base}{path}"), "test", max, None)
                .await
                .map_err(|error| error.to_string())
        };
        let page = get("/moved", None).await.unwrap();
        assert_eq!(
            (page.status.as_u16(), page.body.as_slice()),
            (200, b"hello".as_slice())
        );
        assert!(page.url.ends_with("/page"));
        assert_eq!(get("/page", Some(4)).await.unwrap_err(), TOO_LARGE);
        assert_eq!(get("/inside", None).await.unwrap_err(), INVALID_URL);
        assert_eq!(get("/loop", None).await.unwrap_err(), "Too many redirects");
        assert_eq!(get("/missing", None).await.unwrap().status, 404);
    }

    #[tokio::test]
    async fn names_that_point_inside_are_refused_when_connecting() {
        install_tls();
        let base = server().await;
        let port = base.rsplit(':').next().unwrap();
        let closed = CheckedHttp::new(AddressRules::new(false, &[]), true).unwrap();
        // The name passes the first check where dots are not asked for; what it resolves to does not.
        let names = CheckedNames(closed.rules.clone());
        let name: Name = "localhost".parse().unwrap();
        assert!(names.resolve(name).await.is_err());
        let address = format!("http://127.0.0.1:{port}/page");
        assert_eq!(
            closed
                .get(&address, "test", None, None)
                .await
                .unwrap_err()
                .to_string(),
            INVALID_URL
        );
    }
}
