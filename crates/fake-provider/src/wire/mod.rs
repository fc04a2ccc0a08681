//! Wire formats: one encoder for each API, and the frames that they write.
//!
//! An encoder turns a plan into all frames of a stream at once; `transport.rs` sends them at the
//! plan's pace and ends the connection as the plan says.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod messages;
pub(crate) mod ollama;
pub(crate) mod precomputed;
pub(crate) mod responses;
pub(crate) mod transport;

use serde_json::Value;

use crate::{
    conversation::Conversation,
    plan::{Plan, Refusal, Usage},
};

/// The `created` of every object, in seconds: 2023-11-14T22:13:20Z.
pub(crate) const CREATED: u64 = 1_700_000_000;
/// The same moment as Ollama writes it.
pub(crate) const CREATED_AT: &str = "2023-11-14T22:13:20Z";
/// Ids repeat after this many replies, so that they always have six digits.
pub(crate) const SERIALS: u64 = 1_000_000;

/// What an encoder needs besides the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'a> {
    /// The number of the reply, part of every id in it.
    pub(crate) serial: u64,
    /// The model, as the request named it.
    pub(crate) model: &'a str,
    /// The token counts.
    pub(crate) usage: Usage,
    /// Whether a Chat Completions stream carries the token counts.
    pub(crate) include_usage: bool,
}

impl Exchange<'_> {
    /// The id of a tool call of this reply.
    pub(crate) fn call_id(&self, index: usize) -> String {
        format!("call_{:06}_{index}", self.serial)
    }
}

/// The generation APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Ollama's `/api/chat`.
    OllamaChat,
    /// Ollama's `/api/generate`.
    OllamaGenerate,
    /// Anthropic's Messages, which Ollama speaks too.
    Messages,
    /// OpenAI's text completions.
    Completions,
}

impl Dialect {
    pub(crate) const ALL: [Self; 6] = [
        Self::Chat,
        Self::Responses,
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::Messages,
        Self::Completions,
    ];

    /// The endpoint.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::OllamaChat => "/api/chat",
            Self::OllamaGenerate => "/api/generate",
            Self::Messages => "/v1/messages",
            Self::Completions => "/v1/completions",
        }
    }

    pub(crate) fn conversation(self, body: &Value) -> Conversation {
        match self {
            Self::Chat => Conversation::from_chat(body),
            Self::Responses => Conversation::from_responses(body),
            Self::OllamaChat => Conversation::from_ollama_chat(body),
            Self::OllamaGenerate => Conversation::from_ollama_generate(body),
            Self::Messages => Conversation::from_messages(body),
            Self::Completions => Conversation::from_completions(body),
        }
    }

    /// The frames of a streamed reply, as far as the plan's ending lets it come.
    pub(crate) fn frames(self, exchange: &Exchange<'_>, plan: &Plan) -> Frames {
        match self {
            Self::Chat => chat::frames(exchange, plan),
            Self::Responses => responses::frames(exchange, plan),
            Self::OllamaChat => ollama::frames(ollama::Shape::Chat, exchange, plan),
            Self::OllamaGenerate => ollama::frames(ollama::Shape::Generate, exchange, plan),
            Self::Messages => messages::frames(exchange, plan),
            Self::Completions => completions::frames(exchange, plan),
        }
    }

    /// The body of an unstreamed reply.
    pub(crate) fn whole(self, exchange: &Exchange<'_>, plan: &Plan) -> Value {
        match self {
            Self::Chat => chat::whole(exchange, plan),
            Self::Responses => responses::whole(exchange, plan),
            Self::OllamaChat => ollama::whole(ollama::Shape::Chat, exchange, plan),
            Self::OllamaGenerate => ollama::whole(ollama::Shape::Generate, exchange, plan),
            Self::Messages => messages::whole(exchange, plan),
            Self::Completions => completions::whole(exchange, plan),
        }
    }

    pub(crate) fn stream_type(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses | Self::Messages | Self::Completions => {
                "text/event-stream; charset=utf-8"
            }
            Self::OllamaChat | Self::OllamaGenerate => "application/x-ndjson",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Chat | Self::Responses | Self::Completions => Family::OpenAi,
            Self::Messages => Family::Anthropic,
            Self::OllamaChat | Self::OllamaGenerate => Family::Ollama,
        }
    }
}

