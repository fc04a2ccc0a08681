//! Streams in one format rewritten into another while they arrive.

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use serde_json::Value;

use crate::reply::{ByteStream, StreamError};

/// Rewrites `body` piece by piece. `step` gets each piece, and `None` once the body ended well; it appends
/// events to the text it is given. What it appended before it failed is still delivered. A body that ends
/// well is closed with `[DONE]`.
pub(crate) fn rewrite(
    body: ByteStream,
    step: impl FnMut(Option<&[u8]>, &mut String) -> Result<(), StreamError> + Send + 'static,
) -> ByteStream {
    let state = (Some(body), step, None);
    let rewritten = stream::unfold(state, |(body, mut step, failed)| async move {
        if let Some(error) = failed {
            return Some((Err(error), (None, step, None)));
        }
        let mut body = body?;
        let mut out = String::new();
        let (ended, result) = match body.next().await {
            Some(Ok(piece)) => (false, step(Some(&piece), &mut out)),
            Some(Err(error)) => (true, Err(error)),
            None => (
                true,
                step(None, &mut out).map(|()| out.push_str("data: [DONE]\n\n")),
            ),
        };
        let body = (!ended && result.is_ok()).then_some(body);
        Some((Ok(Bytes::from(out)), (body, step, result.err())))
    });
    Box::pin(rewritten.filter(|piece| future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty()))))
}

/// Rewrites `body` piece by piece into a stream that ends where `step` says so. `step` gets each piece, `None` once
/// the body ended well or why it broke off, appends to the text it is given, and answers whether that was all.
pub(crate) fn transform(
    body: ByteStream,
    step: impl FnMut(Result<Option<&[u8]>, &StreamError>, &mut String) -> bool + Send + 'static,
) -> ByteStream {
    let rewritten = stream::unfold((Some(body), step), |(body, mut step)| async move {
        let mut body = body?;
        let mut out = String::new();
        let (ended, over) = match body.next().await {
            Some(Ok(piece)) => (false, step(Ok(Some(&piece)), &mut out)),
            Some(Err(error)) => (true, step(Err(&error), &mut out)),
            None => (true, step(Ok(None), &mut out)),
        };
        let body = (!ended && !over).then_some(body);
        Some((Ok(Bytes::from(out)), (body, step)))
    });
    Box::pin(rewritten.filter(|piece| future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty()))))
}

/// Appends one event.
pub(crate) fn append_event(out: &mut String, chunk: &Value) {
    out.push_str("data: ");
    out.push_str(&chunk.to_string());
    out.push_str("\n\n");
}
