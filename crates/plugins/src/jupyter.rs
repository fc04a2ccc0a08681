//! Runs Python on a Jupyter server: a kernel is started over HTTP, the code goes to it over a WebSocket, its output is
//! gathered until it is idle, and the kernel is shut down again, whatever happens in between.

use oui_core::boxed;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use oui_core::ids;
use reqwest::header::{CONNECTION, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, UPGRADE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Bytes of output that are gathered; a program that prints more is stopped.
const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;

/// How long the server may take to start or stop a kernel.
const CONTROL_TIME: Duration = Duration::from_secs(60);

/// A server, and how to sign in to it.
#[derive(Debug, Clone)]
pub struct Jupyter {
    /// Its address.
    pub url: String,
    /// Token; wins over the password.
    pub token: Option<String>,
    /// Password of its sign-in page.
    pub password: Option<String>,
    /// How long the program may be silent.
    pub patience: Duration,
}

/// What a program left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    /// What it ended with; pictures as data URIs, a line each.
    pub result: String,
}

impl Output {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "stdout": self.stdout, "stderr": self.stderr, "result": self.result })
    }
}

/// A signed-in session.
#[derive(Clone)]
struct Session {
    client: Client,
    base: String,
    token: Option<String>,
    headers: HeaderMap,
}

impl Session {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.headers(self.headers.clone());
        match &self.token {
            Some(token) => request.query(&[("token", token)]),
            None => request,
        }
    }
}

