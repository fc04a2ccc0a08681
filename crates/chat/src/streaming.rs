//! A streamed reply: provider events in, output items and browser events out, with nothing written to the
//! database until the end but the journal. Between two streams of one reply tools may run (`tool_loop`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use oui_models::chats;
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{ByteStream, CallContext, ChatReply};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::code_runs::AfterCode;
use crate::dispatch::error_text;
use crate::emit::ChatEmitter;
use crate::filters::Sieve;
use crate::output::{Event, Output};
use crate::output_tags::Tags;
use crate::payload::Payload;
use crate::pipes;
use crate::quota;
use crate::run::{End, Run};
use crate::streams::Stream;
use crate::tool_loop::Next;
use crate::turn::Object;

/// How often code is run in one reply.
const CODE_TRIES: usize = 5;

/// Joins neighbouring pieces of one item up to a number.
struct Deltas {
    limit: usize,
    count: usize,
    pending: Option<Value>,
}

impl Deltas {
    fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            count: 0,
            pending: None,
        }
    }

    /// Takes a piece; answers what must be sent now.
    fn push(&mut self, delta: Value) -> Vec<Value> {
        let mut ready = Vec::new();
        match &mut self.pending {
            Some(pending) if same_item(pending, &delta) => {
                if let (Value::String(text), Some(more)) = (&mut pending["delta"], delta["delta"].as_str()) {
                    text.push_str(more);
                }
            }
            Some(_) => {
                ready.extend(self.take());
                self.pending = Some(delta);
            }
            None => self.pending = Some(delta),
        }
        self.count += 1;
        if self.count >= self.limit {
            ready.extend(self.take());
        }
        ready
    }

    fn take(&mut self) -> Option<Value> {
        self.count = 0;
        self.pending.take()
    }
}

fn same_item(a: &Value, b: &Value) -> bool {
    ["type", "item_id", "output_index", "content_index"]
        .iter()
        .all(|name| a.get(*name) == b.get(*name))
        && a["delta"].is_string()
        && b["delta"].is_string()
}

/// How one stream of a reply ended.
enum Round {
    Over,
    Stopped,
    /// The connection broke, or what came is no stream of events.
    Broken(String),
}

impl Run {
    /// Reads a provider's stream to its end, runs the tools that the model calls and asks it again, until it is
    /// done, the run is stopped, or the user has to decide.
    pub(crate) async fn stream(
        &self,
        mut body: ByteStream,
        payload: &mut Payload,
        context: &CallContext,
        cancel: &CancellationToken,
    ) -> End {
        let stream = self.engine.streams.open(Stream {
            chat_id: self.turn.chat.id().to_owned(),
            message_id: self.message_id.clone(),
            user_id: self.turn.user.user.id.clone(),
            task_id: String::new(),
            output: Mutex::new(self.first_output(payload)),
            dirty: AtomicBool::new(false),
            saved: self.turn.chat.saved().is_some(),
        });
        let mut writer = Writer {
            run: self,
            sieve: payload.filters.have("stream").then(|| Sieve::of(payload)),
            stream: stream.clone(),
            deltas: Deltas::new(self.chunk_size()),
        };
        let detects_code = payload.tooling.runs_code;
        let (mut rounds, mut tries) = (0, 0);
        loop {
            match writer.round(body, cancel).await {
                Round::Over => {}
                Round::Stopped => return self.stop(&stream).await,
                Round::Broken(error) => return writer.broken(&error).await,
            }
            let calls = stream.output.lock().take_calls();
            if calls.is_empty() {
                let code = detects_code && tries < CODE_TRIES && stream.output.lock().last_code().is_some();
                if !code {
                    break;
                }
                tries += 1;
                match self.run_code(&mut writer, payload, context, cancel).await {
                    AfterCode::Stream(next) => body = next,
                    AfterCode::Over => break,
                    AfterCode::Stopped => return self.stop(&stream).await,
                }
                continue;
            }
            if payload.tooling.rounds.is_some_and(|limit| rounds >= limit) {
                let text = format!("Tool-call limit reached ({rounds} iterations).");
                self.note_error(&json!(text)).await;
                break;
            }
            rounds += 1;
            match self.tool_round(&mut writer, calls, payload, cancel).await {
                Next::Ask => {}
                Next::Paused => return End::Paused,
                Next::Stopped => return self.stop(&stream).await,
            }
            stream.dirty.store(true, Ordering::Release);
            payload.body.insert("stream".into(), json!(true));
            let ask = async {
                let body = payload
                    .filters
                    .request(&payload.stage(), payload.body.clone())
                    .await?;
                pipes::dispatch(&self.engine, payload, body, &quota::further(context)).await
            };
            let answer = tokio::select! {
                answer = ask => answer,
                () = cancel.cancelled() => return self.stop(&stream).await,
            };
            match answer {
                Ok(ChatReply::Stream(next)) => body = next.body,
                Ok(ChatReply::Json(_)) => break,
                Err(error) => {
                    self.note_error(&json!(error_text(&error))).await;
                    break;
                }
            }
        }
        writer.end().await
    }

