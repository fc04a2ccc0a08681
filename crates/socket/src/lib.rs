//! The Socket.IO server at `/ws/socket.io` (Engine.IO 4, Socket.IO protocol 5, JSON).
//!
//! Lives here: the protocol and its two transports, rooms, the session and usage pools, presence,
//! documents that are edited together, what clients may send, calls to browsers, and [`oui_core::Emitter`] for all who send. Does not
//! live here: anything that needs the database (see [`Backend`]), and what the events of a chat
//! run contain.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use oui_core::Clock;
//! # use oui_socket::{Backend, SocketOptions, SocketServer};
//! # fn make(backend: Arc<dyn Backend>, routes: axum::Router) {
//! let server = SocketServer::new(SocketOptions::default(), Clock::system(), backend);
//! let app = routes.merge(server.router());
//! let emitter: Arc<dyn oui_core::Emitter> = Arc::new(server.clone());
//! # }
//! ```
//!
//! # From packet to handler
//! `engine` reads bytes and takes the Socket.IO packets out of them (`engine/inbound.rs`). A client
//! joins the namespace with or without a token (`hub.rs`); its events are queued for its own task
//! (`worker.rs`) and handled in `events/`, one at a time and in the order in which they came.
//! Emitting goes the other way: `rooms.rs` finds the sessions, `engine/outbox.rs` holds what waits
//! for each.
//!
//! # Slow readers
//! Emitting never waits: an event is written as text once per room, and that text is queued,
//! shared, for every connection. When more than [`OutboxLimits`] waits for one connection, or it
//! does not answer a ping in time, it is cut off, its session ends, and the browser reconnects and
//! reloads. No packet is ever dropped silently, and nobody else notices.
//!
//! # Several processes
//! The pools are traits, so that a kind with shared state can be given to
//! [`SocketServer::with_pools`]. Rooms are of this process only: events for browsers connected
//! elsewhere are not sent there.

mod backend;
mod documents;
mod engine;
mod events;
mod hub;
mod options;
mod packet;
mod pools;
mod presence;
mod rooms;
mod server;
mod socket;
mod streams;
mod upkeep;
mod worker;

pub use backend::{Backend, ChatAccess, ReadMark, SocketUser};
pub use options::{OutboxLimits, SocketOptions};
pub use pools::{MemorySessions, MemoryUsage, Session, SessionPool, UsagePool};
pub use server::SocketServer;
pub use streams::DirectStream;
