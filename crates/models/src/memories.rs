//! Table `memory`: what a user lets models remember of them. Finding memories by meaning is the retrieval's
//! business.

use serde_json::{Value, json};

use crate::db::{Conn, DbResult};
use crate::{args, table};

table! {
    /// One memory.
    pub struct MemoryRow in "memory" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// `user` or `context`.
        pub kind as "type": String,
        /// Place in the tree of topics.
        pub path: Option<String>,
        /// The text.
        pub content: Option<String>,
        /// Free object.
        pub meta: Option<Value>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Seconds.
        pub created_at: Option<i64>,
    }
}

impl MemoryRow {
    /// The memory as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "user_id": self.user_id, "type": self.kind, "path": self.path, "content": self.content,
            "meta": self.meta, "updated_at": self.updated_at, "created_at": self.created_at,
        })
    }
}

/// Memories of a user.
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<MemoryRow>> {
    MemoryRow::list(conn, "WHERE user_id = ?", args![user_id]).await
}
