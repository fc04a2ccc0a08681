//! Tells browsers what happens in a chat: every tab of the acting user, and a reduced copy to others who
//! have the chat open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use oui_core::{CallError, Emitter, Room, ids};
use oui_models::{Db, chat_events};
use oui_plugins::Reporter;
use parking_lot::Mutex;
use serde::Serialize;
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

/// Calls that the user answers in a dialog; each has an id by which the client can take it away again.
const DIALOGS: &[&str] = &[
    "confirmation",
    "input",
    "request:user_input",
    "request:elicitation",
];

/// How long a dialog may stay open.
const DIALOG_TIME: std::ops::RangeInclusive<u64> = 60_000..=240_000;

/// How long it does unless the call says otherwise.
const DIALOG_DEFAULT: u64 = 120_000;

/// An event as the acting user's tabs get it. Written at once: events come by the word, and a tree of values for each
/// would cost more than all else.
#[derive(Serialize)]
struct Own<'a, E> {
    chat_id: &'a str,
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<bool>,
    data: E,
}

/// An event as onlookers get it.
#[derive(Serialize)]
struct Mirrored<'a, E> {
    chat_id: &'a str,
    message_id: Option<&'a str>,
    user_id: &'a str,
    shared: bool,
    data: E,
}

/// What happened.
#[derive(Clone, Copy, Serialize)]
struct Happened<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

