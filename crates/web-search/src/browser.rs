//! Pages as a browser shows them. The browser is one of the operator's, reached through a WebSocket (a Playwright
//! server, or a Chromium that is open for debugging), or a Chromium on this machine. It never reaches the network by
//! itself: all that a page asks for is fetched here, by the client that checks addresses, and what escapes that runs
//! into a proxy that does not exist.

mod devtools;
mod launch;
mod playwright;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use oui_loaders::LoadError;
use reqwest::{Client, Upgraded};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::fetch::{Asked, CheckedHttp, Fetched};

/// Bytes of one answer that a page gets.
const ANSWER: u64 = 20 * 1024 * 1024;

/// Bytes of one message of the browser.
const MESSAGE: usize = 128 * 1024 * 1024;

/// What one page may ask for.
const REQUESTS: usize = 500;

/// Time for what is done beside loading pages.
const CONTROL: Duration = Duration::from_secs(30);

/// Kinds of resources that no text depends on.
const LEFT_OUT: [&str; 3] = ["font", "image", "media"];

/// A proxy that is not there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Headers that the client makes anew for what it sends and reads.
const FRAMING: [&str; 6] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "transfer-encoding",
];

/// Which browser, and how patient with it.
pub(crate) struct Options<'o> {
    /// Address of a Playwright server (`ws://host:3000/`) or of a Chromium's debugging (`ws://host:9222/devtools/...`,
    /// `http://host:9222`); empty starts one on this machine.
    pub(crate) url: &'o str,
    /// A folder for the profiles of browsers that are started here.
    pub(crate) folder: PathBuf,
    /// How long a page may load.
    pub(crate) patience: Duration,
}

fn failed(text: impl std::fmt::Display) -> LoadError {
    LoadError::new(format!("The browser could not be used: {text}"))
}

/// How the browser is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    DevTools,
    Playwright,
}

/// What a page wants to have.
struct Wanted {
    /// What the answer has to name.
    route: String,
    /// Kind of the resource, in small letters.
    kind: String,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The answer to that; none when it is not given.
type Answered = (String, Option<Fetched>);

/// A browser, ready to show pages.
pub(crate) struct Browser<'h> {
    http: &'h CheckedHttp,
    socket: WebSocketStream<Upgraded>,
    dialect: Dialect,
    patience: Duration,
    next: u64,
    fetching: FuturesUnordered<BoxFuture<'h, Answered>>,
    /// Requests of the page that is shown.
    asked: usize,
    /// The session or object that stands for the page.
    page: String,
    loaded: bool,
    /// What a Playwright server told of its objects.
    objects: HashMap<String, Value>,
    started: Option<launch::Started>,
}

impl<'h> Browser<'h> {
    /// Connects, or starts a browser.
    pub(crate) async fn open(http: &'h CheckedHttp, options: Options<'_>) -> Result<Self, LoadError> {
        tokio::time::timeout(CONTROL, Self::connect(http, options))
            .await
            .map_err(|_| failed("it does not answer"))?
    }

    async fn connect(http: &'h CheckedHttp, options: Options<'_>) -> Result<Self, LoadError> {
        let client = Client::builder()
            .http1_only()
            .connect_timeout(Duration::from_secs(15))
            .build()
            .map_err(failed)?;
        let mut started = None;
        let url = if options.url.is_empty() {
            let browser = launch::start(&options.folder).await?;
            let url = browser.url.clone();
            started = Some(browser);
            url
        } else if options.url.starts_with("http") {
            devtools::address(&client, options.url).await?
        } else {
            options.url.to_owned()
        };
        let dialect = if url.contains("/devtools/") {
            Dialect::DevTools
        } else {
            Dialect::Playwright
        };
        let mut browser = Self {
            http,
            socket: websocket(&client, &url).await?,
            dialect,
            patience: options.patience,
            next: 0,
            fetching: FuturesUnordered::new(),
            asked: 0,
            page: String::new(),
            loaded: false,
            objects: HashMap::new(),
            started,
        };
        if dialect == Dialect::Playwright {
            browser.greet().await?;
        }
        Ok(browser)
    }

    /// The page at an address as HTML, when it has loaded.
    pub(crate) async fn page(&mut self, address: &str) -> Result<String, LoadError> {
        self.http.rules().check(address)?;
        self.fetching.clear();
        (self.asked, self.loaded) = (0, false);
        let patience = self.patience;
        let load = async {
            match self.dialect {
                Dialect::DevTools => self.show_by_devtools(address).await,
                Dialect::Playwright => self.show_by_playwright(address).await,
            }
        };
        // The dialects count the page's own time.
        tokio::time::timeout(patience + CONTROL, load)
            .await
            .map_err(|_| failed("it does not answer"))?
    }

