//! A scripted LLM provider on loopback, in the shapes of OpenAI and of Ollama.
//!
//! It stands in for a model server in API tests, recorded scenarios, browser tests and
//! benchmarks. Everything that it says is decided by the request: by the model's id, by the last
//! user message, or by a [`Script`] that a test has queued. Ids, timestamps, token counts and
//! chunks are the same in every run.
//!
//! # Models
//!
//! Which models there are and what each does is declared once, in [`CATALOGUE`]; its page shows
//! them as a table, and so does `oui-fake-provider --help`. An instance may list other names (see
//! [`Settings`]): a name that the catalogue does not have behaves as `fake-model`, and
//! `name=echo` behaves as `echo`. A chat with a model that is not listed is a 404, so that a
//! client which garbles a name is found out. Embeddings and speech take any name.
//!
//! # Messages
//!
//! - A message that begins with `fake:NAME` is answered as the catalogue's `NAME` would.
//! - A prompt that asks for JSON and names a key such as `"title"` is one of Open WebUI's task
//!   prompts and is answered with a fixed object, see [`Task`]. Only `error-*` and `embed` do not.
//!
//! # Endpoints
//!
//! | path | |
//! | --- | --- |
//! | `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses`, `/v1/embeddings`, `/v1/audio/speech` | OpenAI |
//! | `/api/version`, `tags`, `ps`, `show`, `chat`, `generate`, `embed`, `embeddings`, `pull`, `push`, `create`, `copy`, `delete`, `blobs` | Ollama |
//! | `/v1/messages` | Anthropic's form, as Ollama speaks it |
//! | `/api.anthropic.com/v1/models`, `messages`, `messages/count_tokens` | Anthropic, recognised by the address |
//! | `/models`, `/models/load`, `unload`, `sse` | model management of llama.cpp |
//! | `/api/v1/models`, `download`, `load`, `unload` | model management of LM Studio |
//! | `/__fake/requests` (GET, DELETE), `/__fake/scripts` (POST) | steering, as [`FakeProvider::requests`], [`FakeProvider::clear`] and [`FakeProvider::script`] |
//!
//! Any key is accepted, and recorded.
//!
//! # Example
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use oui_fake_provider::{FakeProvider, Script};
//!
//! let provider = FakeProvider::start().await;
//! provider.script(Script::text("Hello there."));
//! // … let the server under test talk to provider.openai_url() …
//! assert!(provider.requests().is_empty());
//! # });
//! ```

mod behaviour;
mod catalogue;
mod conversation;
mod handlers;
mod plan;
mod script;
mod server;
mod settings;
mod state;
mod task_prompts;
mod text;
mod tool_calls;
mod wire;

pub use catalogue::{Behaviour, CATALOGUE, ModelEntry};
pub use plan::{Ending, Part, Plan, RawReply, Refusal, Reply, Usage};
pub use script::Script;
pub use server::FakeProvider;
pub use settings::{ListedModel, Settings};
pub use state::Recorded;
pub use task_prompts::Task;
pub use text::fixed_text;
