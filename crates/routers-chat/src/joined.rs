//! Pieces of a stream that are there at the same time leave as one. A provider that answers faster than its reader
//! takes brings dozens of small pieces with one packet; sent one by one, each costs a frame and every few a system
//! call. Nothing is ever held back: what is there goes out before anything is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use oui_providers::{ByteStream, StreamError};

/// A piece is not made larger than this, in bytes, but for a last addition.
const ENOUGH: usize = 16 * 1024;

/// The stream with neighbours joined.
pub(crate) struct Joined {
    inner: Option<ByteStream>,
    /// The fault that came behind the pieces sent last.
    fault: Option<StreamError>,
}

impl Joined {
    pub(crate) fn new(inner: ByteStream) -> Self {
        Self {
            inner: Some(inner),
            fault: None,
        }
    }

    /// As [`Stream::poll_next`] of the inner stream, which is not asked again after its end.
    fn piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let piece = inner.as_mut().poll_next(cx);
        if matches!(piece, Poll::Ready(None)) {
            self.inner = None;
        }
        piece
    }
}

impl Stream for Joined {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let first = match self.piece(cx) {
            Poll::Ready(Some(Ok(first))) => first,
            other => return other,
        };
        let mut joined = BytesMut::new();
        let mut length = first.len();
        while length < ENOUGH {
            match self.piece(cx) {
                Poll::Ready(Some(Ok(more))) => {
                    if joined.is_empty() {
                        joined.reserve(ENOUGH);
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(&more);
                    length += more.len();
                }
                Poll::Ready(Some(Err(fault))) => {
                    self.fault = Some(fault);
                    break;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let piece = if joined.is_empty() { first } else { joined.freeze() };
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn piece(text: &'static str) -> Result<Bytes, StreamError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn what_is_there_is_joined_and_faults_come_behind_it() {
        let pieces = [piece("a"), piece("b"), Err(StreamError::Timeout), piece("c")];
        let joined: Vec<_> = Joined::new(Box::pin(futures::stream::iter(pieces)))
            .collect()
            .await;
        assert_eq!(joined, [piece("ab"), Err(StreamError::Timeout), piece("c")]);
    }

    #[tokio::test]
    async fn nothing_is_waited_for() {
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let mut joined = Joined::new(Box::pin(receiver));
        sender.unbounded_send(piece("a")).unwrap();
        assert_eq!(joined.next().await, Some(piece("a")));
        sender.unbounded_send(piece("b")).unwrap();
        sender.unbounded_send(piece("c")).unwrap();
        drop(sender);
        assert_eq!(joined.next().await, Some(piece("bc")));
        assert_eq!(joined.next().await, None);
        assert_eq!(joined.next().await, None);
    }

    #[tokio::test]
    async fn a_piece_does_not_grow_without_end() {
        let large = || Ok(Bytes::from(vec![0; ENOUGH / 2]));
        let joined: Vec<_> = Joined::new(Box::pin(futures::stream::iter([large(), large(), large()])))
            .map(|piece| piece.unwrap().len())
            .collect()
            .await;
        assert_eq!(joined, [ENOUGH, ENOUGH / 2]);
    }
}