    /// Ends the connection, and the browser where it was started here.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.socket.close(None)).await;
        if let Some(started) = self.started.take() {
            started.end().await;
        }
    }

    /// Says something to `target` and waits for the answer; what happens meanwhile is dealt with.
    async fn call(&mut self, target: &str, method: &str, params: Value) -> Result<Value, LoadError> {
        let id = self.say(target, method, params).await?;
        loop {
            let mut message = self.listen().await?;
            if message["id"] == id {
                let error = &message["error"];
                let reason = error.pointer("/error/message").or_else(|| error.get("message"));
                return match reason.and_then(Value::as_str) {
                    Some(reason) => Err(failed(reason.lines().next().unwrap_or_default())),
                    None => Ok(message["result"].take()),
                };
            }
            self.hear(message);
        }
    }

    /// Says something without waiting for the answer.
    async fn say(&mut self, target: &str, method: &str, params: Value) -> Result<u64, LoadError> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        match self.dialect {
            Dialect::DevTools if target.is_empty() => {}
            Dialect::DevTools => message["sessionId"] = json!(target),
            Dialect::Playwright => {
                let patience = u64::try_from(self.patience.as_millis()).unwrap_or_default();
                message["guid"] = json!(target);
                message["metadata"] = json!({ "timeout": patience });
            }
        }
        let message = Message::text(message.to_string());
        self.socket.send(message).await.map_err(failed)?;
        Ok(self.next)
    }

    /// The next message of the browser. Answers that are ready are given meanwhile.
    async fn listen(&mut self) -> Result<Value, LoadError> {
        loop {
            tokio::select! {
                Some(answered) = self.fetching.next(), if !self.fetching.is_empty() => self.give(answered).await?,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        return serde_json::from_str(&text).map_err(failed);
                    }
                    Some(Ok(Message::Close(_))) | None => return Err(failed("it has gone")),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(failed(error)),
                },
            }
        }
    }

    fn hear(&mut self, message: Value) {
        let wanted = match self.dialect {
            Dialect::DevTools => self.hear_devtools(message),
            Dialect::Playwright => self.hear_playwright(message),
        };
        if let Some(wanted) = wanted {
            self.asked += 1;
            let refused = self.asked > REQUESTS || LEFT_OUT.contains(&wanted.kind.as_str());
            self.fetching.push(if refused {
                std::future::ready((wanted.route, None)).boxed()
            } else {
                fetch(self.http, wanted, self.patience).boxed()
            });
        }
    }

    async fn give(&mut self, (route, fetched): Answered) -> Result<(), LoadError> {
        let (target, method, params) = match self.dialect {
            Dialect::DevTools => devtools::answer(&self.page, route, fetched),
            Dialect::Playwright => playwright::answer(route, fetched),
        };
        self.say(&target, method, params).await.map(|_| ())
    }
}

/// Fetches what a page wants, where that is allowed.
async fn fetch(http: &CheckedHttp, wanted: Wanted, patience: Duration) -> Answered {
    let route = wanted.route.clone();
    match http_request(wanted) {
        Some(asked) => {
            let address = asked.address.clone();
            let fetched = http.send(asked, Some(ANSWER), Some(patience)).await;
            if let Err(error) = &fetched {
                tracing::debug!(%address, %error, "a part of a page was not fetched");
            }
            (route, fetched.ok())
        }
        None => (route, None),
    }
}

fn http_request(wanted: Wanted) -> Option<Asked> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted.headers {
        let name: HeaderName = name.parse().ok()?;
        if !FRAMING.contains(&name.as_str()) {
            headers.append(name, HeaderValue::from_str(&value).ok()?);
        }
    }
    Some(Asked {
        method: Method::from_bytes(wanted.method.as_bytes()).ok()?,
        address: wanted.url,
        headers,
        body: wanted.body,
    })
}

/// The headers of an answer as browsers are given them.
fn told_headers(fetched: &Fetched) -> Vec<Value> {
    let told = fetched.headers.iter();
    told.filter(|(name, _)| !FRAMING.contains(&name.as_str()))
        .filter_map(|(name, value)| Some(json!({ "name": name.as_str(), "value": value.to_str().ok()? })))
        .collect()
}

/// A body as both dialects take it.
fn told_body(fetched: &Fetched) -> String {
    STANDARD.encode(&fetched.body)
}

/// A text of an answer; an error without it.
fn text_of(answer: &Value, place: &str) -> Result<String, LoadError> {
    let text = answer.pointer(place).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| failed(format_args!("its answer has no {place}")))
}

/// Opens a WebSocket through the usual client, so that TLS is that of everything else.
async fn websocket(client: &Client, url: &str) -> Result<WebSocketStream<Upgraded>, LoadError> {
    let address = match url.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        _ => {
            return Err(failed(
                "PLAYWRIGHT_WS_URL begins with ws:// or wss://, or for debugging with http://",
            ));
        }
    };
    let key = generate_key();
    let answer = client
        .get(address)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .header("x-playwright-browser", "chromium")
        .send()
        .await
        .map_err(|error| failed(error.without_url()))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(failed(format_args!("it answers {}", answer.status().as_u16())));
    }
    let accepted = answer.headers().get("sec-websocket-accept");
    if accepted.is_none_or(|accepted| accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(failed("what answered is no WebSocket server"));
    }
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let upgraded = answer.upgrade().await.map_err(failed)?;
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await)
}

#[cfg(test)]
mod tests;
