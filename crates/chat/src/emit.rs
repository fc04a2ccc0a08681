//! Tells browsers what happens in a chat: every tab of the acting user, and a reduced copy to others who
//! have the chat open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oui_core::{Emitter, Room};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// Least time between two copies of a growing reply to onlookers.
const MIRROR_INTERVAL: Duration = Duration::from_millis(150);

/// Events that onlookers get as they are.
const MIRRORED: &[&str] = &[
    "chat:messages",
    "chat:active",
    "status",
    "source",
    "citation",
    "files",
    "embeds",
    "chat:message:error",
    "chat:tasks:cancel",
    "chat:message:follow_ups",
];

/// Fields of a completion event that onlookers get.
const COMPLETION_FIELDS: &[&str] = &[
    "done",
    "error",
    "usage",
    "finish_reason",
    "content",
    "selected_model_id",
    "sources",
];

/// Sends the events of one message.
#[derive(Clone)]
pub(crate) struct ChatEmitter {
    emitter: Arc<dyn Emitter>,
    user_id: String,
    chat_id: String,
    message_id: Option<String>,
    session_id: Option<String>,
    saved: bool,
    mirrored_at: Arc<Mutex<Option<Instant>>>,
}

impl ChatEmitter {
    pub(crate) fn new(
        emitter: Arc<dyn Emitter>,
        user_id: &str,
        chat: &crate::turn::ChatKind,
        message_id: Option<&str>,
        session_id: Option<&str>,
    ) -> Self {
        Self {
            emitter,
            user_id: user_id.to_owned(),
            chat_id: chat.id().to_owned(),
            message_id: message_id.map(str::to_owned),
            session_id: session_id.map(str::to_owned),
            saved: chat.saved().is_some(),
            mirrored_at: Arc::default(),
        }
    }

    /// The same chat, another message.
    pub(crate) fn about(&self, message_id: Option<&str>) -> Self {
        Self {
            message_id: message_id.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Sends an event. `chat:messages` goes to onlookers only: the acting tab has the messages.
    pub(crate) async fn send(&self, kind: &str, data: Value) {
        let mirrored = self.watched() && MIRRORED.contains(&kind);
        let event = json!({ "type": kind, "data": data });
        if kind != "chat:messages" {
            let payload = json!({ "chat_id": self.chat_id, "message_id": self.message_id, "data": event });
            self.emitter
                .emit(&Room::User(self.user_id.clone()), "events", &payload, None)
                .await;
        }
        if mirrored {
            self.mirror(&event).await;
        }
    }

    /// Sends an event that a client or plugin made up, as it is.
    pub(crate) async fn relay(&self, event: &Value) {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind != "chat:messages" {
            let payload = json!({ "chat_id": self.chat_id, "message_id": self.message_id, "data": event });
            self.emitter
                .emit(&Room::User(self.user_id.clone()), "events", &payload, None)
                .await;
        }
        if !self.watched() {
            return;
        }
        if MIRRORED.contains(&kind) {
            self.mirror(event).await;
        } else if kind == "chat:completion"
            && let Some(data) = event.get("data")
            && let Some(mut reduced) = self.reduced(data)
        {
            if let Some(output) = data.get("output").filter(|output| output.is_array()) {
                reduced.insert("output".into(), output.clone());
            }
            self.mirror(&json!({ "type": kind, "data": reduced })).await;
        }
    }

    /// Sends an event without data.
    pub(crate) async fn signal(&self, kind: &str) {
        let event = json!({ "type": kind });
        let payload = json!({ "chat_id": self.chat_id, "message_id": self.message_id, "data": event });
        self.emitter
            .emit(&Room::User(self.user_id.clone()), "events", &payload, None)
            .await;
        if self.watched() && MIRRORED.contains(&kind) {
            self.mirror(&event).await;
        }
    }

    /// Sends a completion event (`chat:completion` or `response:completion`). Onlookers get the whole output so far,
    /// which `output` makes only when somebody looks on.
    pub(crate) async fn completion(&self, kind: &str, data: Value, output: impl FnOnce() -> Value + Send) {
        let copy = self.watched().then(|| self.reduced(&data)).flatten();
        self.send(kind, data).await;
        if let Some(mut reduced) = copy {
            reduced.insert("output".into(), output());
            self.mirror(&json!({ "type": "chat:completion", "data": reduced }))
                .await;
        }
    }

    /// What of a completion event concerns onlookers; `None` for pieces that come too soon after the last.
    fn reduced(&self, data: &Value) -> Option<Map<String, Value>> {
        let is_delta = data
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with(".delta"));
        let mut last = self.mirrored_at.lock();
        if is_delta && last.is_some_and(|at| at.elapsed() < MIRROR_INTERVAL) {
            return None;
        }
        *last = Some(Instant::now());
        let fields = COMPLETION_FIELDS.iter();
        Some(
            fields
                .filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone())))
                .collect(),
        )
    }

    fn watched(&self) -> bool {
        self.saved
            && self
                .emitter
                .has_listeners(&Room::Chat(self.chat_id.clone()), self.session_id.as_deref())
    }

    async fn mirror(&self, event: &Value) {
        let payload = json!({
            "chat_id": self.chat_id, "message_id": self.message_id, "user_id": self.user_id,
            "shared": true, "data": event,
        });
        let room = Room::Chat(self.chat_id.clone());
        self.emitter
            .emit(&room, "events", &payload, self.session_id.as_deref())
            .await;
    }
}
