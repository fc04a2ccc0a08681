//! One reply from start to end: payload, provider, reply, what comes after, and every way it can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use oui_core::ApiResult;
use oui_models::{chat_edits, chats, stream_journal};
use oui_providers::{ByteStream, ChatReply, StreamError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api_filters::{self, Outlet};
use crate::approval::Approved;
use crate::catalogue::{Model, Models};
use crate::dispatch::error_text;
use crate::emit::ChatEmitter;
use crate::engine::{Completion, Engine, broken_stream_tail};
use crate::filters::Sieve;
use crate::tasks::Ticket;
use crate::turn::{AfterTasks, ChatKind, Object, Turn};
use crate::{errands, inbox, payload, pipes, quota};

/// Pieces of a stream that wait for a reader.
const READER_QUEUE: usize = 64;

/// How long the next piece waits for a reader whose queue is full.
const READER_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Time for the answer to a decision on a tool call to reach the page, before it hears that the run is over.
const ANSWER_ARRIVES: std::time::Duration = std::time::Duration::from_millis(300);

/// One reply to be written.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) engine: Arc<Engine>,
    pub(crate) turn: Arc<Turn>,
    pub(crate) emitter: ChatEmitter,
    pub(crate) message_id: String,
    pub(crate) model: Arc<Model>,
    pub(crate) models: Arc<Models>,
    pub(crate) after: AfterTasks,
    /// Whether the title is being made by another task already.
    pub(crate) titled: bool,
}

/// How a run ended.
pub(crate) enum End {
    /// The reply is complete; what comes after may use it.
    Done {
        /// Output items.
        output: Value,
        /// Why the provider stopped.
        finish: Option<String>,
    },
    /// It failed or was empty; nothing comes after.
    Failed,
    /// It was stopped.
    Cancelled,
    /// It waits for the user; nothing comes after.
    Paused,
}

impl Run {
    /// Answers a caller without a socket: the provider's JSON, or its stream passed on.
    pub(crate) async fn inline(
        engine: Arc<Engine>,
        turn: Turn,
        model: Arc<Model>,
        models: Arc<Models>,
    ) -> ApiResult<Completion> {
        let message_id = turn.targets.first().and_then(|target| target.message_id.clone());
        let turn = Arc::new(turn);
        if turn.chat != ChatKind::None
            && let Some(message_id) = message_id.clone()
        {
            return Self::inline_saved(engine, turn, model, models, message_id).await;
        }
        let emitter = engine.emitter_for(&turn, message_id.as_deref());
        let mut payload =
            payload::build(&engine, &turn, &model, &models, message_id.as_deref(), &emitter).await?;
        let context = turn.call_context(message_id.as_deref());
        let selected = payload.selected.then(|| payload.model.id.clone());
        let sources = Some(std::mem::take(&mut payload.sources)).filter(|sources| !sources.is_empty());
        let outlet = Outlet::of(&engine, &turn, &payload);
        let sieve = payload.filters.have("stream").then(|| Sieve::of(&payload));
        let body = std::mem::take(&mut payload.body);
        Ok(match pipes::dispatch(&engine, &payload, body, &context).await? {
            ChatReply::Json(mut answer) => {
                if let Some(outlet) = outlet {
                    outlet.answer(&answer).await;
                }
                if let (Some(id), Some(object)) = (selected, answer.as_object_mut()) {
                    object.insert("selected_model_id".into(), json!(id));
                }
                Completion::Json(with_sources(answer, sources))
            }
            ChatReply::Stream(stream) => {
                let first = selected.map(|id| {
                    let event = json!({ "selected_model_id": id });
                    Ok(bytes::Bytes::from(format!("data: {event}\n\n")))
                });
                let body = api_filters::passed_on(stream.body, sieve, outlet);
                let body = body.map(|piece| {
                    piece.or_else(|error| {
                        tracing::warn!(%error, "a provider's stream broke off");
                        Ok(broken_stream_tail(&error))
                    })
                });
                let shown = sources.map(|sources| {
                    let event = json!({ "sources": sources });
                    Ok(bytes::Bytes::from(format!("data: {event}\n\n")))
                });
                let body = futures::stream::iter(shown)
                    .chain(futures::stream::iter(first))
                    .chain(body);
                Completion::Stream {
                    headers: stream.headers,
                    body: Box::pin(body),
                }
            }
        })
    }

