//! Table `folder`: folders of chats, nested by `parent_id`, shared by grants.

use serde_json::Value;

use crate::db::{Conn, Db, DbResult};
use crate::{args, grants, groups, table};

/// `resource_type` of folders in the grants.
pub const KIND: &str = "folder";

table! {
    /// One folder.
    pub struct FolderRow in "folder" {
        /// Row id.
        pub id: String,
        /// Folder it lies in.
        pub parent_id: Option<String>,
        /// Owner.
        pub user_id: String,
        /// Name shown.
        pub name: String,
        /// Unused list of the first version.
        pub items: Option<Value>,
        /// Icon and the like.
        pub meta: Option<Value>,
        /// Whether the sidebar shows its content.
        pub is_expanded: bool,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
        /// Project: `{system_prompt, files, share_mode, ...}`.
        pub data: Option<Value>,
    }
}

/// The folder with this id.
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FolderRow>> {
    FolderRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The folder and the folders it lies in, innermost first. Stops at cycles.
pub async fn with_ancestors(db: &Db, folder: &FolderRow) -> DbResult<Vec<FolderRow>> {
    let mut line = vec![folder.clone()];
    while let Some(parent_id) = line.last().and_then(|folder| folder.parent_id.clone()) {
        if line.iter().any(|folder| folder.id == parent_id) {
            break;
        }
        match by_id(db, &parent_id).await? {
            Some(parent) => line.push(parent),
            None => break,
        }
    }
    Ok(line)
}

async fn may(db: &Db, folder: &FolderRow, user_id: &str, permission: &str) -> DbResult<bool> {
    if folder.user_id == user_id {
        return Ok(true);
    }
    let membership = groups::membership(db, user_id).await?;
    for folder in with_ancestors(db, folder).await? {
        if folder.user_id == user_id
            || grants::allows(db, KIND, &folder.id, permission, user_id, &membership).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the user may see the folder: their own, or shared with them, also through a folder above.
pub async fn may_read(db: &Db, folder: &FolderRow, user_id: &str) -> DbResult<bool> {
    may(db, folder, user_id, "read").await
}

/// Whether the user may put chats into the folder.
pub async fn may_write(db: &Db, folder_id: &str, user_id: &str) -> DbResult<bool> {
    match by_id(db, folder_id).await? {
        Some(folder) => may(db, &folder, user_id, "write").await,
        None => Ok(false),
    }
}
