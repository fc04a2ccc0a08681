//! What is measured, one file per kind of load. A scenario gets a prepared server, and answers with its figures; a
//! refusal, a missing word or a broken connection is an error.

pub mod reads;
pub mod slow;
pub mod soak;
pub mod sse;
pub mod stop;
pub mod web;