    /// A chat without a socket: the reply is written as for a browser, and sent when it is whole.
    async fn inline_saved(
        engine: Arc<Engine>,
        turn: Arc<Turn>,
        model: Arc<Model>,
        models: Arc<Models>,
        message_id: String,
    ) -> ApiResult<Completion> {
        let emitter = engine.emitter_for(&turn, Some(&message_id));
        let after = turn.tasks;
        let run = Self {
            engine,
            turn,
            emitter,
            message_id,
            model,
            models,
            after,
            titled: false,
        };
        let (mut payload, context) = run.prepare().await?;
        let body = payload.body.clone();
        match pipes::dispatch(&run.engine, &payload, body, &context).await {
            Err(error) => {
                run.fail(&json!(error_text(&error))).await;
                Err(error)
            }
            Ok(ChatReply::Json(answer)) => {
                let sources = Some(payload.sources).filter(|sources| !sources.is_empty());
                let end = run.whole(&answer).await;
                run.finish(end).await;
                Ok(Completion::Json(with_sources(answer, sources)))
            }
            Ok(ChatReply::Stream(stream)) => {
                run.show_sources(&payload).await;
                if run.turn.chat.saved().is_none() {
                    // The tab of a temporary chat hears of the reply by events; the caller only that it is done.
                    let cancel = CancellationToken::new();
                    let end = run.stream(stream.body, &mut payload, &context, &cancel).await;
                    run.finish(end).await;
                    return Ok(Completion::Json(Value::Null));
                }
                // The reader gets a copy of the stream; the reply is written even when the reader goes away.
                let (reader, copied) = copied_for_reader();
                let headers = stream.headers;
                let body = stream.body.then(move |piece| {
                    let reader = reader.clone();
                    async move {
                        reader
                            .send(piece.clone().unwrap_or_else(|error| broken_stream_tail(&error)))
                            .await;
                        piece
                    }
                });
                tokio::spawn(async move {
                    let cancel = CancellationToken::new();
                    let end = run.stream(Box::pin(body), &mut payload, &context, &cancel).await;
                    run.finish(end).await;
                });
                Ok(Completion::Stream {
                    headers,
                    body: copied,
                })
            }
        }
    }

    /// Runs in the background to the end, whatever happens to the tab that asked.
    pub(crate) async fn execute(self, ticket: Ticket) {
        let engine = self.engine.clone();
        let started = tokio::time::Instant::now();
        {
            let (_guard, cancel) = engine.tasks.start(ticket);
            let end = self.reply(&cancel).await;
            if matches!(end, End::Cancelled) {
                self.emitter.signal("chat:tasks:cancel").await;
            }
            let after = self.clone();
            tokio::select! {
                () = after.finish(end) => {}
                () = cancel.cancelled() => {}
            }
        }
        if self.turn.internal.is_some() {
            return;
        }
        if self.turn.resume.is_some() {
            // The page takes the answer to a decision for the begin of a run, whatever it has heard of it before.
            tokio::time::sleep_until(started + ANSWER_ARRIVES).await;
        }
        self.announce_idle().await;
        if let Some(chat_id) = self.turn.chat.saved().filter(|_| self.turn.has_inbox) {
            let run = errands::record(&self.turn, &self.model.id);
            inbox::watch(engine, chat_id.to_owned(), run);
        }
    }

    async fn reply(&self, cancel: &CancellationToken) -> End {
        let answer = async {
            let (mut payload, context) = self.prepare().await?;
            if payload.selected {
                self.note_selected(&payload.model.id).await?;
            }
            if payload.has_open_calls && self.run_approved(&mut payload, cancel).await? == Approved::Waits {
                return Ok(None);
            }
            let body = payload.body.clone();
            let answer = pipes::dispatch(&self.engine, &payload, body, &context).await?;
            self.show_sources(&payload).await;
            Ok(Some((answer, payload, context)))
        };
        let answer: ApiResult<_> = tokio::select! {
            answer = answer => answer,
            () = cancel.cancelled() => return self.cancelled(self.stored_output().await).await,
        };
        match answer {
            Err(error) => {
                self.fail(&json!(error_text(&error))).await;
                End::Failed
            }
            Ok(None) => {
                // Nothing writes it any more; what waits is in the chat.
                if let Err(error) = stream_journal::remove(&self.engine.db, &self.message_id).await {
                    tracing::error!(%error, message_id = self.message_id, "could not put a reply aside");
                }
                End::Paused
            }
            Ok(Some((ChatReply::Json(answer), ..))) => self.whole(&answer).await,
            Ok(Some((ChatReply::Stream(stream), mut payload, context))) => {
                self.stream(stream.body, &mut payload, &context, cancel).await
            }
        }
    }

