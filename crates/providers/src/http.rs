//! The connection pool to all providers: one client for the process, its timeouts, redirects and the
//! words for what can go wrong before an answer arrives. What answers mean is decided in [`crate::reply`].

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use oui_core::{Clock, Notice, Notices};
use reqwest::Url;
use tokio::time::Instant;

use crate::connections::Connection;
use crate::context::CallContext;
use crate::entra::EntraOptions;
use crate::headers::{self, ForwardHeaders};
use crate::provider_error::UpstreamError;
use crate::tls::{self, TlsVerify};

/// As many redirects as the reference's client follows.
const MAX_REDIRECTS: usize = 10;

/// How long to wait for providers. `None` waits without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole call, reading its answer included (`AIOHTTP_CLIENT_TIMEOUT`).
    pub total: Option<Duration>,
    /// The pause between two pieces of a streamed answer (`AIOHTTP_CLIENT_STREAM_IDLE_TIMEOUT`).
    pub stream_idle: Option<Duration>,
    /// A list of models or a verification (`AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST`).
    pub model_list: Option<Duration>,
    /// Opening a connection.
    pub connect: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            total: None,
            stream_idle: None,
            model_list: Some(Duration::from_secs(10)),
            connect: Some(Duration::from_secs(30)),
        }
    }
}

/// How the pool is built.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Patience.
    pub timeouts: Timeouts,
    /// Trust.
    pub tls: TlsVerify,
    /// Whether redirects are followed; the reference does for provider calls.
    pub redirects: bool,
    /// Forwarding of the caller's identity.
    pub forward: ForwardHeaders,
    /// The identity of the process at Microsoft Entra.
    pub entra: EntraOptions,
    /// Speaks HTTP/2 from the first byte, as gRPC without TLS needs.
    pub prior_http2: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            tls: TlsVerify::default(),
            redirects: true,
            forward: ForwardHeaders::default(),
            entra: EntraOptions::default(),
            prior_http2: false,
        }
    }
}

/// The pool. Clones share it.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    shared: Arc<Shared>,
}

struct Shared {
    options: HttpOptions,
    clock: Clock,
    notices: OnceLock<Arc<dyn Notices>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// Which of the timeouts bounds a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Call,
    ModelList,
}

/// A request about to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    pub patience: Patience,
}

impl Outgoing {
    pub(crate) fn get(url: String, headers: HeaderMap) -> Self {
        Self {
            method: Method::GET,
            url,
            headers,
            body: None,
            patience: Patience::ModelList,
        }
    }

    pub(crate) fn post(url: String, headers: HeaderMap, body: &serde_json::Value) -> Self {
        let body = Some(Bytes::from(body.to_string()));
        Self {
            method: Method::POST,
            url,
            headers,
            body,
            patience: Patience::Call,
        }
    }
}