    /// What the stream goes on from: nothing, or the reply that is continued.
    fn first_output(&self, payload: &Payload) -> Output {
        let tags = Tags::from_param(
            self.turn
                .params
                .get("reasoning_tags")
                .or(self.model.params().get("reasoning_tags")),
        );
        let tags = match payload.tooling.runs_code {
            true => Some(Tags::with_code(tags)),
            false => tags,
        };
        let Some(continued) = &payload.continued else {
            return Output::new(tags);
        };
        let items = continued.get("output").and_then(Value::as_array).cloned();
        let items = items.filter(|items| !items.is_empty()).unwrap_or_else(|| {
            let text = continued
                .get("content")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let mut item = crate::output::message_item(text);
            item["status"] = json!("completed");
            if text.is_empty() { Vec::new() } else { vec![item] }
        });
        Output::continued(items, tags)
    }

    /// Shows and stores an error that does not end the reply.
    pub(crate) async fn note_error(&self, error: &Value) {
        tracing::warn!(%error, model = self.model.id, "a reply could not be completed");
        self.save(json!({ "error": { "content": error } }), true).await;
        self.emitter
            .send("chat:message:error", json!({ "error": { "content": error } }))
            .await;
    }

    fn chunk_size(&self) -> usize {
        let of = |params: &Object| params.get("stream_delta_chunk_size").and_then(Value::as_u64);
        let chosen = of(&self.model.params())
            .or_else(|| of(&self.turn.params))
            .unwrap_or(1);
        self.engine
            .settings
            .chat
            .delta_chunk
            .max(usize::try_from(chosen).unwrap_or(1))
    }

    async fn stop(&self, stream: &Stream) -> End {
        let output = {
            let mut output = stream.output.lock();
            output.interrupt();
            output.to_value()
        };
        let end = self.cancelled(output).await;
        self.engine.streams.close(&self.message_id);
        end
    }
}

/// Turns what the provider streams into events and output items.
pub(crate) struct Writer<'r> {
    run: &'r Run,
    sieve: Option<Sieve>,
    pub(crate) stream: Arc<Stream>,
    deltas: Deltas,
}

