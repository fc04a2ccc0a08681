//! Table `folder`: folders of chats, nested by `parent_id`, shared by grants.

use oui_core::boxed;
use std::collections::{HashMap, HashSet};

use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Arg, Changes, Conn, Db, DbResult, placeholders, sql};
use crate::{Tx, args, chat_removal, grants, groups, table};

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

impl FolderRow {
    /// The folder as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "parent_id": self.parent_id, "user_id": self.user_id, "name": self.name,
            "items": self.items, "meta": self.meta, "data": self.data, "is_expanded": self.is_expanded,
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

/// The folder with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<FolderRow>> {
    FolderRow::find(conn, "WHERE id = ?", args![id]).await
}

/// The folder and the folders it lies in, innermost first. Stops at cycles.
#[boxed]
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

/// Whether the user may do what `permission` (`read`, `write`) names: owners of the folder or of one above it may, and
/// those with a grant on one of them.
#[boxed]
pub async fn may(db: &Db, folder: &FolderRow, user_id: &str, permission: &str) -> DbResult<bool> {
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
#[boxed]
pub async fn may_read(db: &Db, folder: &FolderRow, user_id: &str) -> DbResult<bool> {
    may(db, folder, user_id, "read").await
}

/// Whether the user may put chats into the folder.
#[boxed]
pub async fn may_write(db: &Db, folder_id: &str, user_id: &str) -> DbResult<bool> {
    match by_id(db, folder_id).await? {
        Some(folder) => may(db, &folder, user_id, "write").await,
        None => Ok(false),
    }
}

/// All folders of a user.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<FolderRow>> {
    FolderRow::list(conn, "WHERE user_id = ?", args![user_id]).await
}

/// The folders with these ids, the last changed first.
#[boxed]
pub async fn by_ids(conn: impl Into<Conn<'_>>, ids: &[String]) -> DbResult<Vec<FolderRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let condition = format!(
        "WHERE id IN ({}) ORDER BY updated_at DESC",
        placeholders(ids.len())
    );
    FolderRow::list(conn, &condition, ids.iter().map(Arg::from).collect()).await
}

/// The folder of this name in a place, whatever the case.
#[boxed]
pub async fn in_place(
    conn: impl Into<Conn<'_>>,
    user_id: &str,
    parent_id: Option<&str>,
    name: &str,
) -> DbResult<Option<FolderRow>> {
    let folders = match parent_id {
        Some(parent_id) => {
            FolderRow::list(
                conn,
                "WHERE user_id = ? AND parent_id = ?",
                args![user_id, parent_id],
            )
            .await?
        }
        None => FolderRow::list(conn, "WHERE user_id = ? AND parent_id IS NULL", args![user_id]).await?,
    };
    let name = name.to_lowercase();
    Ok(folders
        .into_iter()
        .find(|folder| folder.name.to_lowercase() == name))
}

/// Those of `folders` (all of one user) that lie below `root`, the innermost first; cycles end.
pub fn below<'f>(folders: &'f [FolderRow], root: &str) -> Vec<&'f FolderRow> {
    fn visit<'f>(
        folders: &'f [FolderRow],
        id: &str,
        seen: &mut HashSet<&'f str>,
        found: &mut Vec<&'f FolderRow>,
    ) {
        let mut children: Vec<&FolderRow> = folders
            .iter()
            .filter(|folder| folder.parent_id.as_deref() == Some(id))
            .collect();
        children.sort_by_key(|folder| std::cmp::Reverse(folder.updated_at));
        for child in children {
            if seen.insert(&child.id) {
                visit(folders, &child.id, seen, found);
                found.push(child);
            }
        }
    }
    let mut seen: HashSet<&str> = folders
        .iter()
        .filter(|folder| folder.id == root)
        .map(|f| f.id.as_str())
        .collect();
    let mut found = Vec::new();
    visit(folders, root, &mut seen, &mut found);
    found
}

/// Ids of a folder and of all folders below it.
#[boxed]
pub async fn subtree(conn: impl Into<Conn<'_>>, folder: &FolderRow) -> DbResult<Vec<String>> {
    let folders = of_user(conn, &folder.user_id).await?;
    let mut ids = vec![folder.id.clone()];
    ids.extend(
        below(&folders, &folder.id)
            .into_iter()
            .map(|folder| folder.id.clone()),
    );
    Ok(ids)
}