impl Http {
    /// Builds the pool. Fails when the certificates that `options.tls` names cannot be read.
    pub fn new(options: HttpOptions, clock: Clock) -> Result<Self, String> {
        let client = tls::build(&options.tls, || {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("oui/", env!("CARGO_PKG_VERSION")))
                .tcp_nodelay(true);
            let builder = if options.prior_http2 {
                builder.http2_prior_knowledge()
            } else {
                builder
            };
            match options.timeouts.connect {
                Some(limit) => builder.connect_timeout(limit),
                None => builder,
            }
        })?;
        Ok(Self {
            client,
            shared: Arc::new(Shared {
                options,
                clock,
                notices: OnceLock::new(),
            }),
        })
    }

    /// The options that the pool was built with.
    pub fn options(&self) -> &HttpOptions {
        &self.shared.options
    }

    /// Tells these of calls that providers refuse. Only the first call counts.
    pub fn tell_through(&self, notices: Arc<dyn Notices>) {
        let _ = self.shared.notices.set(notices);
    }

    /// Tells those who hear of events that a provider has refused a call.
    pub(crate) fn tell_refused(&self, error: &UpstreamError, context: &CallContext) {
        let Some(notices) = self.shared.notices.get() else {
            return;
        };
        let mut notice = Notice::new("model.provider_request.failed")
            .about_kind("model", error.model.clone())
            .with(error.event_data());
        if let Some(user) = &context.user {
            notice = notice.by(user.actor_json());
        }
        notices.publish(notice);
    }

    /// The pooled client, for calls that are no provider calls.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Headers for a call to `connection`.
    pub fn headers(&self, connection: &Connection, context: &CallContext) -> HeaderMap {
        headers::build(
            connection,
            context,
            &self.options().forward,
            self.shared.clock.seconds(),
        )
    }

    /// The caller's identity alone.
    pub fn add_user(&self, headers: &mut HeaderMap, context: &CallContext) {
        self.options()
            .forward
            .add_user(headers, context, self.shared.clock.seconds());
    }

    /// Fetches a file elsewhere, from `offset` on, following redirects: such files are seldom where their address says.
    pub(crate) async fn fetch_file(
        &self,
        url: &str,
        offset: u64,
        limit: Duration,
    ) -> Result<reqwest::Response, TransportError> {
        let mut url = parse(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client.get(url.clone()).timeout(limit);
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
            }
            let response = request
                .send()
                .await
                .map_err(|error| TransportError::from_reqwest(&error, &url))?;
            match redirect_target(&response, &url) {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        Err(TransportError::TooManyRedirects)
    }

    /// Sends a request and returns its answer once the headers are there.
    pub(crate) async fn send(&self, request: Outgoing) -> Result<reqwest::Response, TransportError> {
        let options = self.options();
        let limit = match request.patience {
            Patience::Call => options.timeouts.total,
            Patience::ModelList => options.timeouts.model_list,
        };
        let deadline = limit.map(|limit| Instant::now() + limit);
        let Outgoing {
            mut method,
            url,
            mut headers,
            mut body,
            ..
        } = request;
        let mut url = parse(&url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut builder = self
                .client
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(bytes) = &body {
                builder = builder.body(bytes.clone());
            }
            if let Some(deadline) = deadline {
                builder = builder.timeout(deadline.saturating_duration_since(Instant::now()));
            }
            let response = builder
                .send()
                .await
                .map_err(|error| TransportError::from_reqwest(&error, &url))?;
            let Some(next) = redirect_target(&response, &url).filter(|_| options.redirects) else {
                return Ok(response);
            };
            if drops_body(response.status(), &method) {
                method = Method::GET;
                body = None;
            }
            if next.origin() != url.origin() {
                // Keys belong to the server they were entered for.
                let secret = headers.iter().filter(|(_, value)| value.is_sensitive());
                let names: Vec<_> = secret.map(|(name, _)| name.clone()).collect();
                for name in names {
                    headers.remove(name);
                }
            }
            url = next;
        }
        Err(TransportError::TooManyRedirects)
    }
}

fn parse(url: &str) -> Result<Url, TransportError> {
    Url::parse(url)
        .ok()
        .filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host())
        .ok_or(TransportError::InvalidUrl)
}

fn redirect_target(response: &reqwest::Response, url: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    url.join(location)
        .ok()
        .filter(|next| matches!(next.scheme(), "http" | "https"))
}

fn drops_body(status: StatusCode, method: &Method) -> bool {
    (status == StatusCode::SEE_OTHER && method != Method::HEAD)
        || (matches!(status.as_u16(), 301 | 302) && method == Method::POST)
}

/// Why a call brought no answer, or only part of one. Its text never holds a key or the address's user part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransportError {
    /// Time ran out. The reference's text for this is empty.
    Timeout,
    /// Nothing listens there.
    Connect { host: String, port: u16, cause: String },
    /// The address is no address.
    InvalidUrl,
    /// The answer broke off, or never began.
    Disconnected(String),
    /// A circle of redirects.
    TooManyRedirects,
}

impl TransportError {
    pub(crate) fn from_reqwest(error: &reqwest::Error, url: &Url) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        if error.is_connect() {
            let cause = connect_cause(error, &host, port);
            return Self::Connect { host, port, cause };
        }
        Self::Disconnected(innermost(error))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => Ok(()),
            Self::Connect { host, port, cause } => {
                write!(f, "Cannot connect to host {host}:{port} ssl:default [{cause}]")
            }
            Self::InvalidUrl => f.write_str("the address is not valid"),
            Self::Disconnected(cause) => write!(f, "Server disconnected: {cause}"),
            Self::TooManyRedirects => f.write_str("too many redirects"),
        }
    }
}

impl TransportError {
    /// A text for logs, where silence would not help.
    pub(crate) fn for_log(&self) -> String {
        match self {
            Self::Timeout => "no answer in time".to_owned(),
            other => other.to_string(),
        }
    }
}

fn connect_cause(error: &reqwest::Error, host: &str, port: u16) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if inner.to_string().starts_with("dns error") {
            return "Domain name not found".to_owned();
        }
        if inner
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.raw_os_error().is_some())
        {
            return format!("Connect call failed ('{host}', {port})");
        }
        source = inner.source();
    }
    innermost(error)
}

/// The text at the bottom of a chain of causes, where no address is repeated.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    match last.downcast_ref::<reqwest::Error>() {
        Some(error) if error.url().is_some() => "request failed".to_owned(),
        _ => last.to_string(),
    }
}
