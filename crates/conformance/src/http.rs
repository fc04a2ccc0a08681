//! Sends one request and describes the answer as JSON: status, the headers that matter, the body
//! in the form that suits its type (`json`, `sse`, `ndjson`, `text`, `html`, `bytes`).

use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
    multipart::{Form, Part},
    redirect::Policy,
};
use serde_json::{Map, Value, json};

use crate::scenario::{FormField, Table};

/// Headers that clients see or act on; all others may differ.
const HEADERS: &[&str] = &[
    "content-type",
    "cache-control",
    "content-disposition",
    "location",
    "allow",
    "retry-after",
    "www-authenticate",
    "set-cookie",
];

/// A request whose variables are filled in.
#[derive(Debug)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Further headers.
    pub headers: Table,
    /// The body.
    pub body: Payload,
}

/// What a request carries.
#[derive(Debug)]
pub enum Payload {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// Text without a content type of its own.
    Raw(String),
    /// Multipart fields.
    Form(Vec<(String, FormField)>),
}

/// An HTTP client that neither follows redirects nor keeps cookies and gives up after `patience`.
///
/// # Errors
/// When the TLS provider cannot be set up.
pub fn client(patience: Duration) -> Result<Client> {
    // A provider that is already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Every request has a connection of its own: some servers drop a kept one after an error, and
    // whether the next request meets that is a matter of luck.
    let builder = Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(Policy::none());
    builder
        .timeout(patience)
        .no_proxy()
        .build()
        .context("making the HTTP client")
}

/// Sends a request and describes what comes back.
///
/// # Errors
/// When the server cannot be reached or the request is not a valid one.
pub async fn send(client: &Client, request: Request) -> Result<Value> {
    let head = request.method == "HEAD";
    let response = builder(client, request)?.send().await.context("no answer")?;
    let status = response.status().as_u16();
    let headers = describe_headers(response.headers());
    let content_type = headers
        .get("content-type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let (bytes, cut) = read(response).await;

    let mut answer = Map::new();
    answer.insert("status".to_owned(), json!(status));
    answer.insert("headers".to_owned(), Value::Object(headers));
    if !head && !bytes.is_empty() {
        let (kind, body) = describe_body(&content_type, &bytes);
        answer.insert(kind.to_owned(), body);
    }
    if cut {
        answer.insert("cut".to_owned(), json!(true));
    }
    Ok(Value::Object(answer))
}

fn builder(client: &Client, request: Request) -> Result<RequestBuilder> {
    let method = Method::from_bytes(request.method.as_bytes())?;
    let mut builder = client.request(method, &request.url);
    if let Some(token) = request.token {
        builder = builder.bearer_auth(token);
    }
    builder = match request.body {
        Payload::None => builder,
        Payload::Json(json) => builder.json(&json),
        Payload::Raw(text) => builder.body(text),
        Payload::Form(fields) => builder.multipart(form(fields)?),
    };
    for (name, value) in request.headers {
        builder = builder.header(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(builder)
}

fn form(fields: Vec<(String, FormField)>) -> Result<Form> {
    let mut form = Form::new();
    for (name, field) in fields {
        form = match field {
            FormField::Text(text) => form.text(name, text),
            FormField::File { file, r#type, text } => form.part(
                name,
                Part::bytes(text.into_bytes()).file_name(file).mime_str(&r#type)?,
            ),
        };
    }
    Ok(form)
}

/// The whole body, and whether the connection broke before its end.
async fn read(response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(_) => return (bytes, true),
        }
    }
    (bytes, false)
}

fn describe_headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut found = Map::new();
    for name in HEADERS {
        let values: Vec<Value> = headers
            .get_all(*name)
            .iter()
            .map(|value| json!(String::from_utf8_lossy(value.as_bytes())))
            .collect();
        match (values.len(), *name) {
            (0, _) => {}
            (_, "set-cookie") => {
                found.insert((*name).to_owned(), Value::Array(values));
            }
            _ => {
                found.extend(values.into_iter().next().map(|value| ((*name).to_owned(), value)));
            }
        }
    }
    found
}

fn describe_body(content_type: &str, bytes: &[u8]) -> (&'static str, Value) {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(bytes).ok();
    match (kind, text) {
        ("text/event-stream", Some(text)) => ("sse", sse(text)),
        ("application/x-ndjson" | "application/ndjson", Some(text)) => (
            "ndjson",
            text.lines()
                .filter(|line| !line.is_empty())
                .map(json_or_text)
                .collect(),
        ),
        // The client's page is not part of the interface, only that it is given out.
        ("text/html", _) => ("html", json!("page")),
        (kind, Some(text)) if kind.ends_with("json") => match serde_json::from_str(text) {
            Ok(value) => ("json", value),
            Err(_) => ("text", text.lines().collect()),
        },
        (kind, Some(text)) if kind.is_empty() || kind.starts_with("text/") || kind.ends_with("xml") => {
            ("text", text.lines().collect())
        }
        _ => ("bytes", json!({ "length": bytes.len() })),
    }
}

fn sse(text: &str) -> Value {
    text.replace("\r\n", "\n")
        .split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(sse_frame)
        .collect()
}

fn sse_frame(frame: &str) -> Value {
    let mut found = Map::new();
    for line in frame.lines() {
        let (name, value) = match line.split_once(':') {
            Some(("", comment)) => ("comment", comment.trim_start()),
            Some((name @ ("event" | "data" | "id" | "retry"), value)) => {
                (name, value.strip_prefix(' ').unwrap_or(value))
            }
            _ => ("line", line),
        };
        let value = if name == "data" || name == "line" {
            json_or_text(value)
        } else {
            json!(value)
        };
        match found.get_mut(name) {
            None => {
                found.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(found)
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_described_by_their_type() {
        let page = describe_body("text/html; charset=utf-8", b"<p>");
        assert_eq!(page, ("html", json!("page")));
        assert_eq!(describe_body("application/json", b"null"), ("json", Value::Null));
        assert_eq!(describe_body("application/json", b"{"), ("text", json!(["{"])));
        assert_eq!(
            describe_body("image/png", &[0xff, 0]),
            ("bytes", json!({"length": 2}))
        );
    }

    #[test]
    fn event_streams_become_lists_of_frames() {
        let stream = "event: a\ndata: {\"x\":1}\n\n: ping\n\ndata: [DONE]\n\n{\"error\": 1}\n";
        assert_eq!(
            sse(stream),
            json!([
                {"event": "a", "data": {"x": 1}},
                {"comment": "ping"},
                {"data": "[DONE]"},
                {"line": {"error": 1}},
            ])
        );
    }
}
