//! Tools that models may call. [`tool`] has the one trait behind all of them and what a call gets to see,
//! [`toolbox`] the tools of one run, [`call`] what happens between a model's call and its result, and [`builtin`]
//! the tools that the server brings itself, [`servers`] and [`direct`] those of OpenAPI servers,
//! [`mcp`] those of MCP servers, [`python`] those that are Python source. When a tool may run is the chat crate's business, and so is talking to
//! providers.

pub mod args;
pub mod ask_user;
pub mod builtin;
pub mod call;
pub mod code;
pub mod direct;
pub mod jupyter;
pub mod mcp;
pub mod openapi;
pub mod pictures;
pub mod python;
pub mod servers;
pub mod tool;
pub mod tool_search;
pub mod toolbox;

pub use args::Args;
pub use python::{Python, Scene};
pub use servers::ToolServers;
pub use tool::{
    Answer, Callable, Errand, Errands, FileKeeper, Kind, Notifier, Reporter, Schedules, Tool, ToolContext,
    ToolError,
};
pub use toolbox::Toolbox;
