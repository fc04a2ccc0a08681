//! The ground floor: types that every other crate may use and that change rarely.
//!
//! Lives here: [`ApiError`] with its FastAPI-shaped bodies, request validation ([`form`]),
//! [`Clock`], id makers, and the [`Emitter`] trait through which chat runs reach browsers
//! without knowing the socket crate. Does not live here: anything that knows the database,
//! the configuration or a provider.

pub mod error;
pub mod events;
pub mod form;
pub mod ids;
pub mod messages;
pub mod notice;
pub mod time;

pub use error::{ApiError, ApiResult};
pub use events::{CallError, Emitter, Parts, Room};
pub use form::{Field, Form};
pub use notice::{NoNotices, Notice, Notices};
pub use oui_macros::boxed;
pub use time::Clock;
