//! Putting files into collections and taking them out; a collection as an archive of texts.

use std::io::Write;

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_loaders::ingest::{Ingest, ProcessFile};
use oui_models::file_texts::{self, FileChange, FileText};
use oui_models::knowledge::KnowledgeRow;
use oui_models::{knowledge_edits, loose_chunks, shared};
use oui_retrieval::Use;
use oui_web::body::AnyJson;
use oui_web::{Admin, Body, Caller, Query, Verified};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{PLAIN, folder_in, is_external, with_files, writable};

/// A file whose text is not known yet.
const NOT_PROCESSED: &str = "Extracted content is not available for this file. Please ensure that the file is processed before proceeding.";

const NO_FOLDER: &str = "Target directory not found.";

form! {
    /// A file and where it goes.
    pub(super) struct FileForm {
        /// Which file.
        file_id: String,
        /// Folder; none for the top.
        directory_id: Option<String>,
    }
}

fn not_found() -> ApiError {
    ApiError::bad_request(messages::NOT_FOUND)
}

/// The text of a refusal inside another: with its status.
fn quoted(error: &ApiError) -> ApiError {
    ApiError::bad_request(format!("{}: {}", error.status().as_u16(), error.detail_text()))
}

/// Makes a file findable in a collection and, with `link`, puts it there. What a crash leaves between both is noted.
async fn process(
    caller: &Caller<Verified>,
    id: &str,
    file_id: &str,
    link: Option<Option<&str>>,
) -> ApiResult<()> {
    let job = ProcessFile {
        file_id: file_id.to_owned(),
        content: None,
        collection_name: Some(id.to_owned()),
    };
    if link.is_some() {
        note_loose(caller, id, &[file_id]).await?;
    }
    let done = caller.app().retrieval.process_file(caller.user(), job).await;
    done.map_err(|error| quoted(&error))?;
    let mut tx = caller.db().begin().await?;
    let complete = FileChange {
        data: Some(json!({ "status": "completed", "error": null })),
        ..FileChange::default()
    };
    file_texts::change(&mut tx, file_id, complete).await?;
    if let Some(folder) = link {
        let now = caller.db().now();
        knowledge_edits::link(&mut tx, now, id, file_id, caller.id(), folder).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Notes that chunks of these files are about to be in a collection that the files are not in yet.
async fn note_loose(caller: &Caller<Verified>, id: &str, files: &[&str]) -> ApiResult<()> {
    let mut tx = caller.db().begin().await?;
    loose_chunks::note(&mut tx, id, files).await?;
    tx.commit().await?;
    Ok(())
}

async fn may_read(caller: &Caller<Verified>, file: &FileText) -> ApiResult<bool> {
    if caller.is_admin() || file.user_id.as_deref() == Some(caller.id()) {
        return Ok(true);
    }
    caller
        .app()
        .retrieval
        .may_use_file(&file.id, caller.user(), Use::Read)
        .await
}

pub(super) async fn add(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<FileForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, PLAIN).await?;
    let folder = folder_in(caller.db(), &id, form.directory_id.as_deref(), NO_FOLDER).await?;
    let file = file_texts::get(caller.db(), &form.file_id)
        .await?
        .ok_or_else(not_found)?;
    let known = file
        .data
        .as_ref()
        .and_then(Value::as_object)
        .is_some_and(|data| !data.is_empty());
    if !known {
        return Err(ApiError::bad_request(NOT_PROCESSED));
    }
    if !may_read(&caller, &file).await? {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    process(&caller, &id, &file.id, Some(folder)).await?;
    let news = json!({ "knowledge_id": id, "directory_id": form.directory_id });
    caller.tell("knowledge.file.added", file.id.as_str(), news);
    with_files(caller.db(), &id).await
}

/// A file that is in the collection.
async fn member(caller: &Caller<Verified>, id: &str, file_id: &str) -> ApiResult<FileText> {
    let file = file_texts::get(caller.db(), file_id)
        .await?
        .ok_or_else(not_found)?;
    if knowledge_edits::has_file(caller.db(), id, file_id).await? {
        Ok(file)
    } else {
        Err(not_found())
    }
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<FileForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, PLAIN).await?;
    let file = member(&caller, &id, &form.file_id).await?;
    process(&caller, &id, &file.id, None).await?;
    caller.tell(
        "knowledge.file.updated",
        file.id.as_str(),
        json!({ "knowledge_id": id }),
    );
    with_files(caller.db(), &id).await
}

form! {
    /// What becomes of a file that is taken out.
    pub(super) struct RemoveQuery {
        /// It is deleted when nothing else uses it; the operator's setting unless given.
        delete_file: Option<bool>,
    }
}

pub(super) async fn remove(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<RemoveQuery>,
    Body { form, .. }: Body<FileForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, PLAIN).await?;
    let file = member(&caller, &id, &form.file_id).await?;
    knowledge_edits::unlink(caller.db(), &id, &file.id).await?;
    let keeps = caller.app().settings.engines.keep_knowledge_files;
    let delete = query.delete_file.unwrap_or(!keeps);
    take_out(&caller, &id, &file, delete).await?;
    let news = json!({ "knowledge_id": id, "delete_file": delete });
    caller.tell("knowledge.file.removed", file.id.as_str(), news);
    with_files(caller.db(), &id).await
}

