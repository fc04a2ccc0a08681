//! Engine.IO 4: how packets travel between a browser and this process, over a WebSocket or by long
//! polling. Knows nothing of users, rooms or events.
//!
//! Written here, and not taken from a library, for what the project needs and the known one does
//! not offer: telling which client of a room is too slow and cutting it off, keeping the order of
//! a client's events, and answering refused requests as the reference does. The WebSocket itself
//! is axum's.

pub(crate) mod connection;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod outbox;
pub(crate) mod polling;
pub(crate) mod websocket;