impl Writer<'_> {
    pub(crate) fn emitter(&self) -> &ChatEmitter {
        &self.run.emitter
    }

    /// Reads one stream to its end.
    async fn round(&mut self, mut body: ByteStream, cancel: &CancellationToken) -> Round {
        let mut parser = SseParser::default();
        loop {
            let piece = tokio::select! {
                biased;
                () = cancel.cancelled() => return Round::Stopped,
                piece = body.next() => piece,
            };
            let over = piece.is_none();
            match piece {
                Some(Ok(bytes)) => parser.feed(&bytes),
                Some(Err(error)) => return Round::Broken(error.to_string()),
                None => parser.finish(),
            }
            if let Err(error) = self.read(&mut parser).await {
                return Round::Broken(error.to_string());
            }
            if over || self.stream.output.lock().has_code() {
                break;
            }
        }
        self.flush().await;
        let now = self.run.engine.clock.seconds_f64();
        let events = self.stream.output.lock().end_of_stream(now);
        for event in events {
            self.event(event).await;
        }
        Round::Over
    }

    /// Shows the items of the present round as they are now.
    pub(crate) async fn show_round(&mut self) {
        self.stream.dirty.store(true, Ordering::Release);
        let (continued, start, items) = {
            let output = self.stream.output.lock();
            let continued = output.is_continued().then(|| output.to_value());
            (continued, output.round_start(), output.items().to_vec())
        };
        if let Some(Value::Array(items)) = continued {
            let shown: Vec<Value> = items.into_iter().map(without_pictures).collect();
            self.snapshot(json!({ "output": shown, "flush": true })).await;
            return;
        }
        for (index, item) in items.into_iter().enumerate().skip(start) {
            let data = json!({
                "type": "response.output_item.done", "output_index": index, "item": without_pictures(item),
            });
            self.completion("response:completion", data).await;
        }
    }

    pub(crate) async fn snapshot(&self, data: Value) {
        let stream = self.stream.clone();
        self.emitter()
            .completion("chat:completion", data, move || stream.output.lock().to_value())
            .await;
    }

    async fn read(&mut self, parser: &mut SseParser) -> Result<(), oui_providers::StreamError> {
        loop {
            let chunk = match parser.next_item()? {
                None => return Ok(()),
                Some(SseItem::Event(event)) if event.is_done() => continue,
                Some(SseItem::Event(event)) => serde_json::from_str::<Value>(&event.data).ok(),
                // Some providers send errors as bare JSON lines; anything else outside events is noise.
                Some(SseItem::Stray(line)) => serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|value| Some(json!({ "error": value.get("error")? }))),
            };
            if let Some(chunk) = chunk.filter(Value::is_object) {
                self.chunk(chunk).await;
                if self.stream.output.lock().has_code() {
                    return Ok(());
                }
            }
        }
    }

    async fn chunk(&mut self, mut chunk: Value) {
        if let Some(sieve) = &self.sieve {
            match sieve.pass(chunk).await {
                Some(changed) => chunk = changed,
                None => return,
            }
        }
        // Pipelines send events of their own between the pieces.
        if let Some(event) = chunk.get("event").filter(|event| event.is_object()) {
            self.emitter().relay(event).await;
            self.emitter().keep(&self.run.engine.db, event).await;
        }
        let now = self.run.engine.clock.seconds_f64();
        let events = self.stream.output.lock().apply(chunk, now);
        self.stream.dirty.store(true, Ordering::Release);
        for event in events {
            self.event(event).await;
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Delta(delta) => {
                for ready in self.deltas.push(delta) {
                    self.completion("response:completion", ready).await;
                }
            }
            Event::Response(data) => {
                self.flush().await;
                self.completion("response:completion", data).await;
            }
            Event::Completion(data) => {
                self.flush().await;
                self.completion("chat:completion", data).await;
            }
            Event::Source(data) => self.emitter().send("source", data).await,
            Event::Error(error) => self.error(error).await,
        }
    }

    async fn flush(&mut self) {
        if let Some(pending) = self.deltas.take() {
            self.completion("response:completion", pending).await;
        }
    }

    async fn completion(&self, kind: &str, data: Value) {
        let stream = self.stream.clone();
        if kind == "response:completion" && stream.output.lock().is_continued() {
            // Who continues a reply gets all of it each time: pieces would not fit what is shown.
            let output = stream.output.lock().to_value();
            let name = data.get("type").and_then(Value::as_str);
            let shown = match name {
                Some(name) if !name.ends_with(".delta") => json!({ "output": output }),
                name => json!({ "output": output, "type": name }),
            };
            return self.snapshot(shown).await;
        }
        self.emitter()
            .completion(kind, data, move || stream.output.lock().to_value())
            .await;
    }

    /// Shows and stores an error that came in the middle of the stream; what had arrived stays.
    async fn error(&mut self, error: Value) {
        self.run
            .save(json!({ "error": { "content": error } }), true)
            .await;
        self.completion("chat:completion", json!({ "error": error }))
            .await;
    }

    /// Ends a reply whose stream broke off: what had arrived is kept.
    async fn broken(mut self, error: &str) -> End {
        self.flush().await;
        tracing::warn!(error, model = self.run.model.id, "a provider's stream broke off");
        let output = {
            let mut output = self.stream.output.lock();
            output.interrupt();
            output.to_value()
        };
        let mut fields = Object::new();
        if output.as_array().is_some_and(|items| !items.is_empty()) {
            fields.insert("output".into(), output);
        }
        fields.insert("error".into(), json!({ "content": error }));
        self.run.save_end(fields).await;
        self.run.engine.streams.close(&self.run.message_id);
        let event = json!({ "error": { "content": error }, "done": true });
        self.emitter().send("chat:message:error", event).await;
        End::Failed
    }

    async fn end(self) -> End {
        let (output, usage, finish) = {
            let mut output = self.stream.output.lock();
            output.complete();
            let finish = output.finish_reason().map(str::to_owned);
            (output.to_value(), output.usage().cloned(), finish)
        };
        let mut fields = Object::new();
        fields.insert("output".into(), output.clone());
        if let Some(usage) = &usage {
            fields.insert("usage".into(), usage.clone());
        }
        self.run.save_end(fields).await;
        self.run.engine.streams.close(&self.run.message_id);
        self.run.announce_list().await;
        self.run.announce_end(output, usage, finish).await
    }
}

