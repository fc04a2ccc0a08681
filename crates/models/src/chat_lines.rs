//! One line of a list of chats: how it is read, and how routes send it. The lists are in
//! [`chat_lists`](crate::chat_lists).

use serde::{Deserialize, Serialize};

use crate::db::{DbResult, Row};

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Listed {
    /// Row id.
    pub id: String,
    /// Owner.
    pub user_id: Option<String>,
    /// Title shown.
    pub title: Option<String>,
    /// Seconds.
    pub updated_at: Option<i64>,
    /// Seconds.
    pub created_at: Option<i64>,
    /// Seconds.
    pub last_read_at: Option<i64>,
}

impl Listed {
    /// SELECT list that [`Listed::read`] expects.
    pub(crate) const COLUMNS: &str =
        "chat.id, chat.user_id, chat.title, chat.updated_at, chat.created_at, chat.last_read_at";

    /// SELECT list of the same as one JSON object. Every row of SQLite goes to another thread by itself and every
    /// column is copied on the way; a list as one text costs a fraction of that.
    pub(crate) const AS_JSON: &str = "json_object('id', chat.id, 'user_id', chat.user_id, 'title', CAST(chat.title AS TEXT), \
         'updated_at', CAST(chat.updated_at AS INTEGER), 'created_at', CAST(chat.created_at AS INTEGER), \
         'last_read_at', CAST(chat.last_read_at AS INTEGER)) AS line";

    pub(crate) fn read(row: &Row) -> DbResult<Self> {
        Ok(Self {
            id: row.at(0)?,
            user_id: row.at(1)?,
            title: row.at(2)?,
            updated_at: row.at(3)?,
            created_at: row.at(4)?,
            last_read_at: row.at(5)?,
        })
    }

    /// The line as routes send it; `active` tells whether a reply is being written.
    pub fn line(&self, active: bool) -> Line<'_> {
        Line {
            id: &self.id,
            title: self.title.as_deref(),
            updated_at: self.updated_at,
            created_at: self.created_at,
            last_read_at: self.last_read_at,
            snippet: None,
            active,
            archived: false,
        }
    }
}

/// A line as routes send it.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'l> {
    pub(crate) id: &'l str,
    pub(crate) title: Option<&'l str>,
    pub(crate) updated_at: Option<i64>,
    pub(crate) created_at: Option<i64>,
    pub(crate) last_read_at: Option<i64>,
    /// The text around the first match of a search.
    pub(crate) snippet: Option<&'l str>,
    pub(crate) active: bool,
    pub(crate) archived: bool,
}
