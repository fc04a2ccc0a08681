//! Conformance: scenarios are played against the reference server once, what it answers is kept in
//! golden files, and any other server is held to them.
//!
//! Lives here: the scenario format, the players (HTTP and Socket.IO), masking, comparison, the
//! handling of a reference server for recordings, the coverage report. Does not live here: the
//! scenarios and golden files themselves (`conformance/` at the root), and anything of the server;
//! this crate sees it only over the network.

pub mod compare;
pub mod coverage;
mod events;
pub mod golden;
mod hints;
mod http;
pub mod mask;
pub mod names;
mod path;
pub mod profiles;
mod provider;
pub mod reference;
pub mod replay;
pub mod runner;
pub mod scenario;
mod socket;
pub mod suite;
mod vars;

pub use compare::Difference;
pub use golden::Golden;
pub use mask::Masker;
pub use replay::{Report, record, replay, replay_from};
pub use scenario::Scenario;
pub use socket::{Event, Socket};
pub use suite::{Suite, Verdict, provider_settings, start_provider};
