//! Skills as files: export to JSON and archives, a preview of an import, and the import itself.

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::{Multipart, Query as Pairs};
use axum::response::{IntoResponse, Response};
use http::header;
use oui_core::{ApiError, ApiResult, Form};
use oui_models::shared::{self, Filter};
use oui_models::skills::{self, SkillRow};
use oui_web::{Caller, Verified};
use serde_json::{Map, Value, json};

use super::files::{File, checked_path, summaries};
use super::package::{self, LARGEST_IMPORT, Package};
use super::write::{SkillForm, change, make};
use super::{Skill, find, readable, snapshot_of, writable_version};
use crate::common::Reading;

/// Most files of an upload.
const MOST_FILES: usize = 10_000;

#[derive(Default)]
struct ExportQuery {
    format: String,
    ids: Option<Vec<String>>,
    version_id: Option<String>,
}

/// Reads the query by hand: `ids` may come several times.
fn export_query(pairs: Vec<(String, String)>) -> ExportQuery {
    let mut found = ExportQuery {
        format: "json".into(),
        ..ExportQuery::default()
    };
    for (name, value) in pairs {
        match name.as_str() {
            "format" => found.format = value,
            "ids" => found.ids.get_or_insert_default().push(value),
            "version_id" => found.version_id = Some(value).filter(|id| !id.is_empty()),
            _ => {}
        }
    }
    found
}

/// The skills to export: those named, or all that the caller may read.
async fn selected(caller: &Caller<Verified>, ids: Option<&[String]>) -> ApiResult<Vec<Skill>> {
    let Some(ids) = ids else {
        let reading = Reading::of(caller).await?;
        let filter = Filter::readable(reading.reader(), "r.updated_at DESC, r.id");
        return Ok(shared::list::<SkillRow>(caller.db(), &filter).await?);
    };
    let mut found = Vec::new();
    for id in ids {
        found.push(readable(caller, id).await?);
    }
    Ok(found)
}

pub(super) async fn export(
    caller: Caller<Verified>,
    Pairs(pairs): Pairs<Vec<(String, String)>>,
) -> ApiResult<Response> {
    if !caller.may("workspace.skills_export").await? {
        return Err(ApiError::forbidden("Export permission required"));
    }
    let query = export_query(pairs);
    let one = query.ids.as_ref().is_some_and(|ids| ids.len() == 1);
    if query.version_id.is_some() && !one {
        return Err(ApiError::bad_request(
            "Select one skill to export a historical version",
        ));
    }
    if query.format == "skill" && !one {
        return Err(ApiError::bad_request("Select one skill to export as .skill"));
    }
    let found = selected(&caller, query.ids.as_deref()).await?;
    let mut packages = Vec::new();
    for skill in &found {
        let snapshot = snapshot_of(&caller, skill, query.version_id.as_deref()).await?;
        packages.push((skill, snapshot));
    }
    match query.format.as_str() {
        "json" => {
            let item = |(skill, snapshot): &(&Skill, skills::Snapshot)| {
                json!({
                    "id": skill.row.id, "name": snapshot.name, "description": snapshot.description,
                    "meta": snapshot.meta, "files": snapshot.files, "is_active": skill.row.is_active,
                })
            };
            let mut list: Vec<Value> = packages.iter().map(item).collect();
            let value = if one {
                list.pop().unwrap_or_default()
            } else {
                Value::Array(list)
            };
            Ok(Json(value).into_response())
        }
        format @ ("zip" | "skill") => {
            let sets: Vec<(String, Vec<File>)> = packages
                .iter()
                .map(|(skill, snapshot)| {
                    (
                        skill.row.id.clone(),
                        snapshot
                            .files
                            .as_array()
                            .into_iter()
                            .flatten()
                            .map(File::from_json)
                            .collect(),
                    )
                })
                .collect();
            let name = match (format, found.first()) {
                ("skill", Some(skill)) => format!("{}.skill", skill.row.id),
                _ => "skills.zip".to_owned(),
            };
            // Packing many skills takes long enough to be in the way of other requests.
            let bytes = tokio::task::spawn_blocking(move || {
                package::archive(sets.iter().map(|(id, files)| (id.as_str(), files.as_slice())))
            })
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::bad_request)?;
            Response::builder()
                .header(header::CONTENT_TYPE, "application/zip")
                .header(
                    header::CONTENT_DISPOSITION,
                    format!("attachment; filename=\"{name}\""),
                )
                .body(Bytes::from(bytes))
                .map_err(ApiError::internal)
        }
        _ => Err(ApiError::bad_request("Export format must be json, zip, or skill")),
    }
}

async fn demand_import(caller: &Caller<Verified>) -> ApiResult<()> {
    if caller.may("workspace.skills_import").await? {
        Ok(())
    } else {
        Err(ApiError::forbidden("Import permission required"))
    }
}

/// What was uploaded.
#[derive(Default)]
struct Upload {
    files: Vec<(String, Vec<u8>)>,
    decisions: Option<String>,
}

fn missing(field: &str) -> Value {
    json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": null })
}

async fn read_upload(mut form: Multipart, with_decisions: bool) -> ApiResult<Upload> {
    let unreadable =
        |error: axum::extract::multipart::MultipartError| ApiError::bad_request(error.body_text());
    let mut upload = Upload::default();
    let mut total = 0;
    while let Some(mut field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        match (name.as_str(), field.file_name().map(str::to_owned)) {
            ("files", Some(file_name)) => {
                let mut bytes = Vec::new();
                while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
                    total += chunk.len();
                    if total > LARGEST_IMPORT {
                        return Err(ApiError::bad_request("Import exceeds 200 MiB"));
                    }
                    bytes.extend_from_slice(&chunk);
                }
                upload.files.push((file_name, bytes));
            }
            ("decisions", None) => upload.decisions = Some(field.text().await.map_err(unreadable)?),
            _ => {}
        }
    }
    let mut issues = Vec::new();
    if upload.files.is_empty() {
        issues.push(missing("files"));
    }
    if with_decisions && upload.decisions.is_none() {
        issues.push(missing("decisions"));
    }
    if issues.is_empty() {
        Ok(upload)
    } else {
        Err(ApiError::unprocessable(issues))
    }
}

