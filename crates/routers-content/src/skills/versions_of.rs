//! Versions of skills: looking at them, what differs between two, removing one.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form};
use oui_models::skills;
use oui_models::versions::{self, Version};
use oui_web::{Caller, Query, Verified};
use serde_json::{Map, Value, json};

use super::files::{self, File, summaries};
use super::{one_version, readable, writable_version};
use crate::diff::unified;
use crate::plugins::DiffQuery;

/// Versions of a page.
const PAGE: i64 = 20;

form! {
    /// Which versions.
    pub(super) struct HistoryQuery {
        /// From 1.
        page: i64 = 1,
    }
}

pub(super) async fn history(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(PAGE);
    let list = versions::SKILLS.list(caller.db(), &id, skip, PAGE).await?;
    let item = |version: &Version| {
        let mut item = version.to_json();
        item.insert("user".into(), version.author_name());
        Value::Object(item)
    };
    Ok(Json(list.iter().map(item).collect()))
}

/// A version with the files named but not sent.
pub(super) async fn version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let skill = readable(&caller, &id).await?;
    let version = one_version(&caller, &skill, &version_id).await?;
    let mut snapshot = version.snapshot.clone();
    if let Some(files) = snapshot.pointer_mut("/data/files") {
        let all: Vec<File> = files
            .as_array()
            .into_iter()
            .flatten()
            .map(File::from_json)
            .collect();
        *files = summaries(&all);
    }
    let mut json = version.to_json();
    json.insert("snapshot".into(), snapshot);
    Ok(Json(Value::Object(json)))
}

pub(super) async fn remove(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let skill = writable_version(&caller, &id).await?;
    if skill.row.version_id.as_deref() == Some(version_id.as_str()) {
        return Err(ApiError::bad_request("Cannot delete the current version"));
    }
    if !skills::remove_version(caller.db(), &id, &version_id).await? {
        return Err(ApiError::not_found("Version not found"));
    }
    Ok(Json(json!(true)))
}

/// A version and its files by path.
type Files = (Value, BTreeMap<String, File>);

async fn two(caller: &Caller<Verified>, id: &str, from: &str, to: &str) -> ApiResult<(Files, Files)> {
    let skill = readable(caller, id).await?;
    let before = one_version(caller, &skill, from).await?;
    let after = one_version(caller, &skill, to).await?;
    let by_path = |version: Version| {
        let files = files::stored(version.snapshot.get("data"));
        let files = files.into_iter().map(|file| (file.path.clone(), file)).collect();
        (version.snapshot, files)
    };
    Ok((by_path(before), by_path(after)))
}

pub(super) async fn difference(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<DiffQuery>,
) -> ApiResult<Json<Value>> {
    let ((before, old), (after, new)) = two(&caller, &id, &query.from_id, &query.to_id).await?;
    let mut metadata = Map::new();
    for name in ["name", "description", "meta"] {
        if before.get(name) != after.get(name) {
            metadata.insert(
                name.into(),
                json!({ "before": before.get(name), "after": after.get(name) }),
            );
        }
    }
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = |path: &&String| {
        let (before, after) = (old.get(*path), new.get(*path));
        let status = match (before, after) {
            (None, _) => "added",
            (_, None) => "deleted",
            _ => "modified",
        };
        let binary = [before, after]
            .into_iter()
            .flatten()
            .any(|file| file.encoding.is_some());
        (before != after).then(|| json!({ "path": path, "status": status, "binary": binary }))
    };
    let files: Vec<Value> = paths.iter().filter_map(changed).collect();
    Ok(Json(json!({ "metadata": metadata, "files": files })))
}

form! {
    /// Which file of which versions.
    pub(super) struct FileDiffQuery {
        /// The older.
        from_id: String,
        /// The newer.
        to_id: String,
        /// Path in the skill.
        path: String,
    }
}

pub(super) async fn file_difference(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<FileDiffQuery>,
) -> ApiResult<Json<Value>> {
    let (from, to, path) = (&query.from_id, &query.to_id, &query.path);
    let ((_, mut old), (_, mut new)) = two(&caller, &id, from, to).await?;
    let (before, after) = (old.remove(path), new.remove(path));
    if before.is_none() && after.is_none() {
        return Err(ApiError::not_found("File not found"));
    }
    if [&before, &after]
        .into_iter()
        .flatten()
        .any(|file| file.encoding.is_some())
    {
        return Ok(Json(json!({ "binary": true })));
    }
    let text = |file: Option<File>| file.map(|file| file.content).unwrap_or_default();
    let (before, after) = (text(before), text(after));
    let label = |version: &str| format!("{}/{path}", version.chars().take(7).collect::<String>());
    let diff = unified(&before, &after, &label(from), &label(to)).join("\n");
    let line_endings_only = diff.is_empty() && before != after;
    Ok(Json(
        json!({ "binary": false, "diff": diff, "line_endings_only": line_endings_only }),
    ))
}
