//! Sending a reply: at its pace, and to the end that its plan foresees.

use std::{
    convert::Infallible,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use crate::{
    plan::{Ending, RawReply, Refusal},
    text,
    wire::{Family, Frames, Pace},
};

/// Time between the last chunk and the dropping of a connection. A proxy that learns of both at
/// once may never pass the chunks on, and what its clients see would be a matter of luck.
const BEFORE_DROP: Duration = Duration::from_millis(100);

/// Turns true when the provider is stopped; replies that hang end then.
pub(crate) type Closing = watch::Receiver<bool>;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// An error in the shape of its API.
pub(crate) fn refusal(family: Family, refusal: &Refusal) -> Response {
    let mut response = json(status(refusal.status), &family.error_body(refusal));
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Bytes as a test gave them. A header that HTTP does not allow is left out.
pub(crate) fn raw(reply: RawReply) -> Response {
    let pieces = reply
        .body
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let mut response = Response::new(Body::from_stream(stream::iter(pieces)));
    *response.status_mut() = status(reply.status);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// How a streamed reply is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Time between chunks. One that leaves late does not make the next ones late.
    pub(crate) pause: Duration,
    /// Whether the time of sending is put into each chunk.
    pub(crate) times: bool,
    pub(crate) ending: Ending,
}

/// A streamed reply.
pub(crate) fn streamed(
    content_type: &'static str,
    frames: Frames,
    manner: Manner,
    closing: Closing,
) -> Response {
    let Manner { pause, times, ending } = manner;
    let mut frames = cut(frames);
    let at_once = pause.is_zero() && !times;
    let body = if at_once && matches!(ending, Ending::Complete | Ending::Error) {
        Body::from_stream(stream::iter(frames.map(|(frame, _)| Ok::<_, Infallible>(frame))))
    } else {
        // The receiver is polled inside the stream, so that a stopped provider ends it at once.
        let frames = frames.by_ref().collect::<Vec<_>>().into_iter();
        let state = Some((frames, closing, Instant::now()));
        Body::from_stream(stream::unfold(state, move |state| async move {
            let (mut frames, mut closing, mut due) = state?;
            match frames.next() {
                Some((mut frame, pace)) => {
                    if pace == Pace::Paced {
                        due += pause;
                        if !rest_until(due, &mut closing).await {
                            return None;
                        }
                        if times {
                            frame = stamped(&frame);
                        }
                    }
                    Some((Ok(frame), Some((frames, closing, due))))
                }
                None => end(ending, &mut closing).await.map(|error| (Err(error), None)),
            }
        }))
    };
    (
        StatusCode::OK,
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        body,
    )
        .into_response()
}

/// An unstreamed reply, after the time that its chunks would have taken.
pub(crate) async fn unstreamed(
    body: &Value,
    time: Duration,
    ending: Ending,
    mut closing: Closing,
) -> Response {
    rest(time, &mut closing).await;
    match ending {
        Ending::Complete | Ending::Error => json(StatusCode::OK, body),
        Ending::Hang => {
            closed(&mut closing).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Ending::Drop => half(&body.to_string(), closing),
    }
}

/// Announces a whole body, sends half of it and drops the connection.
fn half(body: &str, closing: Closing) -> Response {
    let length = body.len();
    let mut frames = Frames::default();
    frames.push(
        Pace::Now,
        &[&String::from_utf8_lossy(&body.as_bytes()[..length / 2])],
    );
    let manner = Manner {
        pause: Duration::ZERO,
        times: false,
        ending: Ending::Drop,
    };
    let mut response = streamed("application/json", frames, manner, closing);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The frames as slices of their one buffer.
fn cut(frames: Frames) -> impl Iterator<Item = (Bytes, Pace)> + Send {
    let bytes = Bytes::from(frames.bytes);
    let mut start = 0;
    frames.cuts.into_iter().map(move |(end, pace)| {
        let frame = bytes.slice(start..end);
        start = end;
        (frame, pace)
    })
}

/// The end of a stream's frames: an error if the connection is to be dropped.
async fn end(ending: Ending, closing: &mut Closing) -> Option<io::Error> {
    match ending {
        Ending::Complete | Ending::Error => None,
        Ending::Hang => {
            closed(closing).await;
            None
        }
        Ending::Drop => {
            rest(BEFORE_DROP, closing).await;
            Some(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "dropped as scripted",
            ))
        }
    }
}

/// A frame with the time of now in it.
fn stamped(frame: &Bytes) -> Bytes {
    let Some(at) = memchr::memmem::find(frame, text::NO_TIME.as_bytes()) else {
        return frame.clone();
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "both ends of a measurement read the machine's clock"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = BytesMut::from(&frame[..]);
    bytes[at..at + text::NO_TIME.len()].copy_from_slice(text::time(now.as_micros()).as_bytes());
    bytes.freeze()
}

/// Waits; false if the provider was stopped meanwhile.
async fn rest(time: Duration, closing: &mut Closing) -> bool {
    rest_until(Instant::now() + time, closing).await
}

async fn rest_until(due: Instant, closing: &mut Closing) -> bool {
    if due <= Instant::now() {
        return true;
    }
    tokio::select! {
        () = tokio::time::sleep_until(due) => true,
        () = closed(closing) => false,
    }
}

async fn closed(closing: &mut Closing) {
    // An error means that the provider itself is gone, which is the same.
    let _gone = closing.wait_for(|closed| *closed).await;
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