    async fn prepare(&self) -> ApiResult<(payload::Payload, oui_providers::CallContext)> {
        let payload = payload::build(
            &self.engine,
            &self.turn,
            &self.model,
            &self.models,
            Some(&self.message_id),
            &self.emitter,
        )
        .await?;
        let mut context = self.turn.call_context(Some(&self.message_id));
        context.pipeline = payload.model.json.get("pipeline").is_some();
        if self.turn.resume.is_some() {
            context = quota::further(&context);
        }
        Ok((payload, context))
    }

    /// Shows what the reply is based on, and keeps it with the message.
    async fn show_sources(&self, payload: &payload::Payload) {
        if payload.sources.is_empty() {
            return;
        }
        let sources = json!({ "sources": payload.sources });
        self.emitter.send("chat:completion", sources.clone()).await;
        self.save(sources, true).await;
    }

    /// Output of a reply that is continued, as it is stored; what had run when it was stopped is kept.
    async fn stored_output(&self) -> Value {
        let chat_id = self
            .turn
            .chat
            .saved()
            .filter(|_| self.turn.assistant_message_id.is_some());
        let Some(chat_id) = chat_id else { return json!([]) };
        let stored = chat_edits::messages_map(&self.engine.db, chat_id).await;
        let output = stored
            .ok()
            .flatten()
            .and_then(|all| all.get(&self.message_id)?.get("output").cloned());
        let mut output = output.unwrap_or_else(|| json!([]));
        if let Some(items) = output.as_array_mut() {
            crate::output::mark_incomplete(items);
        }
        output
    }

    /// Tells the client which member of an arena answers.
    async fn note_selected(&self, id: &str) -> ApiResult<()> {
        self.save(json!({ "selectedModelId": id }), false).await;
        self.emitter
            .send("chat:completion", json!({ "selected_model_id": id }))
            .await;
        Ok(())
    }

    /// Merges fields into the reply in its saved chat. A failure is logged: the reply itself goes on.
    pub(crate) async fn save(&self, fields: Value, touch: bool) {
        let Some(chat_id) = self.turn.chat.saved() else {
            return;
        };
        let fields = fields.as_object().cloned().unwrap_or_default();
        let saved =
            chat_edits::upsert_message(&self.engine.db, chat_id, &self.message_id, fields, touch).await;
        if let Err(error) = saved {
            tracing::error!(%error, chat_id, message_id = self.message_id, "could not save a reply");
        }
    }

