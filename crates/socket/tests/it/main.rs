//! The socket server over real connections: a WebSocket client that speaks the protocol by hand,
//! and HTTP requests for polling and refusals.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod accounts;
mod backend;
mod calls;
mod channels;
mod chats;
mod client;
mod connections;
mod documents;
mod hostile;
mod load;
mod polling;
mod refusals;
mod upkeep;
