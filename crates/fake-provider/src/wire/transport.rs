//! Sending a reply: at its pace, and to the end that its plan foresees.

use std::{convert::Infallible, io, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    plan::{Ending, RawReply, Refusal},
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

/// A streamed reply.
pub(crate) fn streamed(
    content_type: &'static str,
    frames: Frames,
    pause: Duration,
    ending: Ending,
    closing: Closing,
) -> Response {
    let mut frames = cut(frames);
    let body = if pause.is_zero() && matches!(ending, Ending::Complete | Ending::Error) {
        Body::from_stream(stream::iter(frames.map(|(frame, _)| Ok::<_, Infallible>(frame))))
    } else {
        // The receiver is polled inside the stream, so that a stopped provider ends it at once.
        let state = Some((frames.by_ref().collect::<Vec<_>>().into_iter(), closing));
        Body::from_stream(stream::unfold(state, move |state| async move {
            let (mut frames, mut closing) = state?;
            match frames.next() {
                Some((frame, pace)) => {
                    if pace == Pace::Paced && !rest(pause, &mut closing).await {
                        return None;
                    }
                    Some((Ok(frame), Some((frames, closing))))
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
    let mut response = streamed("application/json", frames, Duration::ZERO, Ending::Drop, closing);
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

/// Waits; false if the provider was stopped meanwhile.
async fn rest(time: Duration, closing: &mut Closing) -> bool {
    if time.is_zero() {
        return true;
    }
    tokio::select! {
        () = tokio::time::sleep(time) => true,
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
