//! The completion pipeline: from the body of `POST /api/chat/completions` to a stored, streamed reply.
//!
//! [`Engine`] holds what a run needs; [`Engine::complete`] is the way in. A request is read into a
//! [`turn::Turn`], its place in the chat is made (`place`), one run per model is started (`run`), which
//! builds the payload (`payload`), calls the provider (`dispatch`), reduces the stream to output items
//! (`output`), tells browsers about it (`emit`), and saves the end state. [`catalogue`] knows which models there
//! are and who may use them. No HTTP types beyond statuses live here, and no SQL.

mod actions;
mod api_filters;
mod approval;
pub mod automations;
pub mod catalogue;
mod citations;
mod code_runs;
mod compaction;
pub mod context_size;
mod delegation;
mod direct;
pub mod dispatch;
mod emit;
mod engine;
mod errands;
mod filters;
mod functions;
pub mod gateway;
pub mod generate;
mod inbox;
mod journal;
mod legacy_tools;
mod news;
mod non_stream;
mod output;
mod output_tags;
pub mod payload;
mod pipes;
mod place;
pub mod quota;
pub mod recurrence;
mod run;
mod scene;
pub mod scheduler;
mod sources;
mod streaming;
mod streams;
pub mod tasks;
pub mod template;
mod timers;
mod tool_loop;
mod tooling;
pub mod turn;
mod web_search;

pub use approval::{Decision, Resolution};
pub use catalogue::{Catalogue, Model};
pub use engine::{Completion, Engine, EngineParts};
pub use generate::TaskKind;
pub use streams::Streams;
pub use tasks::TaskRegistry;
pub use turn::RunUser;