/// Shuts the kernel down when the run is over or given up.
struct Kernel {
    session: Session,
    id: String,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let request = self
            .session
            .request(Method::DELETE, &format!("api/kernels/{}", self.id));
        tokio::spawn(async move {
            let gone = request
                .timeout(CONTROL_TIME)
                .send()
                .await
                .and_then(Response::error_for_status);
            if let Err(error) = gone {
                tracing::warn!(error = %error.without_url(), "a kernel could not be shut down");
            }
        });
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Jupyter {
    /// Runs a program. What goes wrong is told in `stderr`.
    #[boxed]
    pub async fn execute(&self, code: &str) -> Output {
        match self.attempt(code).await {
            Ok(output) => output,
            Err(error) => {
                let error = match error.downcast::<reqwest::Error>() {
                    // The address may hold the token.
                    Ok(error) => error.without_url().to_string(),
                    Err(error) => error.to_string(),
                };
                tracing::warn!(error, "code could not be run on the Jupyter server");
                Output {
                    stderr: format!("Error: {error}"),
                    ..Output::default()
                }
            }
        }
    }

    async fn attempt(&self, code: &str) -> Result<Output, Failed> {
        let session = self.sign_in().await?;
        let made = session
            .request(Method::POST, "api/kernels")
            .timeout(CONTROL_TIME)
            .send()
            .await?;
        let made: Value = made.error_for_status()?.json().await?;
        let id = made["id"]
            .as_str()
            .ok_or("the server started no kernel")?
            .to_owned();
        let kernel = Kernel { session, id };
        let mut socket = kernel.connect().await?;
        let message_id = ids::uuid();
        let request = json!({
            "header": {
                "msg_id": message_id, "msg_type": "execute_request", "username": "user", "session": ids::uuid(),
                "date": "", "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": {
                "code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false,
                "stop_on_error": true,
            },
            "channel": "shell",
        });
        socket.send(request.to_string().into()).await?;
        let mut gathered = Gathered::default();
        loop {
            let message = match tokio::time::timeout(self.patience, socket.next()).await {
                Ok(Some(message)) => message?,
                Ok(None) => return Err("the connection to the kernel was closed".into()),
                Err(_) => {
                    gathered.stderr.push_str("\nExecution timed out.");
                    break;
                }
            };
            let Ok(text) = message.to_text() else { continue };
            let Ok(message) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            if message["parent_header"]["msg_id"] == message_id.as_str() && gathered.take(&message) {
                break;
            }
            if gathered.size() > OUTPUT_LIMIT {
                gathered.stderr.push_str("\nExecution stopped: too much output.");
                break;
            }
        }
        Ok(gathered.finish())
    }

    async fn sign_in(&self) -> Result<Session, Failed> {
        // WebSockets begin as HTTP/1.1.
        let client = Client::builder()
            .http1_only()
            .connect_timeout(CONTROL_TIME)
            .build()?;
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let mut session = Session {
            client,
            base: format!("{}/", self.url.trim_end_matches('/')),
            token: given(&self.token),
            headers: HeaderMap::new(),
        };
        let Some(password) = given(&self.password).filter(|_| session.token.is_none()) else {
            return Ok(session);
        };
        let page = session
            .request(Method::GET, "login")
            .timeout(CONTROL_TIME)
            .send()
            .await?
            .error_for_status()?;
        let mut cookies = Vec::new();
        take_cookies(&mut cookies, page.headers());
        let xsrf = cookies
            .iter()
            .find(|(name, _)| name == "_xsrf")
            .map(|(_, value)| value.clone());
        let xsrf = xsrf.ok_or("_xsrf token not found")?;
        session.headers.insert(
            HeaderName::from_static("x-xsrftoken"),
            HeaderValue::from_str(&xsrf)?,
        );
        session.headers.insert(COOKIE, cookie_header(&cookies)?);
        // The answer is a redirection whose cookies count; the page that it leads to does not.
        let redirects = Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let form = [("_xsrf", xsrf.as_str()), ("password", password.as_str())];
        let request = redirects
            .post(format!("{}login", session.base))
            .headers(session.headers.clone());
        let answer = request
            .form(&form)
            .timeout(CONTROL_TIME)
            .send()
            .await?
            .error_for_status()?;
        take_cookies(&mut cookies, answer.headers());
        session.headers.insert(COOKIE, cookie_header(&cookies)?);
        Ok(session)
    }
}

fn take_cookies(cookies: &mut Vec<(String, String)>, headers: &HeaderMap) {
    for cookie in headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
    {
        let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        if let Some((name, value)) = pair {
            cookies.retain(|(known, _)| known != name.trim());
            cookies.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

fn cookie_header(cookies: &[(String, String)]) -> Result<HeaderValue, Failed> {
    let pairs: Vec<String> = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(HeaderValue::from_str(&pairs.join("; "))?)
}

impl Kernel {
    async fn connect(&self) -> Result<WebSocketStream<reqwest::Upgraded>, Failed> {
        let key = generate_key();
        let request = self
            .session
            .request(Method::GET, &format!("api/kernels/{}/channels", self.id));
        let request = request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let answer = tokio::time::timeout(CONTROL_TIME, request.send()).await??;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!(
                "server rejected WebSocket connection: HTTP {}",
                answer.status().as_u16()
            )
            .into());
        }
        let accepted = answer.headers().get("sec-websocket-accept");
        if accepted.is_none_or(|accepted| accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes())
        {
            return Err("what answered is no WebSocket server".into());
        }
        let limits = WebSocketConfig::default().max_message_size(Some(2 * OUTPUT_LIMIT));
        let upgraded = answer.upgrade().await?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await)
    }
}

#[derive(Default)]
struct Gathered {
    stdout: String,
    stderr: String,
    results: Vec<String>,
}

impl Gathered {
    /// Takes a message of the kernel; answers whether it was the last one.
    fn take(&mut self, message: &Value) -> bool {
        let content = &message["content"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["msg_type"].as_str() {
            Some("stream") if content["name"] == "stdout" => self.stdout.push_str(&text(&content["text"])),
            Some("stream") if content["name"] == "stderr" => self.stderr.push_str(&text(&content["text"])),
            Some("execute_result" | "display_data") => {
                let data = &content["data"];
                if let Some(picture) = data["image/png"].as_str() {
                    self.results
                        .push(format!("data:image/png;base64,{}", picture.trim()));
                } else if let Some(plain) = data["text/plain"].as_str() {
                    self.results.push(plain.to_owned());
                }
            }
            Some("error") => {
                let lines = content["traceback"].as_array().into_iter().flatten();
                let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
                self.stderr.push_str(&lines.join("\n"));
            }
            Some("status") => return content["execution_state"] == "idle",
            _ => {}
        }
        false
    }

    fn size(&self) -> usize {
        self.stdout.len() + self.stderr.len() + self.results.iter().map(String::len).sum::<usize>()
    }

    fn finish(self) -> Output {
        Output {
            stdout: self.stdout.trim().to_owned(),
            stderr: self.stderr.trim().to_owned(),
            result: self.results.join("\n").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_kernel_are_gathered() {
        let mut gathered = Gathered::default();
        for message in [
            json!({"msg_type": "stream", "content": {"name": "stdout", "text": "one\n"}}),
            json!({"msg_type": "stream", "content": {"name": "stderr", "text": "careful\n"}}),
            json!({"msg_type": "execute_result", "content": {"data": {"text/plain": "3"}}}),
            json!({"msg_type": "display_data", "content": {"data": {"image/png": "AA==\n", "text/plain": "<Figure>"}}}),
            json!({"msg_type": "error", "content": {"traceback": ["a", "b"]}}),
            json!({"msg_type": "status", "content": {"execution_state": "busy"}}),
        ] {
            assert!(!gathered.take(&message));
        }
        assert!(gathered.take(&json!({"msg_type": "status", "content": {"execution_state": "idle"}})));
        let output = gathered.finish();
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("one", "careful\na\nb")
        );
        assert_eq!(output.result, "3\ndata:image/png;base64,AA==");
    }

    #[test]
    fn later_cookies_replace_earlier_ones() {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("_xsrf=1; Path=/"));
        headers.append(SET_COOKIE, HeaderValue::from_static("user=\"a|b\"; HttpOnly"));
        let mut cookies = vec![("_xsrf".to_owned(), "0".to_owned())];
        take_cookies(&mut cookies, &headers);
        assert_eq!(cookie_header(&cookies).unwrap(), "_xsrf=1; user=\"a|b\"");
    }
}
