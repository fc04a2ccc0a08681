//! Replies in flight. Their output is kept here while it grows: for `GET` of the chat, for tabs that come late,
//! and for the journal that survives a crash.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::output::Output;

/// One reply in flight.
pub(crate) struct Stream {
    pub(crate) chat_id: String,
    pub(crate) message_id: String,
    pub(crate) user_id: String,
    pub(crate) task_id: String,
    pub(crate) output: Mutex<Output>,
    /// Whether it changed since the journal last wrote it.
    pub(crate) dirty: std::sync::atomic::AtomicBool,
    /// Whether it belongs to a saved chat, so that the journal must keep it.
    pub(crate) saved: bool,
}

/// All replies in flight, by message id.
#[derive(Default)]
pub struct Streams {
    running: Mutex<HashMap<String, Arc<Stream>>>,
}

impl Streams {
    pub(crate) fn open(&self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        self.running
            .lock()
            .insert(stream.message_id.clone(), stream.clone());
        stream
    }

    pub(crate) fn close(&self, message_id: &str) {
        self.running.lock().remove(message_id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.running.lock().values().cloned().collect()
    }

    /// Puts what has streamed so far into a chat document that is about to be sent.
    pub fn merge_into(&self, chat_id: &str, document: &mut Value) {
        let here: Vec<Arc<Stream>> = self
            .running
            .lock()
            .values()
            .filter(|stream| stream.chat_id == chat_id)
            .cloned()
            .collect();
        for stream in here {
            let message = document
                .get_mut("history")
                .and_then(|history| history.get_mut("messages"))
                .and_then(|messages| messages.get_mut(&stream.message_id));
            let Some(message) = message.filter(|message| message.is_object()) else {
                continue;
            };
            let output = stream.output.lock().to_value();
            message["content"] = json!(oui_models::history::output_text(&output));
            message["output"] = output;
        }
    }
}
