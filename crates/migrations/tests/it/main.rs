//! Whole runs of `prepare`: on new databases, on one that the original wrote, and on those that must be refused.
#![expect(clippy::unwrap_used, reason = "a test fails where its preparation fails")]

mod postgres;
mod sqlite_accept;
mod sqlite_new;
mod sqlite_refuse;
mod support;