/// Files of a folder have paths for names; together they are skills. Others are skills or archives of some.
fn unpack(files: Vec<(String, Vec<u8>)>) -> Result<Vec<Package>, String> {
    if files.len() > MOST_FILES {
        return Err("Too many uploaded files".into());
    }
    let mut packages = Vec::new();
    let mut folder = Vec::new();
    for (name, bytes) in files {
        if name.contains('/') {
            folder.push(File::from_bytes(checked_path(&name)?.to_owned(), bytes));
        } else {
            packages.extend(package::parse(&bytes, &name, None)?);
        }
    }
    if !folder.is_empty() {
        packages.extend(package::from_folders(folder)?);
    }
    Ok(packages)
}

async fn packages_of(files: Vec<(String, Vec<u8>)>) -> ApiResult<Vec<Package>> {
    tokio::task::spawn_blocking(move || unpack(files))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::bad_request)
}

pub(super) fn described(package: &Package) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".into(), json!(package.id));
    object.insert("name".into(), json!(package.name));
    object.insert("description".into(), package.description.clone());
    object.insert("meta".into(), package.meta.clone());
    if let Some(active) = &package.is_active {
        object.insert("is_active".into(), active.clone());
    }
    object
}

/// Skills as the page of imports is shown them, with what is there under their ids and names.
pub(super) async fn preview(caller: Caller<Verified>, form: Multipart) -> ApiResult<Json<Value>> {
    demand_import(&caller).await?;
    let upload = read_upload(form, false).await?;
    let packages = packages_of(upload.files).await?;
    let reading = Reading::of(&caller).await?;
    let mut list = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        let existing = find(&caller, &package.id).await?;
        let writable = existing.as_ref().filter(|entry| reading.may(entry, "write"));
        let mut item = Map::from_iter([("index".to_owned(), json!(index))]);
        item.extend(described(package));
        item.insert("files".into(), summaries(&package.files));
        item.insert("id_taken".into(), json!(existing.is_some()));
        let name_taken = skills::name_taken(caller.db(), &package.name).await?;
        item.insert("name_taken".into(), json!(name_taken));
        item.insert("can_replace".into(), json!(writable.is_some()));
        let version = writable.and_then(|entry| entry.row.version_id.clone());
        item.insert("expected_version_id".into(), json!(version));
        list.push(Value::Object(item));
    }
    Ok(Json(Value::Array(list)))
}

/// Does what was decided for one package. Answers the id of the skill, or none when it was skipped.
async fn import_one(
    caller: &Caller<Verified>,
    package: &Package,
    choice: &Map<String, Value>,
) -> ApiResult<Option<String>> {
    let action = choice.get("action").and_then(Value::as_str).unwrap_or("skip");
    if action == "skip" {
        return Ok(None);
    }
    let mut input = described(package);
    for name in ["id", "name"] {
        if let Some(chosen) = choice.get(name) {
            input.insert(name.into(), chosen.clone());
        }
    }
    input.insert("files".into(), package.files.iter().map(File::to_json).collect());
    let form = |input: Map<String, Value>| {
        let raw = Value::Object(input);
        let form = SkillForm::read("body", &raw).map_err(|issues| {
            let text = issues
                .first()
                .and_then(|issue| issue["msg"].as_str())
                .unwrap_or("Invalid skill");
            ApiError::bad_request(text)
        })?;
        Ok::<_, ApiError>((form, raw))
    };
    match action {
        "replace" => {
            let id = input
                .get("id")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let skill = writable_version(caller, &id).await?;
            let expected = choice
                .get("expected_version_id")
                .filter(|id| id.as_str().is_some_and(|id| !id.is_empty()));
            let expected =
                expected.ok_or_else(|| ApiError::bad_request("Replacement requires expected_version_id"))?;
            input.insert("expected_version_id".into(), expected.clone());
            let (form, raw) = form(input)?;
            change(caller, &skill, &form, &raw).await?;
            Ok(Some(id))
        }
        "create" | "copy" => {
            input.insert("access_grants".into(), json!([]));
            make(caller, form(input)?.0).await.map(Some)
        }
        _ => Err(ApiError::bad_request("Unknown import action")),
    }
}

pub(super) async fn import(caller: Caller<Verified>, form: Multipart) -> ApiResult<Json<Value>> {
    demand_import(&caller).await?;
    let upload = read_upload(form, true).await?;
    let packages = packages_of(upload.files).await?;
    let choices: Value = serde_json::from_str(&upload.decisions.unwrap_or_default())
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let choices: Option<Vec<&Map<String, Value>>> = choices
        .as_array()
        .filter(|choices| choices.len() == packages.len())
        .and_then(|choices| choices.iter().map(Value::as_object).collect());
    let choices = choices.ok_or_else(|| ApiError::bad_request("One decision is required per skill"))?;
    let mut results = Vec::new();
    for (package, choice) in packages.iter().zip(choices) {
        results.push(match import_one(&caller, package, choice).await {
            Ok(Some(id)) => json!({ "status": "saved", "id": id }),
            Ok(None) => json!({ "status": "skipped", "id": package.id }),
            Err(error) if error.status().is_server_error() => return Err(error),
            Err(error) => json!({ "status": "error", "id": package.id, "error": error.detail() }),
        });
    }
    Ok(Json(Value::Array(results)))
}