/// Ids of a user's folders of these names, and of all below them. Spaces and underscores are the same, and case does
/// not matter.
#[boxed]
pub async fn named(db: &Db, user_id: &str, names: &[String]) -> DbResult<Vec<String>> {
    let plain = |name: &str| {
        name.replace('_', " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let folders = of_user(db, user_id).await?;
    let mut ids: Vec<String> = Vec::new();
    for folder in folders
        .iter()
        .filter(|folder| names.contains(&plain(&folder.name)))
    {
        ids.push(folder.id.clone());
        ids.extend(
            below(&folders, &folder.id)
                .into_iter()
                .map(|folder| folder.id.clone()),
        );
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// A new folder.
#[boxed]
pub async fn create(
    db: &Db,
    owner: &str,
    parent_id: Option<String>,
    name: String,
    data: Option<Value>,
    meta: Option<Value>,
) -> DbResult<FolderRow> {
    let now = db.now();
    let row = FolderRow {
        id: ids::uuid(),
        parent_id,
        user_id: owner.to_owned(),
        name,
        items: None,
        meta,
        is_expanded: false,
        created_at: now,
        updated_at: now,
        data,
    };
    row.insert(db).await?;
    Ok(row)
}

/// What changes in a folder; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct FolderChange {
    /// New name.
    pub name: Option<String>,
    /// Merged into `data`.
    pub data: Option<Map<String, Value>>,
    /// Merged into `meta`.
    pub meta: Option<Map<String, Value>>,
    /// New place; `Some(None)` is the top.
    pub parent_id: Option<Option<String>>,
    /// Whether the sidebar shows its content.
    pub is_expanded: Option<bool>,
}

/// Changes a folder. `None` when it is gone.
#[boxed]
pub async fn change(db: &Db, id: &str, change: FolderChange) -> DbResult<Option<FolderRow>> {
    let mut tx = db.begin().await?;
    let row = change_in(&mut tx, id, change).await?;
    tx.commit().await?;
    Ok(row)
}

/// [`change`] inside a transaction of the caller's.
#[boxed]
pub async fn change_in(tx: &mut Tx, id: &str, change: FolderChange) -> DbResult<Option<FolderRow>> {
    let Some(mut row) = by_id(&mut *tx, id).await? else {
        return Ok(None);
    };
    row.updated_at = tx.db().now();
    let mut changes = Changes::new().set("updated_at", row.updated_at);
    if let Some(name) = change.name {
        changes = changes.set("name", name.as_str());
        row.name = name;
    }
    if let Some(data) = change.data {
        row.data = Some(merged(row.data.as_ref(), data));
        changes = changes.set("data", row.data.clone());
    }
    if let Some(meta) = change.meta {
        row.meta = Some(merged(row.meta.as_ref(), meta));
        changes = changes.set("meta", row.meta.clone());
    }
    if let Some(parent_id) = change.parent_id {
        changes = changes.set("parent_id", parent_id.clone());
        row.parent_id = parent_id;
    }
    if let Some(is_expanded) = change.is_expanded {
        changes = changes.set("is_expanded", is_expanded);
        row.is_expanded = is_expanded;
    }
    FolderRow::update(tx, changes, "WHERE id = ?", args![id]).await?;
    Ok(Some(row))
}

fn merged(stored: Option<&Value>, fields: Map<String, Value>) -> Value {
    let mut all = stored.and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(fields);
    Value::Object(all)
}

/// Puts folders whose place is gone, or that lie in a circle, back to the top: nobody could see them otherwise. Answers
/// the folders of the user as they are then.
#[boxed]
pub async fn of_user_repaired(db: &Db, user_id: &str) -> DbResult<Vec<FolderRow>> {
    let folders = of_user(db, user_id).await?;
    let lost = lost(&folders);
    if lost.is_empty() {
        return Ok(folders);
    }
    let mut tx = db.begin().await?;
    for id in &lost {
        change_in(
            &mut tx,
            id,
            FolderChange {
                parent_id: Some(None),
                ..Default::default()
            },
        )
        .await?;
    }
    tx.commit().await?;
    of_user(db, user_id).await
}

fn lost(folders: &[FolderRow]) -> Vec<String> {
    let mut parents: HashMap<&str, Option<&str>> = folders
        .iter()
        .map(|folder| (folder.id.as_str(), folder.parent_id.as_deref()))
        .collect();
    let mut lost = Vec::new();
    for folder in folders {
        let Some(parent_id) = folder.parent_id.as_deref() else {
            continue;
        };
        let mut seen = HashSet::from([folder.id.as_str()]);
        let mut next = Some(parent_id);
        while let Some(id) = next.filter(|id| seen.insert(id)) {
            next = parents.get(id).copied().flatten();
        }
        if !parents.contains_key(parent_id) || next == Some(folder.id.as_str()) {
            parents.insert(&folder.id, None);
            lost.push(folder.id.clone());
        }
    }
    lost
}

/// Deletes a folder and all below it. Their chats are deleted, or taken out of the folders; chats of others are always
/// taken out. Answers the ids of the folders.
#[boxed]
pub async fn delete(db: &Db, folder: &FolderRow, with_chats: bool) -> DbResult<Vec<String>> {
    let mut tx = db.begin().await?;
    let ids = subtree(&mut tx, folder).await?;
    for ids in ids.chunks(200) {
        if with_chats {
            chat_removal::delete_in_folders(&mut tx, &folder.user_id, ids).await?;
        }
        let list = placeholders(ids.len());
        let args: Vec<Arg> = ids.iter().map(Arg::from).collect();
        for statement in [
            "UPDATE chat SET folder_id = NULL WHERE folder_id IN",
            "DELETE FROM folder WHERE id IN",
        ] {
            sql(format!("{statement} ({list})"), args.clone())
                .execute(&mut tx)
                .await?;
        }
        sql(
            format!("UPDATE automation SET folder_id = NULL WHERE folder_id IN ({list})"),
            args.clone(),
        )
        .execute(&mut tx)
        .await?;
        let mut grant_args = args![KIND];
        grant_args.extend(args);
        sql(
            format!("DELETE FROM access_grant WHERE resource_type = ? AND resource_id IN ({list})"),
            grant_args,
        )
        .execute(&mut tx)
        .await?;
    }
    tx.commit().await?;
    Ok(ids)
}

/// How many listed chats of the owner lie in the folders.
#[boxed]
pub async fn count_chats(db: &Db, owner: &str, folder_ids: &[String]) -> DbResult<i64> {
    let mut total = 0;
    for ids in folder_ids.chunks(500) {
        let mut args = args![owner];
        args.extend(ids.iter().map(Arg::from));
        let text = format!(
            "SELECT COUNT(*) FROM chat WHERE user_id = ? AND folder_id IN ({}) AND {}",
            placeholders(ids.len()),
            crate::chat_lists::NOT_INTERNAL
        );
        total += sql(text, args).scalar::<i64>(db).await?.unwrap_or(0);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_are_found_moved_and_deleted_with_those_below() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let new = async |name: &str, parent: Option<&FolderRow>| {
                let parent = parent.map(|folder| folder.id.clone());
                create(&db, &ada.id, parent, name.to_owned(), None, None)
                    .await
                    .unwrap()
            };
            let work = new("My Work", None).await;
            let inner = new("Inner", Some(&work)).await;
            let other = new("Other", None).await;
            assert_eq!(
                subtree(&*db, &work).await.unwrap(),
                [work.id.clone(), inner.id.clone()]
            );
            assert_eq!(
                named(&db, &ada.id, &["my_work".to_owned()]).await.unwrap().len(),
                2
            );
            assert_eq!(
                in_place(&*db, &ada.id, Some(&work.id), "INNER")
                    .await
                    .unwrap()
                    .unwrap()
                    .id,
                inner.id
            );
            assert!(in_place(&*db, &ada.id, None, "inner").await.unwrap().is_none());
            let root = crate::folder_shares::moving_root(&db, &ada.id, Some(&inner.id))
                .await
                .unwrap();
            assert_eq!(root.as_deref(), Some(work.id.as_str()));
            let chat = crate::testing::chat(&db, &ada, "t", "?").await;
            crate::chats::move_to_folder(&db, &chat.id, Some(&inner.id), true)
                .await
                .unwrap();
            assert_eq!(
                count_chats(&db, &ada.id, std::slice::from_ref(&inner.id))
                    .await
                    .unwrap(),
                1
            );
            assert_eq!(delete(&db, &work, false).await.unwrap().len(), 2);
            assert_eq!(
                crate::chats::head(&*db, &chat.id)
                    .await
                    .unwrap()
                    .unwrap()
                    .folder_id,
                None
            );
            crate::chats::move_to_folder(&db, &chat.id, Some(&other.id), true)
                .await
                .unwrap();
            delete(&db, &other, true).await.unwrap();
            assert!(crate::chats::head(&*db, &chat.id).await.unwrap().is_none());
            assert!(of_user(&*db, &ada.id).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn lost_folders_come_back_to_the_top() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let new = async |name: &str, parent: &str| {
                create(&db, &ada.id, Some(parent.to_owned()), name.to_owned(), None, None)
                    .await
                    .unwrap()
            };
            let orphan = new("orphan", "nowhere").await;
            let a = new("a", "unknown yet").await;
            let b = new("b", &a.id).await;
            let below = FolderChange {
                parent_id: Some(Some(b.id.clone())),
                ..FolderChange::default()
            };
            change(&db, &a.id, below).await.unwrap();
            let folders = of_user_repaired(&db, &ada.id).await.unwrap();
            let top: Vec<&str> = folders
                .iter()
                .filter(|folder| folder.parent_id.is_none())
                .map(|folder| folder.name.as_str())
                .collect();
            assert!(top.contains(&"orphan") && top.len() == 2, "{top:?}");
            assert_eq!(folders.len(), 3);
            let _ = orphan;
        }
    }
}
