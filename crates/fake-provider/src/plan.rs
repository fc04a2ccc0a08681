//! Replies before any wire format is chosen: what is said, at which pace, and how it ends.
//!
//! The encoders in `wire/` turn a [`Plan`] into the bytes of one API.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One piece of a reply; each piece is one chunk of a stream (a tool call: a few).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Visible text.
    Text(String),
    /// Reasoning that is told apart from the text.
    Reasoning(String),
    /// A call of an offered tool.
    ToolCall {
        /// The tool's name.
        name: String,
        /// Its arguments, an object.
        arguments: Value,
    },
    /// A line that is not valid in the stream's format. Left out of unstreamed replies.
    Noise,
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As the API's documentation says.
    #[default]
    Complete,
    /// With an error inside the reply, and no end mark.
    Error,
    /// The connection is dropped.
    Drop,
    /// Nothing more comes, and the connection stays open until the client or the provider leaves.
    Hang,
}

/// Token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the reply, reasoning included.
    pub completion: u64,
    /// How many of the prompt's came from a cache.
    #[serde(default)]
    pub cached: u64,
    /// How many of the reply's were reasoning.
    #[serde(default)]
    pub reasoning: u64,
}

/// A whole reply of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// How it ends.
    #[serde(default)]
    pub ending: Ending,
    /// Milliseconds before each part; the instance's own pause when absent.
    #[serde(default)]
    pub pause_ms: Option<u64>,
    /// Token counts; when absent the prompt's words and the reply's parts are counted.
    #[serde(default)]
    pub usage: Option<Usage>,
}

impl Plan {
    /// A plan of text parts that ends well.
    pub fn texts<I: Into<String>>(chunks: impl IntoIterator<Item = I>) -> Self {
        Self {
            parts: chunks.into_iter().map(|chunk| Part::Text(chunk.into())).collect(),
            ..Self::default()
        }
    }

    /// The same plan with another ending.
    #[must_use]
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// All visible text.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| {
                if let Part::Text(text) = part {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    /// All reasoning.
    #[must_use]
    pub fn reasoning(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| {
                if let Part::Reasoning(text) = part {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    /// All tool calls, as names and arguments.
    pub fn tool_calls(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall { name, arguments } => Some((name.as_str(), arguments)),
            _ => None,
        })
    }

    /// The token counts to report for a prompt of so many words.
    #[must_use]
    pub fn usage_for(&self, prompt_words: u64) -> Usage {
        self.usage.unwrap_or_else(|| {
            let count =
                |wanted: fn(&Part) -> bool| self.parts.iter().filter(|part| wanted(part)).count() as u64;
            Usage {
                prompt: prompt_words,
                completion: count(|part| !matches!(part, Part::Noise)),
                cached: 0,
                reasoning: count(|part| matches!(part, Part::Reasoning(_))),
            }
        })
    }
}

/// An HTTP error in place of a reply; each API has its own body for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// OpenAI's `type`.
    pub kind: String,
    /// OpenAI's `code`.
    #[serde(default)]
    pub code: Option<String>,
    /// The text for people.
    pub message: String,
    /// Seconds in a `Retry-After` header.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

/// The usual error of a status.
#[derive(Clone, Copy)]
struct Usual {
    status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: &'static str,
}

#[rustfmt::skip]
static USUAL: [Usual; 5] = [
    Usual { status: 400, kind: "invalid_request_error", code: Some("scripted_bad_request"), message: "The scripted provider refuses this request." },
    Usual { status: 401, kind: "invalid_request_error", code: Some("invalid_api_key"), message: "The scripted provider refuses this API key." },
    Usual { status: 404, kind: "invalid_request_error", code: Some("not_found"), message: "The scripted provider has no such resource." },
    Usual { status: 429, kind: "requests", code: Some("rate_limit_exceeded"), message: "The scripted provider has reached its rate limit." },
    Usual { status: 500, kind: "server_error", code: None, message: "The scripted provider failed." },
];

/// `Retry-After` of a 429, in seconds.
const RETRY_AFTER: u64 = 3;

impl Refusal {
    /// The usual refusal of a status: 400, 401, 404, 429 (with `Retry-After: 3`) and 500 have an
    /// error of their own, every other is a server error with that status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        let own = USUAL.iter().find(|usual| usual.status == status);
        let usual = own.unwrap_or(&USUAL[USUAL.len() - 1]);
        Self {
            status,
            kind: usual.kind.to_owned(),
            code: usual.code.map(str::to_owned),
            message: usual.message.to_owned(),
            retry_after: (status == 429).then_some(RETRY_AFTER),
        }
    }

    /// The refusal of a request that the provider cannot read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self {
            code: None,
            message: message.into(),
            ..Self::of_status(400)
        }
    }

    /// The refusal of a model that the instance does not list.
    #[must_use]
    pub fn unknown_model(model: &str) -> Self {
        Self {
            code: Some("model_not_found".to_owned()),
            message: format!("model '{model}' not found"),
            ..Self::of_status(404)
        }
    }

    /// The body in OpenAI's shape.
    #[must_use]
    pub fn openai_body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": null, "code": self.code}})
    }

    /// The body in Ollama's shape.
    #[must_use]
    pub fn ollama_body(&self) -> Value {
        json!({"error": self.message})
    }
}

/// An HTTP answer given byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawReply {
    /// The HTTP status.
    pub status: u16,
    /// Header names and values, `content-type` among them.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body; each piece is sent as one HTTP chunk.
    pub body: Vec<String>,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A reply of a model, in the wire format of the endpoint that was asked.
    Plan(Plan),
    /// An HTTP error, in the shape of the endpoint that was asked.
    Refusal(Refusal),
    /// Bytes as they are.
    Raw(RawReply),
}
