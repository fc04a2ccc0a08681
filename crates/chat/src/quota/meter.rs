//! Measuring one call: its answer passes through here, more is reserved as it grows, it is cut off where a limit ends,
//! and the counters are settled however it ends, also when nobody reads it any more.

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use oui_core::Clock;
use oui_models::{Db, quotas};
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{ByteStream, ChatReply, StreamError, UpstreamStream};
use serde_json::{Value, json};

use super::tokens::Tally;
use super::{Limits, PORTION, Use, reached};

/// How a stream that is cut off says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As a failed stream, to readers inside this server.
    Error,
    /// Chat Completions.
    Chat,
    /// Messages API.
    Messages,
    /// Responses API.
    Responses,
    /// Ollama's lines.
    Lines,
}

impl Tone {
    fn say(self, text: String) -> Result<Bytes, StreamError> {
        let text = match self {
            Self::Error => return Err(StreamError::Stopped(text)),
            Self::Chat => {
                let error = json!({ "error": { "message": text, "type": "insufficient_quota", "code": "quota_exceeded" } });
                format!("\n\ndata: {error}\n\ndata: [DONE]\n\n")
            }
            Self::Messages => {
                let error =
                    json!({ "type": "error", "error": { "type": "rate_limit_error", "message": text } });
                format!("\n\nevent: error\ndata: {error}\n\n")
            }
            Self::Responses => {
                let error =
                    json!({ "type": "error", "code": "rate_limit_exceeded", "message": text, "param": null });
                format!("\n\nevent: error\ndata: {error}\n\n")
            }
            Self::Lines => format!("\n{}\n", json!({ "error": text })),
        };
        Ok(Bytes::from(text))
    }
}

/// Reserved and used of one call.
pub struct Meter {
    db: Db,
    clock: Clock,
    limits: Limits,
    /// What was reserved before the call: the message and the estimate of what is sent.
    least: Use,
    reserved: Use,
    tally: Tally,
    /// Whether the provider took the call.
    begun: bool,
    settled: bool,
}

impl Meter {
    pub(super) fn new(db: Db, clock: Clock, limits: Limits, least: Use, reserved: Use) -> Self {
        Self {
            db,
            clock,
            limits,
            least,
            reserved,
            tally: Tally::default(),
            begun: false,
            settled: false,
        }
    }

    fn used(&self) -> Use {
        if !self.begun {
            return Use::default();
        }
        Use {
            messages: self.least.messages,
            input: self.tally.input.unwrap_or(self.least.input),
            output: self.tally.output(),
        }
    }

    /// Reserves what the answer has come to; answers what to say when it may not go on.
    async fn keep_up(&mut self) -> Option<String> {
        while self.tally.output() > self.reserved.output {
            let least = Use {
                output: self.tally.output() - 1,
                ..self.reserved
            };
            match self.limits.reserve(&self.db, self.reserved, least, PORTION).await {
                Ok(Ok(reserved)) => self.reserved = reserved,
                Ok(Err(quota)) => return Some(reached(quota, self.clock.seconds())),
                Err(error) => {
                    // The answer is paid for; what can not be counted now is counted at the end.
                    tracing::error!(%error, "could not count the use of a model");
                    return None;
                }
            }
        }
        None
    }

    async fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let corrections = self.limits.charges(self.reserved, self.used());
        if let Err(error) = quotas::settle(&self.db, &corrections).await {
            tracing::error!(%error, "could not settle the use of a model");
        }
    }

    /// Measures an answer. A failed call costs nothing.
    pub async fn measure<E>(mut self, answer: Result<ChatReply, E>, tone: Tone) -> Result<ChatReply, E> {
        match answer {
            Err(error) => {
                self.settle().await;
                Err(error)
            }
            Ok(ChatReply::Json(answer)) => {
                self.begun = true;
                self.tally.read(&answer);
                self.settle().await;
                Ok(ChatReply::Json(answer))
            }
            Ok(ChatReply::Stream(stream)) => {
                // A provider's refusal that is passed on is no answer.
                self.begun = stream.status < StatusCode::BAD_REQUEST;
                Ok(ChatReply::Stream(UpstreamStream {
                    body: self.through(stream.body, tone),
                    ..stream
                }))
            }
        }
    }

    fn through(self, body: ByteStream, tone: Tone) -> ByteStream {
        let passing = Passing {
            meter: self,
            body: Some(body),
            parser: SseParser::default(),
            stop: None,
            tone,
        };
        Box::pin(futures::stream::unfold(passing, |mut passing| async move {
            let piece = passing.next().await?;
            Some((piece, passing))
        }))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Nobody reads to the end: the reader left or stopped it.
        let corrections = self.limits.charges(self.reserved, self.used());
        let db = self.db.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = quotas::settle(&db, &corrections).await {
                    tracing::error!(%error, "could not settle the use of a model");
                }
            });
        }
    }
}

/// A stream on its way through the meter.
struct Passing {
    meter: Meter,
    /// The provider's pieces; dropped, and with it the connection, when they have to stop.
    body: Option<ByteStream>,
    parser: SseParser,
    stop: Option<String>,
    tone: Tone,
}

impl Passing {
    async fn next(&mut self) -> Option<Result<Bytes, StreamError>> {
        if let Some(text) = self.stop.take() {
            self.body = None;
            self.meter.settle().await;
            return Some(self.tone.say(text));
        }
        let piece = match &mut self.body {
            Some(body) => body.next().await,
            None => return None,
        };
        match &piece {
            Some(Ok(bytes)) => {
                self.parser.feed(bytes);
                self.read();
                // What has come is passed on, and nothing after it.
                let stop = self.meter.keep_up().await;
                self.stop = stop.filter(|_| !self.meter.tally.done);
            }
            Some(Err(_)) => {}
            None => {
                self.parser.finish();
                self.read();
                self.body = None;
                self.meter.settle().await;
            }
        }
        piece
    }

    fn read(&mut self) {
        loop {
            // What can not be read is the reader's to complain about.
            let Ok(Some(item)) = self.parser.next_item() else {
                return;
            };
            let text = match item {
                SseItem::Event(event) if event.is_done() => {
                    self.meter.tally.done = true;
                    continue;
                }
                SseItem::Event(event) => event.data,
                SseItem::Stray(line) => line,
            };
            if let Ok(chunk) = serde_json::from_str::<Value>(&text) {
                self.meter.tally.read(&chunk);
            }
        }
    }
}
