//! Comparing a collection with a folder of the client's, and removing what is not in that folder any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiResult, form};
use oui_models::knowledge::{self, DirectoryRow};
use oui_models::{file_texts, knowledge_edits};
use oui_web::{Body, Caller, Verified};
use serde_json::{Value, json};

use super::files::take_out;
use super::{STRICT, Tree, writable};

/// Uploads that take longer than this are taken for lost, in seconds.
const LOST_AFTER: i64 = 3600;

form! {
    /// A file of the client's.
    struct EntryForm {
        /// Name without folders.
        filename: String,
        /// Folders, or empty.
        path: String,
        /// SHA-256 of the bytes.
        checksum: String,
        /// Bytes.
        size: i64,
    }
}

form! {
    /// A folder of the client's.
    pub(super) struct DiffForm {
        /// All files in it.
        manifest: Vec<EntryForm>,
    }
}

form! {
    /// What is to be removed.
    pub(super) struct CleanupForm {
        /// Files.
        file_ids: Vec<String>,
        /// Folders, those above first.
        dir_ids: Vec<String> = Vec::new(),
    }
}

type Place = (String, String);

pub(super) async fn diff(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<DiffForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    let db = caller.db();
    let tree = Tree(knowledge::directories(db, &id).await?);
    let folder_ids: BTreeMap<String, String> = tree
        .0
        .iter()
        .map(|folder: &DirectoryRow| (tree.path(Some(&folder.id)), folder.id.clone()))
        .collect();
    let since = db.now() - LOST_AFTER;
    let pending: HashSet<(String, String, Option<String>)> = knowledge::pending_files(db, &id)
        .await?
        .into_iter()
        .filter(|(file, _)| file.created_at.unwrap_or(0) >= since)
        .map(|(file, _)| {
            let meta = file.meta.clone().unwrap_or_default();
            let folder = meta.pointer("/data/directory_id").and_then(Value::as_str);
            let hash = meta.get("file_hash").and_then(Value::as_str).map(str::to_owned);
            (tree.path(folder), file.filename.unwrap_or_default(), hash)
        })
        .collect();
    let mut known: Vec<(Place, String, Option<String>)> = Vec::new();
    for link in knowledge_edits::links(db, &id).await? {
        let Some(file) = knowledge::file(db, &link.file_id).await? else {
            continue;
        };
        let hash = file
            .meta
            .as_ref()
            .and_then(|meta| meta.get("file_hash")?.as_str())
            .map(str::to_owned);
        let place = (
            tree.path(link.directory_id.as_deref()),
            file.filename.unwrap_or_default(),
        );
        known.push((place, file.id, hash));
    }
    let by_place: HashMap<&Place, (&str, Option<&str>)> = known
        .iter()
        .map(|(place, id, hash)| (place, (id.as_str(), hash.as_deref())))
        .collect();
    let (mut added, mut modified, mut same) = (Vec::new(), Vec::new(), 0);
    let mut wanted: HashSet<Place> = HashSet::new();
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for entry in &form.manifest {
        let place = (entry.path.clone(), entry.filename.clone());
        let uploading = (
            entry.path.clone(),
            entry.filename.clone(),
            Some(entry.checksum.clone()),
        );
        match by_place.get(&place) {
            None if pending.contains(&uploading) => same += 1,
            None => added.push(json!({ "filename": entry.filename, "path": entry.path })),
            Some((file_id, hash)) if *hash != Some(entry.checksum.as_str()) => modified.push(json!({
                "filename": entry.filename, "path": entry.path, "stale_file_id": file_id,
            })),
            Some(_) => same += 1,
        }
        wanted.insert(place);
        let mut path = String::new();
        for part in entry.path.split('/').filter(|_| !entry.path.is_empty()) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            folders.insert(path.clone());
        }
    }
    let deleted: Vec<Value> = known
        .iter()
        .filter(|(place, ..)| !wanted.contains(place))
        .map(|((_, name), id, _)| json!({ "file_id": id, "filename": name }))
        .collect();
    let mut missing: Vec<&String> = folders
        .iter()
        .filter(|path| !folder_ids.contains_key(*path))
        .collect();
    missing.sort_by_key(|path| path.matches('/').count());
    let orphaned: Vec<&String> = folder_ids
        .iter()
        .filter(|(path, _)| !folders.contains(*path))
        .map(|(_, id)| id)
        .collect();
    Ok(Json(json!({
        "added": added, "modified": modified, "deleted": deleted, "mkdir": missing, "rmdir": orphaned,
        "unmodified_count": same, "directory_map": folder_ids,
    })))
}

pub(super) async fn cleanup(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<CleanupForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    let keeps = caller.app().settings.engines.keep_knowledge_files;
    for file_id in &form.file_ids {
        let Some(file) = file_texts::get(caller.db(), file_id).await? else {
            continue;
        };
        if knowledge_edits::has_file(caller.db(), &id, file_id).await? {
            knowledge_edits::unlink(caller.db(), &id, file_id).await?;
            take_out(&caller, &id, &file, !keeps).await?;
        }
    }
    for folder in form.dir_ids.iter().rev() {
        if let Some(row) = knowledge_edits::directory(caller.db(), folder).await?
            && row.knowledge_id == id
        {
            for file_id in knowledge_edits::remove_directory(caller.db(), &row, true).await? {
                if let Some(file) = file_texts::get(caller.db(), &file_id).await? {
                    take_out(&caller, &id, &file, false).await?;
                }
            }
        }
    }
    Ok(Json(json!({ "status": true })))
}
