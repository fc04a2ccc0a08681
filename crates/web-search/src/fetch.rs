//! Fetching what a user named. The name is resolved once, and only addresses that pass the rules are connected to, so
//! that a name can not change its mind in between; every redirect is checked again; size and time are limited.

use oui_core::boxed;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
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

/// A request to an address.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub address: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; empty for none.
    pub body: Vec<u8>,
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
        let agent = HeaderValue::from_str(user_agent).map_err(|error| LoadError::new(error.to_string()))?;
        let asked = Asked {
            method: Method::GET,
            address: address.to_owned(),
            headers: HeaderMap::from_iter([(header::USER_AGENT, agent)]),
            body: Vec::new(),
        };
        self.send(asked, max_bytes, timeout).await
    }

    /// Sends a request, following redirects as browsers do: what was posted is not posted again, and what was meant
    /// for one host is not sent to another.
    ///
    /// # Errors
    /// As `get`.
    #[boxed]
    pub async fn send(
        &self,
        mut asked: Asked,
        max_bytes: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<Fetched, LoadError> {
        let mut url = self.rules.check(&asked.address)?;
        let mut cookies = Vec::new();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self
                .client
                .request(asked.method.clone(), url.clone())
                .headers(asked.headers.clone())
                .body(asked.body.clone());
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
            let Some(target) = target else {
                let mut fetched = read(response, url.to_string(), max_bytes.unwrap_or(MAX_BYTES)).await?;
                for cookie in cookies {
                    fetched.headers.append(header::SET_COOKIE, cookie);
                }
                return Ok(fetched);
            };
            cookies.extend(response.headers().get_all(header::SET_COOKIE).iter().cloned());
            let target = self.rules.check(target.as_str())?;
            let keeps_method = matches!(
                response.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            if !keeps_method && asked.method != Method::HEAD {
                asked.method = Method::GET;
                asked.body.clear();
                asked.headers.remove(header::CONTENT_TYPE);
            }
            if target.origin() != url.origin() {
                asked.headers.remove(header::COOKIE);
                asked.headers.remove(header::AUTHORIZATION);
            }
            url = target;
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
    use axum::routing::{any, get, post};

    use super::*;

    /// Tells what it was asked.
    async fn seen(method: Method, headers: HeaderMap, body: String) -> String {
        let cookie = headers.get("cookie").map(|cookie| cookie.to_str().unwrap());
        format!("{method} {body} {}", cookie.unwrap_or_default())
    }

    #[tokio::test]
    async fn redirects_are_followed_as_browsers_do() {
        install_tls();
        let (here, there) = (server().await, server().await);
        let open = CheckedHttp::new(AddressRules::new(true, &[]), true).unwrap();
        let send = async |address: String| {
            let asked = Asked {
                method: Method::POST,
                address,
                headers: HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("secret"))]),
                body: b"body".to_vec(),
            };
            let fetched = open.send(asked, None, None).await.unwrap();
            (String::from_utf8(fetched.body).unwrap(), fetched.headers)
        };
        let (text, headers) = send(format!("{here}/posted")).await;
        assert_eq!(
            (text.as_str(), &headers["set-cookie"]),
            ("GET  secret", &HeaderValue::from_static("a=b"))
        );
        assert_eq!(send(format!("{here}/again")).await.0, "POST body secret");
        let elsewhere = format!("{here}/to?{there}");
        assert_eq!(send(elsewhere).await.0, "POST body ");
    }

    async fn server() -> String {
        let router = Router::new()
            .route("/page", get(|| async { "hello" }))
            .route("/moved", get(|| async { Redirect::temporary("/page") }))
            .route(
                "/inside",
                get(|| async { Redirect::temporary("http://169.254.169.254/") }),
            )
            .route(
                "/posted",
                post(|| async { ([("set-cookie", "a=b")], Redirect::to("/seen")) }),
            )
            .route(
                "/to",
                post(|uri: http::Uri| async move {
                    Redirect::temporary(&format!("{}/seen", uri.query().unwrap()))
                }),
            )
            .route("/again", post(|| async { Redirect::temporary("/seen") }))
            .route("/seen", any(seen))
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
