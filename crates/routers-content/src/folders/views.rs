//! Looking at folders: the tree, what is shared, one of them.

use std::collections::HashMap;

use axum::Json;
use oui_core::ApiResult;
use oui_models::folders::{self, FolderChange, FolderRow};
use oui_models::{Db, chat_lists, folder_files, folder_shares, grants, shared, users};
use serde_json::{Map, Value, json};

use super::loaded::{FolderUser, LoadedFolder, Missing, Visitor};

/// Takes out of a folder what its owner may no longer read, as files are deleted and shares end.
async fn without_lost_files(db: &Db, folder: &FolderRow, owner: &users::UserRow) -> ApiResult<()> {
    let Some(files) = folder.data.as_ref().and_then(|data| data.get("files")) else {
        return Ok(());
    };
    let entries = files.as_array().map(Vec::as_slice).unwrap_or_default();
    let kept = folder_files::readable(db, entries, owner).await?;
    if files.is_array() && kept.len() == entries.len() {
        return Ok(());
    }
    let data = Map::from_iter([("files".to_owned(), Value::Array(kept))]);
    folders::change(
        db,
        &folder.id,
        FolderChange {
            data: Some(data),
            ..FolderChange::default()
        },
    )
    .await?;
    Ok(())
}

/// A folder as the tree shows it.
fn branch(folder: &FolderRow, unread: i64) -> Value {
    let meta = folder.meta.as_ref().filter(|meta| meta.is_object());
    json!({
        "id": folder.id,
        "name": folder.name,
        "meta": meta.map(|meta| json!({ "icon": meta.get("icon") })),
        "parent_id": folder.parent_id,
        "is_expanded": folder.is_expanded,
        "unread_count": unread,
        "created_at": folder.created_at,
        "updated_at": folder.updated_at,
    })
}

pub(super) async fn list(FolderUser(caller): FolderUser) -> ApiResult<Json<Value>> {
    let db = caller.db();
    let folders = folders::of_user_repaired(db, caller.id()).await?;
    for folder in &folders {
        without_lost_files(db, folder, caller.user()).await?;
    }
    let unread: HashMap<String, i64> = chat_lists::unread_by_folder(db, caller.id())
        .await?
        .into_iter()
        .collect();
    let unread_in = |folder: &FolderRow| unread.get(&folder.id).copied().unwrap_or(0);
    Ok(Json(
        folders
            .iter()
            .map(|folder| branch(folder, unread_in(folder)))
            .collect(),
    ))
}

pub(super) async fn shared(FolderUser(caller): FolderUser) -> ApiResult<Json<Value>> {
    let db = caller.db();
    let shared = folder_shares::of_user(db, caller.id(), &*caller.membership().await?).await?;
    let mut owners: Vec<String> = shared
        .iter()
        .map(|shared| shared.folder.user_id.clone())
        .collect();
    owners.sort();
    owners.dedup();
    let names: HashMap<String, String> = users::by_ids(db, &owners)
        .await?
        .into_iter()
        .map(|user| (user.id, user.name))
        .collect();
    let lines = shared.iter().map(|shared| {
        let mut line = shared.folder.to_json();
        line["owner_name"] = names
            .get(&shared.folder.user_id)
            .map_or("Unknown", String::as_str)
            .into();
        line["permission"] = (if shared.writable { "write" } else { "read" }).into();
        line
    });
    Ok(Json(lines.collect()))
}

pub(super) async fn get(loaded: LoadedFolder<Visitor, Missing>) -> ApiResult<Json<Value>> {
    let rows = grants::of(loaded.caller.db(), folders::KIND, &loaded.folder.id).await?;
    let mut answer = loaded.folder.to_json();
    answer["access_grants"] = shared::grants_json(&rows);
    answer["write_access"] = loaded.may_write().await?.into();
    Ok(Json(answer))
}
