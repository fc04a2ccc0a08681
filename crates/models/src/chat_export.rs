//! Whole chats for exports and statistics. Ids are read first and documents in small batches, so that an export of any
//! size needs little memory and sees no chat twice while others change.

use oui_core::boxed;
use std::collections::HashMap;

use crate::args;
use crate::chat_lists::NOT_INTERNAL;
use crate::chats::ChatRow;
use crate::db::{Arg, Db, DbResult, placeholders, sql};

/// Documents read at once.
pub const BATCH: usize = 20;

/// Which chats to export.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All chats of a user, the last changed first.
    Of(&'a str),
    /// The archive of a user, the last changed first.
    ArchiveOf(&'a str),
    /// Chats of a user that changed after a time (seconds), the first changed first.
    ChangedAfter(&'a str, i64),
    /// Chats of a user in one of the folders, without archived and pinned ones, the last changed first.
    InFolders(&'a str, &'a [String]),
    /// Everybody's chats, the last changed first.
    Everybody,
}

/// Ids of the chats in scope, in order. Chats of sub-agents, notes and timers are left out.
#[boxed]
pub async fn ids(db: &Db, scope: Scope<'_>) -> DbResult<Vec<String>> {
    let newest_first = "updated_at DESC, id";
    let (condition, args, order) = match scope {
        Scope::Of(user_id) => ("user_id = ?".to_owned(), args![user_id], newest_first),
        Scope::ArchiveOf(user_id) => (
            "user_id = ? AND archived = ?".to_owned(),
            args![user_id, true],
            newest_first,
        ),
        Scope::ChangedAfter(user_id, time) => (
            "user_id = ? AND updated_at > ?".to_owned(),
            args![user_id, time],
            "updated_at, id",
        ),
        Scope::InFolders(user_id, folder_ids) => {
            let mut args = args![user_id, false];
            args.extend(folder_ids.iter().map(Arg::from));
            let list = placeholders(folder_ids.len());
            let condition =
                format!("user_id = ? AND archived = ? AND pinned IS NOT TRUE AND folder_id IN ({list})");
            (condition, args, newest_first)
        }
        Scope::Everybody => ("1 = 1".to_owned(), Vec::new(), newest_first),
    };
    let text = format!("SELECT id FROM chat WHERE {condition} AND {NOT_INTERNAL} ORDER BY {order}");
    sql(text, args)
        .all(db)
        .await?
        .iter()
        .map(|row| row.at(0))
        .collect()
}

/// The chats with these ids, in this order; those deleted since are missing.
#[boxed]
pub async fn rows(db: &Db, ids: &[String]) -> DbResult<Vec<ChatRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let condition = format!("WHERE id IN ({})", placeholders(ids.len()));
    let rows = ChatRow::list(db, &condition, ids.iter().map(Arg::from).collect()).await?;
    let mut by_id: HashMap<String, ChatRow> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}