/// Removes the chunks of a file that left the collection and, with `delete`, the file when nothing else has it.
pub(super) async fn take_out(
    caller: &Caller<Verified>,
    id: &str,
    file: &FileText,
    delete: bool,
) -> ApiResult<()> {
    let retrieval = &caller.app().retrieval;
    match retrieval.forget_chunks(id, &file.id, file.hash.as_deref()).await {
        Ok(()) => loose_chunks::settle(caller.db(), id, &file.id).await?,
        Err(error) => tracing::warn!(%error, file = file.id, "chunks of a file could not be removed"),
    }
    let own = file.user_id.as_deref() == Some(caller.id()) || caller.is_admin();
    if delete && own && knowledge_edits::uses_of_file(caller.db(), &file.id).await? == 0 {
        remove_resource(caller, file).await?;
    }
    Ok(())
}

/// Deletes a file: its row, its chunks, what is stored of it.
pub(super) async fn remove_resource(caller: &Caller<Verified>, file: &FileText) -> ApiResult<()> {
    let mut tx = caller.db().begin().await?;
    file_texts::remove(&mut tx, &file.id).await?;
    tx.commit().await?;
    if let Err(error) = caller.app().retrieval.forget_file(&file.id, None, &[]).await {
        tracing::warn!(%error, file = file.id, "chunks of a deleted file could not be removed");
    }
    if let Some(path) = file.path.as_deref().filter(|path| !path.is_empty())
        && let Err(error) = caller.app().storage.delete(path).await
    {
        tracing::warn!(%error, path, "what was stored of a deleted file could not be removed");
    }
    Ok(())
}

pub(super) async fn add_many(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    AnyJson(body): AnyJson,
) -> ApiResult<Json<Value>> {
    let mut issues = Issues::at("body");
    let forms = Vec::<FileForm>::parse(&body, &mut issues);
    let Some(forms) = forms.filter(|_| issues.is_empty()) else {
        return Err(ApiError::unprocessable(issues.into_found()));
    };
    writable(&caller, &id, PLAIN).await?;
    for form in &forms {
        folder_in(caller.db(), &id, form.directory_id.as_deref(), NO_FOLDER).await?;
    }
    let mut files = Vec::new();
    for form in &forms {
        let missing = || ApiError::bad_request(format!("File {} not found", form.file_id));
        files.push(
            file_texts::get(caller.db(), &form.file_id)
                .await?
                .ok_or_else(missing)?,
        );
    }
    for file in &files {
        if !may_read(&caller, file).await? {
            return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
        }
    }
    let mut fresh = Vec::new();
    for (form, file) in forms.iter().zip(files) {
        if !knowledge_edits::has_file(caller.db(), &id, &file.id).await? {
            fresh.push((form, file));
        }
    }
    if fresh.is_empty() {
        return with_files(caller.db(), &id).await;
    }
    let batch: Vec<FileText> = fresh.iter().map(|(_, file)| file.clone()).collect();
    let ids: Vec<&str> = fresh.iter().map(|(_, file)| file.id.as_str()).collect();
    note_loose(&caller, &id, &ids).await?;
    let done = caller
        .app()
        .retrieval
        .process_batch(caller.user(), batch, &id)
        .await?;
    let news = json!({ "count": done.completed.len(), "errors": done.failed.len() });
    let about = ("retrieval.collection", id.as_str());
    caller.tell_of("retrieval.content.processed", about, news);
    let mut tx = caller.db().begin().await?;
    for (form, file) in &fresh {
        if done.completed.contains(&file.id) {
            let folder = form.directory_id.as_deref().filter(|folder| !folder.is_empty());
            let now = caller.db().now();
            knowledge_edits::link(&mut tx, now, &id, &file.id, caller.id(), folder).await?;
        }
    }
    tx.commit().await?;
    with_files(caller.db(), &id).await
}

/// All texts of a collection as an archive.
pub(super) async fn export(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Response> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), &id).await?;
    let entry = entry.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    if is_external(&entry.row) {
        return Err(ApiError::bad_request("External knowledge bases are read-only."));
    }
    let files = file_texts::of_knowledge(caller.db(), &id).await?;
    let archive = tokio::task::spawn_blocking(move || archive(&files))
        .await
        .map_err(ApiError::internal)?;
    let archive = archive.map_err(ApiError::internal)?;
    let name: String = entry
        .row
        .name
        .chars()
        .map(|letter| {
            if letter.is_alphanumeric() || " -_".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect();
    let name = utf8_percent_encode(&format!("{name}.zip"), KEPT).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename*=UTF-8''{name}"),
        ),
    ];
    Ok((headers, archive).into_response())
}

const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn archive(files: &[FileText]) -> zip::result::ZipResult<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let mut used = std::collections::HashSet::new();
    for file in files {
        let Some(content) = file.content().filter(|content| !content.is_empty()) else {
            continue;
        };
        let name = file.name();
        let stem = name
            .strip_suffix(".txt")
            .unwrap_or(name)
            .replace(['/', '\\'], "_");
        // Two files of one name both get into the archive.
        let name = std::iter::once(format!("{stem}.txt"))
            .chain((2..).map(|number| format!("{stem} ({number}).txt")))
            .find(|name| !used.contains(name))
            .unwrap_or_default();
        writer.start_file(name.as_str(), options)?;
        writer.write_all(content.as_bytes())?;
        used.insert(name);
    }
    Ok(writer.finish()?.into_inner())
}
