//! How HTTP handlers see the application. [`App`] holds everything, but the database only comes
//! out of a [`Caller`], so that no handler can forget to ask who is calling. Areas are tables of [`Endpoint`]s made by [`endpoints!`]; method, path and policy stand
//! only there. No handlers live here, and no rules: those are in the access crate.

pub mod app;
pub mod audit;
pub mod body;
pub mod caller;
pub mod client_ip;
pub mod endpoint;
mod memo;
pub mod pages;

pub use app::{App, Services};
pub use body::{Body, Query};
pub use caller::{Admin, Authenticated, Caller, Human, Optional, Public, Role, Verified};
pub use endpoint::{Area, Endpoint, Policy};
