//! Tables, rows and every SQL statement of the server: one file per table group, named as in the
//! Python project. Functions take `impl Into<Conn>` (a pool or a transaction) and return rows;
//! JSON shapes for the wire are built where they are the row's own. Rules about who may do what
//! live in the access crate; HTTP lives in the routers.

pub mod analytics;
pub mod api_keys;
pub mod auths;
pub mod automations;
mod caches;
pub mod calendar_edits;
pub mod calendars;
pub mod channel_members;
pub mod channel_webhooks;
pub mod channels;
pub mod chat_access;
pub mod chat_edits;
pub mod chat_events;
pub mod chat_export;
pub mod chat_files;
mod chat_lines;
pub mod chat_lists;
pub mod chat_messages;
pub mod chat_removal;
pub mod chat_search;
pub mod chats;
pub mod config;
pub mod database_copy;
pub mod db;
pub mod feedbacks;
pub mod file_texts;
pub mod files;
pub mod folder_files;
pub mod folder_shares;
pub mod folders;
pub mod functions;
pub mod grants;
pub mod groups;
pub mod history;
pub mod knowledge;
pub mod knowledge_edits;
pub mod knowledge_texts;
pub mod loose_chunks;
pub mod marks;
pub mod memories;
pub mod messages;
pub mod models;
pub mod notes;
pub mod oauth_sessions;
mod plugins;
pub mod prompts;
pub mod quotas;
pub mod shared;
pub mod shared_chats;
pub mod skill_edits;
pub mod skills;
pub mod stream_journal;
pub mod tags;
#[cfg(test)]
mod testing;
pub mod timers;
pub mod tools;
pub mod usage;
pub mod users;
pub mod versions;
pub mod workspace_search;

pub use db::{Conn, Db, DbError, DbResult, Tx};