/// An item as the chat shows it: pictures in results are for the model.
fn without_pictures(mut item: Value) -> Value {
    if item["type"] == "function_call_output"
        && let Some(parts) = item.get_mut("output").and_then(Value::as_array_mut)
    {
        parts.retain(|part| part["type"] != "input_image");
    }
    item
}

impl Run {
    /// Tells the sidebar that the chat changed.
    pub(crate) async fn announce_list(&self) {
        if let Some(chat_id) = self.turn.chat.saved().filter(|_| self.turn.internal.is_none()) {
            let folder_id = self.engine.folder_of(&self.turn).await.unwrap_or_default();
            self.emitter
                .send("chat:list", json!({ "chat_id": chat_id, "folder_id": folder_id }))
                .await;
        }
    }

    /// Tells the client that the reply is whole.
    pub(crate) async fn announce_end(
        &self,
        output: Value,
        usage: Option<Value>,
        finish: Option<String>,
    ) -> End {
        let title = match self.turn.chat.saved() {
            Some(chat_id) => chats::title(&self.engine.db, chat_id)
                .await
                .ok()
                .flatten()
                .unwrap_or_default(),
            None => String::new(),
        };
        let mut data = json!({ "done": true, "output": output, "title": title });
        if let Some(usage) = usage {
            data["usage"] = usage;
        }
        let copy = output.clone();
        self.emitter
            .completion("chat:completion", data, move || copy)
            .await;
        End::Done { output, finish }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(item: &str, text: &str) -> Value {
        json!({"type": "response.output_text.delta", "item_id": item, "output_index": 0, "content_index": 0, "delta": text})
    }

    #[test]
    fn pieces_of_one_item_are_joined() {
        let mut deltas = Deltas::new(2);
        assert!(deltas.push(delta("a", "x")).is_empty());
        assert_eq!(deltas.push(delta("a", "y")), [delta("a", "xy")]);
        assert!(deltas.push(delta("a", "z")).is_empty());
        assert_eq!(deltas.push(delta("b", "w")), [delta("a", "z")]);
        assert_eq!(deltas.take(), Some(delta("b", "w")));
    }

    #[test]
    fn single_pieces_go_out_at_once() {
        let mut deltas = Deltas::new(1);
        assert_eq!(deltas.push(delta("a", "x")), [delta("a", "x")]);
        assert_eq!(deltas.take(), None);
    }
}
