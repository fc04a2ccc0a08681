//! Tables, rows and every SQL statement of the server: one file per table group, named as in the
//! Python project. Functions take `impl Into<Conn>` (a pool or a transaction) and return rows;
//! JSON shapes for the wire are built where they are the row's own. Rules about who may do what
//! live in the access crate; HTTP lives in the routers.

pub mod api_keys;
pub mod auths;
pub mod chat_access;
pub mod channels;
pub mod chat_edits;
pub mod chat_files;
pub mod chat_lists;
pub mod chat_messages;
pub mod chats;
mod caches;
pub mod config;
pub mod db;
pub mod folders;
pub mod grants;
pub mod groups;
pub mod history;
pub mod models;
pub mod notes;
pub mod shared;
pub mod stream_journal;
pub mod tags;
pub mod usage;
pub mod users;
pub mod versions;

pub use db::{Conn, Db, DbError, DbResult, Tx};
