//! Pieces of a stream that are there at the same time leave as one. A provider that answers faster than its reader
//! takes brings dozens of small pieces with one packet; sent one by one, each costs a frame and every few a system
//! call. Nothing is held back: what is there goes out before the network is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::time::Instant;

use crate::reply::{ByteStream, StreamError};

/// A piece is not made larger than this, in bytes, but for a last addition.
const ENOUGH: usize = 16 * 1024;
/// Pieces that follow each other faster than this come from a provider that does not pause between them.
const BURST: Duration = Duration::from_millis(1);

/// The stream with neighbours joined.
pub struct Joined {
    /// `None` after its end.
    inner: Option<ByteStream>,
    /// What has come and not yet gone out.
    held: Held,
    /// The fault that came behind the pieces sent last.
    fault: Option<StreamError>,
    /// When the last piece came.
    last: Option<Instant>,
    /// Whether the other tasks had their turn since the last piece came.
    gave_way: bool,
    /// Whether they ever get one.
    gives_way: bool,
}

/// One piece as it came, or several in one.
enum Held {
    Nothing,
    One(Bytes),
    Several(BytesMut),
}

impl Held {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Several(pieces) => pieces.len(),
        }
    }

    fn add(&mut self, piece: Bytes) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let mut pieces = BytesMut::with_capacity(ENOUGH);
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&piece);
                Self::Several(pieces)
            }
            Self::Several(mut pieces) => {
                pieces.extend_from_slice(&piece);
                Self::Several(pieces)
            }
        };
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => None,
            Self::One(piece) => Some(piece),
            Self::Several(pieces) => Some(pieces.freeze()),
        }
    }
}

impl Joined {
    /// Joins the pieces of what another task reads from the network.
    pub(crate) fn of_connection(inner: ByteStream) -> Self {
        Self {
            gives_way: true,
            ..Self::new(inner)
        }
    }

    /// Joins what `inner` has at the same time, without a second look: two that look twice, one around the other,
    /// would take each other's pauses for the end of a burst.
    pub fn new(inner: ByteStream) -> Self {
        Self {
            inner: Some(inner),
            held: Held::Nothing,
            fault: None,
            last: None,
            gave_way: false,
            gives_way: false,
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

    /// Whether it is worth to look once more before what is held goes out. The task that reads from the network hands
    /// over piece by piece and needs its turn in between; where pieces come slowly, that would be for nothing.
    fn looks_again(&mut self) -> bool {
        if !self.gives_way {
            return false;
        }
        let now = Instant::now();
        let burst = self.last.is_some_and(|last| now - last < BURST);
        self.last = Some(now);
        burst && !std::mem::replace(&mut self.gave_way, true)
    }
}

impl Stream for Joined {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        while self.held.len() < ENOUGH {
            match self.piece(cx) {
                Poll::Ready(Some(Ok(more))) => {
                    self.held.add(more);
                    self.gave_way = false;
                }
                Poll::Ready(Some(Err(fault))) if matches!(self.held, Held::Nothing) => {
                    return Poll::Ready(Some(Err(fault)));
                }
                Poll::Ready(Some(Err(fault))) => {
                    self.fault = Some(fault);
                    break;
                }
                Poll::Ready(None) => break,
                Poll::Pending if matches!(self.held, Held::Nothing) => return Poll::Pending,
                Poll::Pending => {
                    if self.looks_again() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    break;
                }
            }
        }
        Poll::Ready(self.held.take().map(Ok))
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
    async fn a_burst_that_is_handed_over_piece_by_piece_leaves_as_one() {
        // As the client's connection does: the next piece is there only after this one was taken.
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for text in ["a", "b", "c", "d"] {
                sender.send(piece(text)).await.unwrap();
            }
        });
        let stream = futures::stream::unfold(receiver, |mut receiver| async {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        });
        let joined = Joined::of_connection(Box::pin(stream));
        // As an answer does with what comes from a provider.
        let joined: Vec<_> = Joined::new(Box::pin(joined)).collect().await;
        // The first goes out at once, since nothing is known of the provider's pace.
        assert_eq!(joined, [piece("a"), piece("bcd")]);
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
