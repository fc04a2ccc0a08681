//! Folders inside a collection.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::{file_texts, knowledge_edits};
use oui_web::{Body, Caller, Query, Verified};
use serde_json::{Value, json};

use super::files::take_out;
use super::{STRICT, folder_in, writable};

form! {
    /// A new folder.
    pub(super) struct NewForm {
        /// Name shown.
        name: String,
        /// Folder that it lies in; none for the top.
        parent_id: Option<String>,
    }
}

form! {
    /// A change of a folder.
    pub(super) struct EditForm {
        /// Name shown.
        name: Option<String>,
        /// Folder that it lies in; kept when absent.
        parent_id: Option<String>,
    }
}

form! {
    /// Where a file goes.
    pub(super) struct MoveForm {
        /// Which file.
        file_id: String,
        /// Folder; none for the top.
        directory_id: Option<String>,
    }
}

form! {
    /// What becomes of the files.
    pub(super) struct RemoveQuery {
        /// They move to the folder above; otherwise they leave the collection.
        move_files: bool = true,
    }
}

pub(super) async fn create(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<NewForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    let parent = folder_in(
        caller.db(),
        &id,
        form.parent_id.as_deref(),
        "Parent directory not found.",
    )
    .await?;
    let made = knowledge_edits::make_directory(caller.db(), &id, &form.name, caller.id(), parent).await?;
    let text = "Failed to create directory. A directory with this name may already exist at this level.";
    let made = made.ok_or_else(|| ApiError::bad_request(text))?;
    let news = json!({ "knowledge_id": id, "name": made.name, "parent_id": made.parent_id });
    caller.tell("knowledge.directory.created", made.id.as_str(), news);
    Ok(Json(made.to_json()))
}

async fn folder(
    caller: &Caller<Verified>,
    id: &str,
    folder: &str,
) -> ApiResult<oui_models::knowledge::DirectoryRow> {
    match knowledge_edits::directory(caller.db(), folder).await? {
        Some(row) if row.knowledge_id == id => Ok(row),
        _ => Err(ApiError::not_found(messages::NOT_FOUND)),
    }
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path((id, folder_id)): Path<(String, String)>,
    body: Body<EditForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    let row = folder(&caller, &id, &folder_id).await?;
    let parent = match body.raw.get("parent_id") {
        None => None,
        Some(_) if body.form.parent_id.as_deref() == Some("__unset__") => None,
        Some(_) => {
            let parent = body.form.parent_id.as_deref();
            Some(folder_in(caller.db(), &id, parent, "Parent directory not found.").await?)
        }
    };
    let changed =
        knowledge_edits::edit_directory(caller.db(), &row, body.form.name.as_deref(), parent).await?;
    let text = "Failed to update directory. This may be caused by a naming conflict or circular move.";
    let changed = changed.ok_or_else(|| ApiError::bad_request(text))?;
    let news = json!({ "knowledge_id": id, "name": changed.name, "parent_id": changed.parent_id });
    caller.tell("knowledge.directory.updated", changed.id.as_str(), news);
    Ok(Json(changed.to_json()))
}

pub(super) async fn remove(
    caller: Caller<Verified>,
    Path((id, folder_id)): Path<(String, String)>,
    Query(query): Query<RemoveQuery>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    let row = folder(&caller, &id, &folder_id).await?;
    let gone = knowledge_edits::remove_directory(caller.db(), &row, !query.move_files).await?;
    let keeps = caller.app().settings.engines.keep_knowledge_files;
    for file_id in &gone {
        if let Some(file) = file_texts::get(caller.db(), file_id).await? {
            take_out(&caller, &id, &file, !keeps).await?;
        }
    }
    let news = json!({ "knowledge_id": id, "move_files": query.move_files });
    caller.tell("knowledge.directory.deleted", folder_id, news);
    Ok(Json(json!({ "status": true, "file_ids": gone })))
}

pub(super) async fn move_file(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<MoveForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, STRICT).await?;
    if !knowledge_edits::has_file(caller.db(), &id, &form.file_id).await? {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    let folder = form.directory_id.as_deref();
    let folder = folder_in(caller.db(), &id, folder, "Target directory not found.").await?;
    knowledge_edits::move_file(caller.db(), &id, &form.file_id, folder).await?;
    let news = json!({ "knowledge_id": id, "directory_id": form.directory_id });
    caller.tell("knowledge.file.moved", form.file_id.as_str(), news);
    Ok(Json(json!({ "status": true })))
}
