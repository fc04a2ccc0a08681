//! Streamed answers of direct connections: a browser that calls a provider itself sends the
//! answer's parts as events named `{user_id}:{session_id}:{request_id}`, and the run that asked
//! for it reads them here.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use oui_core::Parts;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

/// Bytes that may wait for the reader of one stream.
const LIMIT: usize = 16 * 1024 * 1024;

struct Entry {
    sender: mpsc::UnboundedSender<(Value, usize)>,
    waiting: Arc<AtomicUsize>,
}

/// Open streams by event name.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<String, Entry>>>);

/// The reading end of a stream. Dropping it closes the stream.
pub struct DirectStream {
    name: String,
    streams: Streams,
    receiver: mpsc::UnboundedReceiver<(Value, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl Streams {
    /// Opens a stream; an open one of the same name ends.
    pub(crate) fn open(&self, name: &str) -> DirectStream {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        self.0.lock().insert(
            name.to_owned(),
            Entry {
                sender,
                waiting: waiting.clone(),
            },
        );
        DirectStream {
            name: name.to_owned(),
            streams: self.clone(),
            receiver,
            waiting,
        }
    }

    /// Delivers one part of `size` bytes. A stream whose reader has fallen too far behind is
    /// closed: what follows would have a hole.
    pub(crate) fn deliver(&self, name: &str, part: Value, size: usize) {
        let mut streams = self.0.lock();
        let Some(entry) = streams.get(name) else { return };
        let behind = entry.waiting.fetch_add(size, Ordering::Relaxed) + size > LIMIT;
        if behind || entry.sender.send((part, size)).is_err() {
            tracing::warn!(stream = name, "closing a stream whose reader fell behind");
            streams.remove(name);
        }
    }
}

impl DirectStream {
    /// The next part, in the order in which the browser sent them: a string, or an object of which
    /// `{"done": true}` is the last. `None` when the stream was closed because its reader fell more
    /// than 16 MiB behind, or replaced by another of the same name.
    ///
    /// The stream does not end when the browser disconnects: it may come back and go on.
    #[boxed]
    pub async fn recv(&mut self) -> Option<Value> {
        let (part, size) = self.receiver.recv().await?;
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        Some(part)
    }
}

#[async_trait]
impl Parts for DirectStream {
    async fn next(&mut self) -> Option<Value> {
        self.recv().await
    }
}

impl Drop for DirectStream {
    fn drop(&mut self) {
        let mut streams = self.streams.0.lock();
        if streams
            .get(&self.name)
            .is_some_and(|entry| Arc::ptr_eq(&entry.waiting, &self.waiting))
        {
            streams.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn parts_arrive_in_order() {
        let streams = Streams::default();
        let mut stream = streams.open("u:s:r");
        streams.deliver("u:s:other", json!("not mine"), 1);
        for part in 0..100 {
            streams.deliver("u:s:r", json!(part), 1);
        }
        for part in 0..100 {
            assert_eq!(stream.recv().await, Some(json!(part)));
        }
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_loses_its_stream() {
        let streams = Streams::default();
        let mut stream = streams.open("u:s:r");
        streams.deliver("u:s:r", json!(1), LIMIT);
        assert_eq!(stream.recv().await, Some(json!(1)));
        streams.deliver("u:s:r", json!(2), LIMIT);
        streams.deliver("u:s:r", json!(3), 1);
        assert!(streams.0.lock().is_empty());
        assert_eq!(stream.recv().await, Some(json!(2)));
        while stream.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn reopening_replaces_and_dropping_closes() {
        let streams = Streams::default();
        let mut first = streams.open("u:s:r");
        let second = streams.open("u:s:r");
        assert_eq!(first.recv().await, None);
        drop(first);
        assert_eq!(streams.0.lock().len(), 1);
        drop(second);
        assert!(streams.0.lock().is_empty());
    }
}
