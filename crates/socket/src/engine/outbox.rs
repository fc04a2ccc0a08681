//! The bounded queue between those who emit and the task or request that writes to one client.
//!
//! Pushing never waits. Packets are reference-counted text, so a packet sent to a room is held
//! once in memory however many sockets it waits for. When a client reads so slowly that the queue
//! is full, pushing fails and the caller cuts that client off: dropping single packets would leave
//! a browser with a silently broken picture, while a lost connection makes it reconnect and reload.

use std::collections::VecDeque;

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::options::OutboxLimits;

/// How much is handed to the writer at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Why a packet could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// Too much waits already.
    Full,
    /// The connection is over.
    Closed,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    closed: bool,
}

pub(crate) struct Outbox {
    limits: OutboxLimits,
    state: Mutex<State>,
    changed: Notify,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Queues a packet. A packet larger than the limit passes when nothing else waits.
    pub(crate) fn push(&self, frame: Utf8Bytes) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        let crowded = state.frames.len() >= self.limits.packets
            || (!state.frames.is_empty() && state.bytes + frame.len() > self.limits.bytes);
        if crowded {
            return Err(PushError::Full);
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes no more packets; those that wait are still handed out.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Closes and forgets what waits.
    pub(crate) fn discard(&self) {
        *self.state.lock() = State {
            closed: true,
            ..State::default()
        };
        self.changed.notify_one();
    }

    /// The next packets, at least one; `None` when closed and empty. For one consumer at a time.
    pub(crate) async fn next(&self) -> Option<Vec<Utf8Bytes>> {
        loop {
            if let Some(batch) = self.take() {
                return (!batch.is_empty()).then_some(batch);
            }
            self.changed.notified().await;
        }
    }

    /// A batch; an empty one when closed for good; `None` when there is nothing yet.
    fn take(&self) -> Option<Vec<Utf8Bytes>> {
        let mut state = self.state.lock();
        let mut batch = Vec::new();
        let mut size = 0;
        while size < BATCH_BYTES {
            let Some(frame) = state.frames.pop_front() else {
                break;
            };
            size += frame.len();
            batch.push(frame);
        }
        state.bytes -= size;
        (!batch.is_empty() || state.closed).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: Option<Vec<Utf8Bytes>>) -> Option<Vec<String>> {
        batch.map(|frames| frames.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn keeps_order_and_drains_after_close() {
        let outbox = Outbox::new(OutboxLimits::default());
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        outbox.close();
        assert_eq!(outbox.push("c".into()), Err(PushError::Closed));
        assert_eq!(texts(outbox.next().await), Some(vec!["a".into(), "b".into()]));
        assert_eq!(outbox.next().await, None);
        assert_eq!(outbox.next().await, None);
    }

    #[tokio::test]
    async fn is_bounded_by_packets_and_by_bytes() {
        let outbox = Outbox::new(OutboxLimits {
            packets: 2,
            bytes: 100,
        });
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        assert_eq!(outbox.push("c".into()), Err(PushError::Full));
        outbox.next().await;
        outbox.push("x".repeat(60).into()).unwrap();
        assert_eq!(outbox.push("y".repeat(60).into()), Err(PushError::Full));
        outbox.next().await;
        outbox.push("z".repeat(500).into()).unwrap();
        assert_eq!(outbox.push("a".into()), Err(PushError::Full));
    }

    #[tokio::test]
    async fn hands_out_batches_of_limited_size() {
        let outbox = Outbox::new(OutboxLimits::default());
        for _ in 0..3 {
            outbox.push("x".repeat(BATCH_BYTES / 2 + 1).into()).unwrap();
        }
        assert_eq!(outbox.next().await.unwrap().len(), 2);
        assert_eq!(outbox.next().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn discard_forgets_what_waits() {
        let outbox = Outbox::new(OutboxLimits::default());
        outbox.push("a".into()).unwrap();
        outbox.discard();
        assert_eq!(outbox.next().await, None);
    }

    #[tokio::test]
    async fn a_waiting_consumer_wakes() {
        let outbox = std::sync::Arc::new(Outbox::new(OutboxLimits::default()));
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.push("late".into()).unwrap();
        assert_eq!(texts(waiting.await.unwrap()), Some(vec!["late".into()]));
    }
}
