//! Reading answers: which of them are JSON, which are text, and the byte streams that are passed on
//! as they come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::headers::relayable;
use crate::http::TransportError;
use crate::joined::Joined;

/// A broken answer. The text holds no address and no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The connection broke, or the answer was not what its headers promised.
    #[error("the provider's answer broke off: {0}")]
    Broken(String),
    /// Time ran out while waiting for the next piece.
    #[error("the provider sent nothing for too long")]
    Timeout,
    /// A line or event is longer than a reader allows.
    #[error("the provider sent a line of more than {0} bytes")]
    TooLong(usize),
    /// This server ended it, for the reason given.
    #[error("{0}")]
    Stopped(String),
}

/// Pieces of a streamed answer as they arrive. Dropping it closes the connection to the provider.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// A streamed answer.
pub struct UpstreamStream {
    /// Status of the answer.
    pub status: StatusCode,
    /// The provider's headers as far as they may be passed on; `content-type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl std::fmt::Debug for UpstreamStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamStream")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What a call brought.
#[derive(Debug)]
pub enum ChatReply {
    /// A whole answer. A text that is no JSON is a JSON string.
    Json(Value),
    /// An answer in pieces.
    Stream(UpstreamStream),
}

/// A whole body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Declared as JSON and readable as such; an empty one is null.
    Json(Value),
    /// Anything else.
    Text(String),
}

impl Body {
    /// The body as one value.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Json(value) => value,
            Self::Text(text) => Value::String(text),
        }
    }
}

/// Whether a `Content-Type` says JSON (`application/json`, `application/*+json`); nothing else counts.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.strip_prefix("application/")
        .is_some_and(|rest| rest == "json" || rest.ends_with("+json"))
}

/// Whether a `Content-Type` says server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    kind.contains("text/event-stream")
}

/// Reads a whole body.
pub(crate) async fn read(response: reqwest::Response) -> Result<Body, TransportError> {
    let json = is_json(response.headers());
    let url = response.url().clone();
    let bytes = response
        .bytes()
        .await
        .map_err(|error| TransportError::from_reqwest(&error, &url))?;
    if json {
        if bytes.trim_ascii().is_empty() {
            return Ok(Body::Json(Value::Null));
        }
        if let Ok(value) = serde_json::from_slice(&bytes) {
            return Ok(Body::Json(value));
        }
    }
    Ok(Body::Text(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Passes an answer on piece by piece, waiting at most `idle` for each.
pub(crate) fn stream(response: reqwest::Response, idle: Option<Duration>) -> UpstreamStream {
    let status = response.status();
    let headers = relayable(response.headers());
    let url = response.url().clone();
    let pieces = response.bytes_stream().map(move |piece| {
        piece.map_err(|error| match TransportError::from_reqwest(&error, &url) {
            TransportError::Timeout => StreamError::Timeout,
            TransportError::Disconnected(cause) => StreamError::Broken(cause),
            other => StreamError::Broken(other.for_log()),
        })
    });
    let body: ByteStream = match idle {
        Some(limit) => Box::pin(Idle::new(Box::pin(pieces), limit)),
        None => Box::pin(pieces),
    };
    UpstreamStream {
        status,
        headers,
        body: Box::pin(Joined::of_connection(body)),
    }
}

/// A stream that gives up when nothing arrives for a while.
struct Idle {
    inner: ByteStream,
    limit: Duration,
    timer: Pin<Box<tokio::time::Sleep>>,
    over: bool,
}

impl Idle {
    fn new(inner: ByteStream, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            timer: Box::pin(tokio::time::sleep(limit)),
            over: false,
        }
    }
}

impl Stream for Idle {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(piece) = self.inner.as_mut().poll_next(cx) {
            let next = tokio::time::Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
            return Poll::Ready(piece);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(Some(Err(StreamError::Timeout)));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(kind))])
    }

    #[test]
    fn only_declared_json_is_json() {
        for kind in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/Problem+JSON",
        ] {
            assert!(is_json(&headers(kind)), "{kind}");
        }
        for kind in [
            "text/json",
            "application/x-ndjson",
            "text/plain",
            "application/jsonp",
        ] {
            assert!(!is_json(&headers(kind)), "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream() {
        let pieces = futures::stream::iter([Ok(Bytes::from_static(b"a"))]).chain(futures::stream::pending());
        let mut stream = Idle::new(Box::pin(pieces), Duration::from_secs(5));
        assert_eq!(stream.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(stream.next().await, Some(Err(StreamError::Timeout)));
        assert_eq!(stream.next().await, None);
    }
}
