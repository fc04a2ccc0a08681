//! Streams of the Responses API: a reducer that builds the list of output items event by event, and a
//! converter that turns events into Chat Completions chunks for readers that know nothing else.

mod chunks;
mod items;

pub use chunks::{EventConverter, to_chat_events};
pub use items::{Effect, OutputItems};