/// Sends the events of one message.
#[derive(Clone)]
pub(crate) struct ChatEmitter {
    emitter: Arc<dyn Emitter>,
    user_id: String,
    chat_id: String,
    message_id: Option<String>,
    session_id: Option<String>,
    saved: bool,
    /// Whether a sub-agent's run tells: pages keep such events apart, and nobody looks on.
    internal: bool,
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
            internal: false,
            mirrored_at: Arc::default(),
        }
    }

    /// The same, for the run of a sub-agent.
    pub(crate) fn internal(mut self, internal: bool) -> Self {
        self.internal = internal;
        self
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
        self.happened(kind, Some(&data)).await;
    }

    /// Sends an event without data.
    pub(crate) async fn signal(&self, kind: &str) {
        self.happened(kind, None).await;
    }

    async fn happened(&self, kind: &str, data: Option<&Value>) {
        let event = Happened { kind, data };
        if self.concerns_user(kind) {
            self.own(event).await;
        }
        if self.watched() && MIRRORED.contains(&kind) {
            self.mirror(event).await;
        }
    }

    /// Whether the user's tabs get an event of this kind: what a sub-agent would notify of is for its run alone.
    fn concerns_user(&self, kind: &str) -> bool {
        kind != "chat:messages" && !(self.internal && kind == "notification")
    }

    async fn own(&self, data: impl Serialize + Send + Sync) {
        let event = Own {
            chat_id: &self.chat_id,
            message_id: self.message_id.as_deref(),
            internal: self.internal.then_some(true),
            data,
        };
        self.emit(&Room::User(self.user_id.clone()), &event, None).await;
    }

    async fn mirror(&self, data: impl Serialize + Send + Sync) {
        let event = Mirrored {
            chat_id: &self.chat_id,
            message_id: self.message_id.as_deref(),
            user_id: &self.user_id,
            shared: true,
            data,
        };
        let room = Room::Chat(self.chat_id.clone());
        self.emit(&room, &event, self.session_id.as_deref()).await;
    }

    async fn emit(&self, room: &Room, event: &(impl Serialize + Sync), skip: Option<&str>) {
        match serde_json::to_string(event) {
            Ok(text) => self.emitter.emit_text(room, "events", &text, skip).await,
            Err(error) => tracing::error!(%error, "an event cannot be written"),
        }
    }

    /// Sends an event that a client or plugin made up, as it is.
    pub(crate) async fn relay(&self, event: &Value) {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        if self.concerns_user(kind) {
            self.own(event).await;
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
            self.mirror_completion(reduced).await;
        }
    }

    /// Stores what an event of a plugin leaves behind in its message.
    pub(crate) async fn keep(&self, db: &Db, event: &Value) {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let message_id = self.message_id.as_deref().filter(|_| self.saved);
        let (Some(message_id), Some(data)) = (message_id, event.get("data")) else {
            return;
        };
        if let Err(error) = chat_events::store(db, &self.chat_id, message_id, kind, data).await {
            tracing::error!(%error, chat_id = self.chat_id, "could not keep what an event says of a message");
        }
    }

    /// Says what is being done for the reply, and keeps it with the reply.
    pub(crate) async fn status(&self, db: &Db, data: Value) {
        self.told(db, "status", data).await;
    }

    /// Shows what a part of the reply is based on, and keeps it with the reply.
    pub(crate) async fn source(&self, db: &Db, data: Value) {
        self.told(db, "source", data).await;
    }

    async fn told(&self, db: &Db, kind: &str, data: Value) {
        self.send(kind, data.clone()).await;
        self.keep(db, &json!({ "type": kind, "data": data })).await;
    }

    /// Sends a completion event (`chat:completion` or `response:completion`). Onlookers get the whole output so far,
    /// which `output` makes only when somebody looks on.
    pub(crate) async fn completion(&self, kind: &str, data: Value, output: impl FnOnce() -> Value + Send) {
        let copy = self.watched().then(|| self.reduced(&data)).flatten();
        let is_whole = data.get("output").is_some();
        self.send(kind, data).await;
        if let Some(mut reduced) = copy {
            let output = if is_whole { output() } else { growing(output()) };
            reduced.insert("output".into(), output);
            self.mirror_completion(reduced).await;
        }
    }

    async fn mirror_completion(&self, reduced: Map<String, Value>) {
        let event = Happened {
            kind: "chat:completion",
            data: Some(&Value::Object(reduced)),
        };
        self.mirror(event).await;
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

    /// Asks the tab that started the run. `limit` is the operator's for all such calls.
    pub(crate) async fn ask(
        &self,
        kind: &str,
        mut data: Value,
        limit: Option<Duration>,
    ) -> Result<Value, CallError> {
        let session = self.session_id.as_deref().ok_or(CallError::NoSession)?;
        let is_dialog = DIALOGS.contains(&kind);
        let interaction = ids::uuid();
        let mut timeout = limit;
        if is_dialog {
            let wanted = data
                .get("timeout_ms")
                .and_then(Value::as_u64)
                .unwrap_or(DIALOG_DEFAULT);
            let wanted = Duration::from_millis(wanted.clamp(*DIALOG_TIME.start(), *DIALOG_TIME.end()));
            if kind != "input" && kind != "confirmation" || data.get("tool_call").is_some() {
                timeout = Some(limit.map_or(wanted, |limit| limit.min(wanted)));
            }
            data["interaction_id"] = json!(interaction);
        }
        let payload =
            |event: Value| json!({ "chat_id": self.chat_id, "message_id": self.message_id, "data": event });
        let request = payload(json!({ "type": kind, "data": data }));
        let answer = self
            .emitter
            .call(&self.user_id, session, "events", &request, timeout)
            .await;
        if is_dialog {
            let data = json!({ "interaction_id": interaction });
            let done = payload(json!({ "type": "request:interaction:done", "data": data }));
            let room = Room::Session(session.to_owned());
            self.emitter.emit(&room, "events", &done, None).await;
        }
        answer
    }

    fn watched(&self) -> bool {
        self.saved
            && !self.internal
            && self
                .emitter
                .has_listeners(&Room::Chat(self.chat_id.clone()), self.session_id.as_deref())
    }
}

/// The output of a reply that is being written, as onlookers know it: its texts are not yet those of a finished reply.
fn growing(mut output: Value) -> Value {
    let messages = output.as_array_mut().into_iter().flatten();
    for item in messages.filter(|item| item["type"] == "message") {
        for part in item["content"].as_array_mut().into_iter().flatten() {
            if part["type"] == "output_text" {
                part["type"] = json!("text");
            }
        }
    }
    output
}

/// What tools see of the emitter.
pub(crate) struct ToolReporter {
    pub(crate) emitter: ChatEmitter,
    pub(crate) db: Db,
    /// The operator's limit for calls to browsers.
    pub(crate) limit: Option<Duration>,
}

#[async_trait]
impl Reporter for ToolReporter {
    async fn report(&self, kind: &str, data: Value) {
        self.emitter.send(kind, data).await;
    }

    async fn relay(&self, event: &Value) {
        self.emitter.relay(event).await;
        self.emitter.keep(&self.db, event).await;
    }

    async fn ask(&self, kind: &str, data: Value, timeout: Option<Duration>) -> Result<Value, CallError> {
        let limit = match (self.limit, timeout) {
            (Some(limit), Some(timeout)) => Some(limit.min(timeout)),
            (limit, timeout) => limit.or(timeout),
        };
        self.emitter.ask(kind, data, limit).await
    }
}
