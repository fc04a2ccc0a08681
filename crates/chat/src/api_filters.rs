//! Filters for callers without a chat: functions see the events of a stream that is passed on, and outlet filters hear
//! of the reply when it is whole. What the latter make of it goes nowhere, as in the reference: the caller has it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use oui_core::ids;
use oui_providers::ByteStream;
use oui_providers::sse::{SseItem, SseParser};
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::filters::{Filters, Sieve};
use crate::functions::Stage;
use crate::payload::Payload;
use crate::turn::{Object, Turn, truthy};

/// What outlet filters need to know of a call when its reply is whole.
pub(crate) struct Outlet {
    turn: Arc<Turn>,
    model: Arc<Model>,
    filters: Arc<Filters>,
    sieve: Sieve,
    messages: Vec<Value>,
}

impl Outlet {
    /// Nothing when there is no filter or the operator does not want this.
    pub(crate) fn of(engine: &Arc<Engine>, turn: &Arc<Turn>, payload: &Payload) -> Option<Self> {
        if payload.filters.is_empty() || !engine.settings.chat.api_outlet_filters {
            return None;
        }
        let messages = payload.body.get("messages").and_then(Value::as_array);
        let seen = |message: &Value| json!({ "role": message["role"], "content": message["content"] });
        Some(Self {
            turn: turn.clone(),
            model: payload.model.clone(),
            filters: payload.filters.clone(),
            sieve: Sieve::of(payload),
            messages: messages.into_iter().flatten().map(seen).collect(),
        })
    }

    /// Tells the filters of a reply.
    async fn hear(self, reply: Object) {
        let id = ids::output_item("msg_");
        let mut message = Object::from_iter([
            ("id".to_owned(), json!(id)),
            ("role".to_owned(), json!("assistant")),
        ]);
        message.extend(reply);
        let mut messages = self.messages;
        messages.push(Value::Object(message));
        let body = json!({
            "model": self.model.id, "messages": messages, "filter_ids": self.turn.choices.filter_ids,
            "chat_id": self.turn.chat.id(), "session_id": self.turn.session_id, "id": id,
        });
        let is_pipeline = self.model.json.get("pipeline").is_some();
        let stage: Stage<'_> = self.sieve.stage();
        if let Err(error) = self.filters.outlet(&stage, body, is_pipeline, false).await {
            tracing::warn!(%error, "an outlet filter failed");
        }
    }

    /// Tells the filters of a whole answer.
    pub(crate) async fn answer(self, answer: &Value) {
        let message = &answer["choices"][0]["message"];
        let mut reply = Object::new();
        for (name, value) in [
            ("content", &message["content"]),
            ("output", &answer["output"]),
            ("usage", &answer["usage"]),
            ("finish_reason", &answer["choices"][0]["finish_reason"]),
        ] {
            if truthy(value) {
                reply.insert(name.into(), value.clone());
            }
        }
        if reply.contains_key("content") || reply.contains_key("output") {
            self.hear(reply).await;
        }
    }
}

/// What a passed on stream has said so far.
#[derive(Default)]
struct Heard {
    text: String,
    usage: Value,
    finish_reason: Value,
}

impl Heard {
    fn take(&mut self, event: &Value) {
        let choice = &event["choices"][0];
        self.text
            .push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if truthy(&event["usage"]) {
            self.usage = event["usage"].clone();
        }
        if truthy(&choice["finish_reason"]) {
            self.finish_reason = choice["finish_reason"].clone();
        }
    }

    fn reply(self) -> Object {
        let mut reply = Object::new();
        reply.insert("content".into(), json!(self.text));
        for (name, value) in [("usage", self.usage), ("finish_reason", self.finish_reason)] {
            if truthy(&value) {
                reply.insert(name.into(), value);
            }
        }
        reply
    }
}

struct Passing {
    body: ByteStream,
    parser: SseParser,
    sieve: Option<Sieve>,
    outlet: Option<Outlet>,
    heard: Heard,
}

impl Passing {
    /// The next bytes, after the filters saw their events.
    async fn next(&mut self) -> Option<Result<Bytes, oui_providers::StreamError>> {
        let piece = match self.body.next().await {
            Some(Ok(bytes)) => {
                self.parser.feed(&bytes);
                bytes
            }
            Some(Err(error)) => return Some(Err(error)),
            None => {
                self.parser.finish();
                Bytes::new()
            }
        };
        let over = piece.is_empty();
        let mut out = String::new();
        while let Ok(Some(item)) = self.parser.next_item() {
            let text = match item {
                SseItem::Event(event) => event.data,
                SseItem::Stray(line) => {
                    out.push_str(&line);
                    out.push('\n');
                    continue;
                }
            };
            let parsed = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
            let shown = match (parsed, &self.sieve) {
                (Some(event), Some(sieve)) => sieve.pass(event).await,
                (parsed, _) => parsed,
            };
            match shown {
                Some(event) => {
                    self.heard.take(&event);
                    // The reference leaves a line more between events that it wrote anew.
                    out.push_str(&format!("data: {event}\n\n\n"));
                }
                None if text == "[DONE]" => out.push_str("data: [DONE]\n\n"),
                None => {}
            }
        }
        if over {
            if let Some(outlet) = self.outlet.take() {
                let heard = std::mem::take(&mut self.heard);
                if !heard.text.is_empty() {
                    // The reader has everything; it need not wait for this.
                    tokio::spawn(outlet.hear(heard.reply()));
                }
            }
            return (!out.is_empty()).then(|| Ok(Bytes::from(out)));
        }
        // Without a filter for events the bytes stay as they are.
        Some(Ok(if self.sieve.is_some() {
            Bytes::from(out)
        } else {
            piece
        }))
    }
}

/// A stream as its filters let it through.
pub(crate) fn passed_on(body: ByteStream, sieve: Option<Sieve>, outlet: Option<Outlet>) -> ByteStream {
    if sieve.is_none() && outlet.is_none() {
        return body;
    }
    let passing = Passing {
        body,
        parser: SseParser::default(),
        sieve,
        outlet,
        heard: Heard::default(),
    };
    Box::pin(stream::unfold(Some(passing), |passing| async move {
        let mut passing = passing?;
        let next = passing.next().await?;
        let more = next.is_ok().then_some(passing);
        Some((next, more))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_put_together() {
        let mut heard = Heard::default();
        heard.take(&json!({"choices": [{"delta": {"content": "a"}, "finish_reason": null}]}));
        heard.take(&json!({"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}));
        heard.take(&json!({"choices": [], "usage": {"total_tokens": 3}}));
        assert_eq!(
            Value::Object(heard.reply()),
            json!({"content": "ab", "usage": {"total_tokens": 3}, "finish_reason": "stop"})
        );
    }
}