    /// Saves the end state of the reply and takes it out of the journal.
    pub(crate) async fn save_end(&self, mut fields: Object) {
        let Some(chat_id) = self.turn.chat.saved() else {
            return;
        };
        fields.insert("done".into(), json!(true));
        let db = &self.engine.db;
        for attempt in 1..=3_u64 {
            match chat_edits::finish_reply(db, chat_id, &self.message_id, fields.clone()).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, attempt, chat_id, message_id = self.message_id, "could not save a reply");
                    tokio::time::sleep(std::time::Duration::from_millis(200 * attempt)).await;
                }
            }
        }
        // The journal still has it, so the next start will try again.
    }

    /// Ends the reply with an error that the chat shows.
    pub(crate) async fn fail(&self, error: &Value) {
        tracing::warn!(%error, model = self.model.id, "a reply failed");
        let mut fields = Object::new();
        fields.insert("parentId".into(), json!(self.turn.user_message_id));
        fields.insert("error".into(), json!({ "content": error }));
        self.save_end(fields).await;
        self.tell_failed(error);
        self.emitter
            .send(
                "chat:message:error",
                json!({ "error": { "content": error }, "done": true }),
            )
            .await;
    }

    /// Saves what there is of a stopped reply and says so.
    pub(crate) async fn cancelled(&self, output: Value) -> End {
        self.emitter
            .send("chat:tasks:cancel", json!({ "output": output }))
            .await;
        let mut fields = Object::new();
        fields.insert("output".into(), output);
        self.save_end(fields).await;
        End::Cancelled
    }

    /// What comes after a complete reply.
    async fn finish(&self, end: End) {
        if let End::Done { output, finish } = end {
            self.outlet(finish.as_deref()).await;
            self.tell_finished(&output).await;
            self.after_reply(&output).await;
        }
    }

    async fn announce_idle(&self) {
        let chat_id = self.turn.chat.id();
        if !self.engine.tasks.of(chat_id, None).is_empty() {
            return;
        }
        // Looked up anew: the chat may have been moved while the reply was written.
        let folder_id = match self.turn.chat.saved() {
            Some(chat_id) => chats::folder_id(&self.engine.db, chat_id)
                .await
                .unwrap_or_default(),
            None => None,
        };
        self.emitter
            .send("chat:active", json!({ "active": false, "folder_id": folder_id }))
            .await;
    }
}

/// What a reader is sent.
type Piece = Result<Bytes, StreamError>;

/// The way of a stream's copy to a reader. Its end is the reader's, so what the reader holds has no part in it.
#[derive(Clone)]
struct Reader {
    sender: Arc<Mutex<Option<mpsc::Sender<Piece>>>>,
    given_up: Arc<AtomicBool>,
}

impl Reader {
    /// Passes a piece on. A reader that is gone or does not read for too long is given up: it does not hold up the
    /// reply, and no more than the pieces of the queue wait for it.
    async fn send(&self, piece: Bytes) {
        let Some(sender) = self.sender.lock().clone() else {
            return;
        };
        let sent = tokio::time::timeout(READER_WAIT, sender.send(Ok(piece))).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.given_up.store(true, Ordering::Release);
            self.sender.lock().take();
        }
    }
}

/// A way for pieces to a reader, and what the reader gets. It breaks off when the reader was given up.
fn copied_for_reader() -> (Reader, ByteStream) {
    let (sender, receiver) = mpsc::channel(READER_QUEUE);
    let given_up = Arc::new(AtomicBool::new(false));
    let reader = Reader {
        sender: Arc::new(Mutex::new(Some(sender))),
        given_up: given_up.clone(),
    };
    let end = futures::stream::once(async move {
        let given_up = given_up.load(Ordering::Acquire);
        given_up.then(|| Err(StreamError::Broken("the reader did not read".into())))
    });
    let pieces = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let stream = pieces.chain(end.filter_map(std::future::ready));
    (reader, Box::pin(stream))
}

/// A whole answer with what it is based on before it.
fn with_sources(answer: Value, sources: Option<Vec<Value>>) -> Value {
    match (answer, sources) {
        (Value::Object(answer), Some(sources)) => {
            let mut all = Object::from_iter([("sources".to_owned(), Value::Array(sources))]);
            all.extend(answer);
            Value::Object(all)
        }
        (answer, _) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_given_up_and_learns_of_it() {
        let (reader, stream) = copied_for_reader();
        for number in 0..READER_QUEUE + 50 {
            reader.send(Bytes::from(number.to_string())).await;
        }
        assert!(reader.sender.lock().is_none());
        let got: Vec<_> = stream.collect().await;
        assert_eq!(got.len(), READER_QUEUE + 1);
        assert!(got.last().is_some_and(Result::is_err) && got[..READER_QUEUE].iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_reader_that_reads_gets_all_and_an_end() {
        let (reader, stream) = copied_for_reader();
        let writer = tokio::spawn(async move {
            for number in 0..3 * READER_QUEUE {
                reader.send(Bytes::from(number.to_string())).await;
            }
        });
        let got: Vec<_> = stream.collect().await;
        assert_eq!(got.len(), 3 * READER_QUEUE);
        assert!(got.iter().all(Result::is_ok));
        writer.await.unwrap();
    }
}