/// Whose API an endpoint belongs to; decides the shape of errors and the names of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Ollama,
    Anthropic,
}

impl Family {
    /// Ollama's own endpoints are below `/api/`, LM Studio's management below `/api/v1/`.
    pub(crate) fn of_path(path: &str) -> Self {
        if path == Dialect::Messages.path() {
            Self::Anthropic
        } else if path.starts_with("/api/") && !path.starts_with("/api/v1/") {
            Self::Ollama
        } else {
            Self::OpenAi
        }
    }

    pub(crate) fn error_body(self, refusal: &Refusal) -> Value {
        match self {
            Self::OpenAi => refusal.openai_body(),
            Self::Ollama => refusal.ollama_body(),
            Self::Anthropic => messages::error_body(refusal),
        }
    }
}

/// Whether the plan's pause comes before a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It belongs to the frame before it.
    Now,
    /// It is a new chunk.
    Paced,
}

/// Frames of a stream, written one after the other into one buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    /// All frames' bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where each frame ends, and its pace.
    pub(crate) cuts: Vec<(usize, Pace)>,
}

impl Frames {
    /// Adds a frame made of these pieces.
    pub(crate) fn push(&mut self, pace: Pace, pieces: &[&str]) {
        for piece in pieces {
            self.bytes.extend_from_slice(piece.as_bytes());
        }
        self.cuts.push((self.bytes.len(), pace));
    }

    /// Adds an event with data only: `data: {json}\n\n`.
    pub(crate) fn data(&mut self, pace: Pace, payload: &Value) {
        self.push(pace, &["data: ", &payload.to_string(), "\n\n"]);
    }

    /// Adds a line of JSON.
    pub(crate) fn line(&mut self, pace: Pace, payload: &Value) {
        self.push(pace, &[&payload.to_string(), "\n"]);
    }
}

/// What a [`crate::Part::Noise`] is in an event stream, in turn: nothing of it is an event of the API.
const SSE_NOISE: [&str; 5] = [
    ": a comment\n\n",
    "data: {\"broken\": \n\n",
    "a line that is no field\n\n",
    "event: noise\ndata: [1, 2\n\n",
    "data:\n\n",
];

/// What it is in a stream of JSON lines.
const LINE_NOISE: [&str; 3] = ["{\"broken\": \n", "\n", "a line that is no JSON\n"];

/// Hands out the pieces of a noise list in turn.
pub(crate) struct Noise {
    list: &'static [&'static str],
    next: usize,
}

impl Noise {
    pub(crate) fn in_events() -> Self {
        Self {
            list: &SSE_NOISE,
            next: 0,
        }
    }

    pub(crate) fn in_lines() -> Self {
        Self {
            list: &LINE_NOISE,
            next: 0,
        }
    }

    pub(crate) fn push_to(&mut self, frames: &mut Frames) {
        frames.push(Pace::Now, &[self.list[self.next % self.list.len()]]);
        self.next += 1;
    }
}

/// The error inside a reply that ends with [`crate::Ending::Error`].
pub(crate) fn midstream_error() -> Refusal {
    Refusal {
        message: "The scripted provider failed in mid-stream.".to_owned(),
        ..Refusal::of_status(500)
    }
}

#[cfg(test)]
pub(crate) fn frames_as_text(frames: &Frames) -> Vec<String> {
    let mut start = 0;
    let texts = frames.cuts.iter().map(|(end, _)| {
        let text = String::from_utf8(frames.bytes[start..*end].to_vec()).unwrap();
        start = *end;
        text
    });
    texts.collect()
}
