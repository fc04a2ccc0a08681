//! Documents that several sessions edit at once, as Yjs updates in memory: what was added to each, and the save of
//! its text that is still to come. Who edits a document is the room `doc_{id}`; who may is the handlers' business.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

/// Documents that one session may have open.
pub(crate) const MOST_PER_SESSION: usize = 20;
/// Bytes of one document's updates.
const LARGEST: usize = 2 * 1024 * 1024;
/// Updates after which the older half is made one.
const MOST_UPDATES: usize = 500;

/// What was added to one document.
#[derive(Default)]
pub(crate) struct Document {
    updates: Vec<Vec<u8>>,
    /// Number of the save that is to come, and whether one is.
    pub(crate) save: u64,
    pub(crate) saving: bool,
}

/// The open documents.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Arc<AsyncMutex<Document>>>>);

/// The canonical form of an id: `note_x` is another spelling of `note:x`.
pub(crate) fn canonical(id: &str) -> String {
    match id.strip_prefix("note_") {
        Some(note_id) => format!("note:{note_id}"),
        None => id.to_owned(),
    }
}

/// The room of those who edit a document.
pub(crate) fn room(id: &str) -> String {
    format!("doc_{id}")
}

/// The document whose room this is.
pub(crate) fn of_room(name: &str) -> Option<&str> {
    name.strip_prefix("doc_")
}

impl Documents {
    /// The document, locked; it is made when it is not there.
    pub(crate) async fn lock(&self, id: &str) -> OwnedMutexGuard<Document> {
        loop {
            let entry = self.0.lock().entry(id.to_owned()).or_default().clone();
            let guard = entry.clone().lock_owned().await;
            // It may have been dropped while the lock was waited for.
            let current = self
                .0
                .lock()
                .get(id)
                .is_some_and(|current| Arc::ptr_eq(current, &entry));
            if current {
                return guard;
            }
        }
    }

    /// Drops a document that nobody edits and that waits for no save. The guard shows that it is locked.
    pub(crate) fn close(&self, id: &str, document: &Document, has_editors: bool) {
        if !has_editors && !document.saving {
            self.0.lock().remove(id);
        }
    }

    /// Drops a document if nobody edits it any more. One that is just being worked on is left to whoever does.
    pub(crate) fn abandon(&self, id: &str, has_editors: impl Fn() -> bool) {
        let entry = self.0.lock().get(id).cloned();
        if let Some(Ok(document)) = entry.as_ref().map(|entry| entry.try_lock()) {
            self.close(id, &document, has_editors());
        }
    }

    /// Does so for all documents.
    pub(crate) fn sweep(&self, has_editors: impl Fn(&str) -> bool) {
        let ids: Vec<String> = self.0.lock().keys().cloned().collect();
        for id in ids {
            self.abandon(&id, || has_editors(&id));
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

impl Document {
    pub(crate) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Everything that was added, as one update.
    pub(crate) fn state(&self) -> Vec<u8> {
        merged(&self.updates)
    }

    /// Adds an update. False when it can not be read or makes the document too large.
    pub(crate) fn add(&mut self, update: Vec<u8>) -> bool {
        let size: usize = self.updates.iter().map(Vec::len).sum();
        if size + update.len() > LARGEST || !is_update(&update) {
            return false;
        }
        self.updates.push(update);
        if self.updates.len() >= MOST_UPDATES {
            let newer = self.updates.split_off(self.updates.len() / 2);
            let older = merged(&self.updates);
            self.updates = std::iter::once(older).chain(newer).collect();
        }
        true
    }
}

/// Whether the bytes can be applied to a document. The library is not trusted with bytes from outside.
fn is_update(bytes: &[u8]) -> bool {
    let applied = catch_unwind(AssertUnwindSafe(|| {
        let doc = Doc::new();
        let update = Update::decode_v1(bytes).ok()?;
        doc.transact_mut().apply_update(update).ok()
    }));
    matches!(applied, Ok(Some(())))
}

fn merged(updates: &[Vec<u8>]) -> Vec<u8> {
    let merged = catch_unwind(AssertUnwindSafe(|| {
        let doc = Doc::new();
        for update in updates {
            if let Ok(update) = Update::decode_v1(update)
                && let Err(error) = doc.transact_mut().apply_update(update)
            {
                tracing::warn!(%error, "an update of a document could not be applied");
            }
        }
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    }));
    merged.unwrap_or_else(|_| EMPTY.to_vec())
}

/// The update of a document without content.
const EMPTY: [u8; 2] = [0, 0];

#[cfg(test)]
mod tests {
    use yrs::{GetString, Text};

    use super::*;

    /// Updates that type `words` one after the other.
    fn typing(words: &[&str]) -> Vec<Vec<u8>> {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        let mut updates = Vec::new();
        for word in words {
            let mut txn = doc.transact_mut();
            let end = text.len(&txn);
            text.insert(&mut txn, end, word);
            updates.push(txn.encode_update_v1());
        }
        updates
    }

    fn read(state: &[u8]) -> String {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        doc.transact_mut()
            .apply_update(Update::decode_v1(state).unwrap())
            .unwrap();
        let txn = doc.transact();
        text.get_string(&txn)
    }

    #[test]
    fn updates_add_up() {
        let mut document = Document::default();
        assert_eq!(document.state(), EMPTY);
        for update in typing(&["Milk", ", eggs"]) {
            assert!(document.add(update));
        }
        assert_eq!(read(&document.state()), "Milk, eggs");
        assert!(!document.add(vec![1, 2, 3, 255, 255]));
        assert!(!document.add(vec![0; LARGEST]));
        assert_eq!(read(&document.state()), "Milk, eggs");
    }

    #[test]
    fn many_updates_become_few() {
        let mut document = Document::default();
        for update in typing(&["a"; MOST_UPDATES]) {
            assert!(document.add(update));
        }
        assert_eq!(document.updates.len(), MOST_UPDATES / 2 + 1);
        assert_eq!(read(&document.state()), "a".repeat(MOST_UPDATES));
    }

    #[tokio::test]
    async fn documents_are_dropped_when_nobody_needs_them() {
        let documents = Documents::default();
        let mut document = documents.lock("d").await;
        document.saving = true;
        documents.close("d", &document, false);
        assert_eq!(documents.count(), 1);
        document.saving = false;
        documents.close("d", &document, true);
        assert_eq!(documents.count(), 1);
        documents.close("d", &document, false);
        assert_eq!(documents.count(), 0);
        assert_eq!(canonical("note_1"), "note:1");
    }
}
