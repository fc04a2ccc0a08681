//! A streamed reply: provider events in, output items and browser events out, with nothing written to the
//! database until the end but the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use oui_models::chats;
use oui_providers::ByteStream;
use oui_providers::sse::{SseItem, SseParser};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::emit::ChatEmitter;
use crate::output::{Event, Output};
use crate::output_tags::Tags;
use crate::run::{End, Run};
use crate::streams::Stream;
use crate::turn::Object;

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

impl Run {
    /// Reads a provider's stream to its end, or until the run is stopped.
    pub(crate) async fn stream(&self, mut body: ByteStream, cancel: &CancellationToken) -> End {
        let tags = Tags::from_param(
            self.turn
                .params
                .get("reasoning_tags")
                .or(self.model.params().get("reasoning_tags")),
        );
        let stream = self.engine.streams.open(Stream {
            chat_id: self.turn.chat.id().to_owned(),
            message_id: self.message_id.clone(),
            user_id: self.turn.user.user.id.clone(),
            task_id: String::new(),
            output: Mutex::new(Output::new(tags)),
            dirty: AtomicBool::new(false),
            saved: self.turn.chat.saved().is_some(),
        });
        let mut writer = Writer {
            run: self,
            stream: stream.clone(),
            deltas: Deltas::new(self.chunk_size()),
            failed: false,
        };
        let mut parser = SseParser::default();
        loop {
            let piece = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    drop(body);
                    return self.stop(&stream).await;
                }
                piece = body.next() => piece,
            };
            let over = piece.is_none();
            match piece {
                Some(Ok(bytes)) => parser.feed(&bytes),
                Some(Err(error)) => {
                    writer.error(json!(error.to_string())).await;
                    break;
                }
                None => parser.finish(),
            }
            if let Err(error) = writer.read(&mut parser).await {
                writer.error(json!(error.to_string())).await;
                break;
            }
            if over {
                break;
            }
        }
        writer.end().await
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

struct Writer<'r> {
    run: &'r Run,
    stream: Arc<Stream>,
    deltas: Deltas,
    failed: bool,
}

impl Writer<'_> {
    fn emitter(&self) -> &ChatEmitter {
        &self.run.emitter
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
            }
        }
    }

    async fn chunk(&mut self, chunk: Value) {
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
        self.emitter()
            .completion(kind, data, move || stream.output.lock().to_value())
            .await;
    }

    /// Shows and stores an error that came in the middle of the stream; what had arrived stays.
    async fn error(&mut self, error: Value) {
        self.failed = true;
        self.run
            .save(json!({ "error": { "content": error } }), true)
            .await;
        self.completion("chat:completion", json!({ "error": error }))
            .await;
    }

    async fn end(mut self) -> End {
        self.flush().await;
        let now = self.run.engine.clock.seconds_f64();
        let events = self.stream.output.lock().end_of_stream(now);
        for event in events {
            self.event(event).await;
        }
        let (output, usage) = {
            let mut output = self.stream.output.lock();
            output.complete();
            (output.to_value(), output.usage().cloned())
        };
        let mut fields = Object::new();
        fields.insert("output".into(), output.clone());
        if let Some(usage) = &usage {
            fields.insert("usage".into(), usage.clone());
        }
        self.run.save_end(fields).await;
        self.run.engine.streams.close(&self.run.message_id);
        self.run.announce_list().await;
        self.run.announce_end(output, usage).await
    }
}

impl Run {
    /// Tells the sidebar that the chat changed.
    pub(crate) async fn announce_list(&self) {
        if let Some(chat_id) = self.turn.chat.saved() {
            let folder_id = self.engine.folder_of(&self.turn).await.unwrap_or_default();
            self.emitter
                .send("chat:list", json!({ "chat_id": chat_id, "folder_id": folder_id }))
                .await;
        }
    }

    /// Tells the client that the reply is whole.
    pub(crate) async fn announce_end(&self, output: Value, usage: Option<Value>) -> End {
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
        End::Done { output }
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
