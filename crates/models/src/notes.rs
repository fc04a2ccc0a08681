//! Tables `note` and `pinned_note`: rows and who may read a note.

use serde_json::Value;

use crate::db::{Conn, Db, DbResult, sql};
use crate::groups::Membership;
use crate::{args, grants, table};

/// `resource_type` of notes in the grants.
pub const KIND: &str = "note";

table! {
    /// One note.
    pub struct NoteRow in "note" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Title shown.
        pub title: Option<String>,
        /// `{content: {json, html, md}, files, ...}`.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// Nanoseconds.
        pub created_at: Option<i64>,
        /// Nanoseconds.
        pub updated_at: Option<i64>,
    }
}

/// Whether the user may read the note. False for a note that does not exist.
pub async fn may_read(db: &Db, note_id: &str, user_id: &str, membership: &Membership) -> DbResult<bool> {
    let owner: Option<Option<String>> = sql("SELECT user_id FROM note WHERE id = ?", args![note_id]).scalar(db).await?;
    match owner {
        None => Ok(false),
        Some(Some(owner)) if owner == user_id => Ok(true),
        Some(_) => grants::allows(db, KIND, note_id, "read", user_id, membership).await,
    }
}

/// Notes that a user has pinned, newest pin first.
pub async fn pinned(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<NoteRow>> {
    NoteRow::list(
        conn,
        "WHERE id IN (SELECT note_id FROM pinned_note WHERE user_id = ?) ORDER BY updated_at DESC",
        args![user_id],
    )
    .await
}
