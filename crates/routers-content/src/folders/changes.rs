//! Making and changing folders, and saying who may use them.

use axum::Json;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::folders::{self, FolderChange, FolderRow};
use oui_models::users::UserRow;
use oui_models::{Db, folder_files, grants, shared, users};
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::loaded::{Editor, FolderOwner, FolderUser, Forbid, LoadedFolder, Manager, Missing, Visitor};
use crate::chats::sharing::{AccessForm, mode_of};
use crate::common::demanded_grants;

form! {
    /// A new folder.
    pub(crate) struct FolderForm {
        /// Name shown.
        name: String,
        /// Project.
        data: Option<Map<String, Value>>,
        /// Icon and the like.
        meta: Option<Map<String, Value>>,
        /// Folder it lies in.
        parent_id: Option<String>,
        ; .. unknown
    }
}

form! {
    /// What changes in a folder.
    pub(crate) struct FolderUpdateForm {
        /// New name.
        name: Option<String>,
        /// Merged into the project.
        data: Option<Map<String, Value>>,
        /// Merged into icon and the like.
        meta: Option<Map<String, Value>>,
        ; .. unknown
    }
}

/// Refuses fields that a form does not know.
fn forbid(unknown: &Map<String, Value>) -> ApiResult<()> {
    if unknown.is_empty() {
        return Ok(());
    }
    let issue = |(name, value): (&String, &Value)| {
        json!({
            "type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": value,
        })
    };
    Err(ApiError::unprocessable(unknown.iter().map(issue).collect()))
}

fn prohibited() -> ApiError {
    ApiError::forbidden(messages::ACCESS_PROHIBITED)
}

fn missing() -> ApiError {
    ApiError::not_found(messages::NOT_FOUND)
}

/// Refuses a second folder of a name in one place; `own` is the folder that may have it.
async fn demand_free_name(
    db: &Db,
    owner: &str,
    parent_id: Option<&str>,
    name: &str,
    own: Option<&str>,
) -> ApiResult<()> {
    match folders::in_place(db, owner, parent_id, name).await? {
        Some(folder) if Some(folder.id.as_str()) != own => Err(ApiError::bad_request(
            messages::default_with("Folder already exists"),
        )),
        _ => Ok(()),
    }
}

/// Refuses files that the user may not read.
async fn demand_readable(db: &Db, files: Option<&Value>, user: &UserRow) -> ApiResult<()> {
    match files {
        Some(files) if !folder_files::may_read_all(db, files, user).await? => Err(prohibited()),
        _ => Ok(()),
    }
}

async fn owner_of(db: &Db, folder: &FolderRow) -> ApiResult<UserRow> {
    users::by_id(db, &folder.user_id).await?.ok_or_else(missing)
}

/// Whose folder a new one becomes: in a folder of somebody else it belongs to that somebody.
async fn owner_of_new(caller: &Caller<Verified>, form: &FolderForm) -> ApiResult<String> {
    let db = caller.db();
    let parent = match form.parent_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => folders::by_id(db, id).await?,
        None => None,
    };
    let Some(parent) = parent.filter(|parent| parent.user_id != caller.id()) else {
        return Ok(caller.id().to_owned());
    };
    if !caller.is_admin() && !folders::may(db, &parent, caller.id(), "write").await? {
        return Err(prohibited());
    }
    if let Some(files) = form.data.as_ref().and_then(|data| data.get("files")) {
        demand_readable(db, Some(files), &owner_of(db, &parent).await?).await?;
    }
    Ok(parent.user_id)
}

pub(super) async fn create(FolderUser(caller): FolderUser, body: Body<FolderForm>) -> ApiResult<Json<Value>> {
    let (db, form) = (caller.db(), body.form);
    forbid(&form.unknown)?;
    demand_free_name(db, caller.id(), form.parent_id.as_deref(), &form.name, None).await?;
    demand_readable(
        db,
        form.data.as_ref().and_then(|data| data.get("files")),
        caller.user(),
    )
    .await?;
    let owner = owner_of_new(&caller, &form).await?;
    let FolderForm {
        name,
        data,
        meta,
        parent_id,
        ..
    } = form;
    let (data, meta) = (data.map(Value::Object), meta.map(Value::Object));
    let row = folders::create(db, &owner, parent_id, name, data, meta).await?;
    let details = json!({ "name": row.name, "parent_id": row.parent_id, "owner_id": row.user_id });
    caller.tell("folder.created", row.id.as_str(), details);
    Ok(Json(row.to_json()))
}

/// The changed folder, which may have gone meanwhile.
async fn changed(db: &Db, id: &str, change: FolderChange) -> ApiResult<FolderRow> {
    folders::change(db, id, change).await?.ok_or_else(missing)
}

pub(super) async fn update(
    loaded: LoadedFolder<Editor, Missing>,
    body: Body<FolderUpdateForm>,
) -> ApiResult<Json<Value>> {
    let (db, folder, form) = (loaded.caller.db(), &loaded.folder, body.form);
    forbid(&form.unknown)?;
    let stored = |field: &str| folder.data.as_ref().and_then(|data| data.get(field));
    if let Some(data) = &form.data {
        let keeps_mode = data
            .get("share_mode")
            .is_none_or(|mode| mode == stored("share_mode").unwrap_or(&Value::Null));
        if !loaded.is_own() && !loaded.caller.is_admin() && !keeps_mode {
            return Err(prohibited());
        }
    }
    if let Some(name) = &form.name {
        demand_free_name(
            db,
            &folder.user_id,
            folder.parent_id.as_deref(),
            name,
            Some(&folder.id),
        )
        .await?;
    }
    if let Some(files) = form.data.as_ref().and_then(|data| data.get("files")) {
        demand_readable(db, Some(files), &owner_of(db, folder).await?).await?;
        // Editors send the owner's files back; only what they add must be theirs to read.
        let known = stored("files")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let sent = files.as_array().into_iter().flatten();
        let added: Value = sent.filter(|entry| !known.contains(entry)).cloned().collect();
        demand_readable(db, Some(&added), loaded.caller.user()).await?;
    }
    if ["name", "data", "meta"]
        .iter()
        .any(|field| body.raw.get(*field).is_some_and(Value::is_null))
    {
        return Err(ApiError::bad_request(messages::default_with(
            "Error updating folder",
        )));
    }
    let change = FolderChange {
        name: form.name,
        data: form.data,
        meta: form.meta,
        ..FolderChange::default()
    };
    let row = changed(db, &folder.id, change).await?;
    loaded
        .caller
        .tell("folder.updated", row.id.as_str(), json!({ "name": row.name }));
    Ok(Json(row.to_json()))
}

form! {
    /// Where a folder goes.
    pub(crate) struct ParentForm {
        /// Folder it lies in; the top when absent.
        parent_id: Option<String>,
    }
}

pub(super) async fn move_to(
    loaded: LoadedFolder<FolderOwner, Missing>,
    body: Body<ParentForm>,
) -> ApiResult<Json<Value>> {
    let (db, folder, parent_id) = (loaded.caller.db(), &loaded.folder, body.form.parent_id);
    demand_free_name(
        db,
        &folder.user_id,
        parent_id.as_deref(),
        &folder.name,
        Some(&folder.id),
    )
    .await?;
    if let Some(id) = parent_id.as_deref().filter(|id| !id.is_empty())
        && folders::subtree(db, folder)
            .await?
            .iter()
            .any(|below| below == id)
    {
        let text = "Cannot move a folder into itself or one of its subfolders";
        return Err(ApiError::bad_request(messages::default_with(text)));
    }
    let change = FolderChange {
        parent_id: Some(parent_id),
        ..FolderChange::default()
    };
    let row = changed(db, &folder.id, change).await?;
    let details = json!({ "parent_id": row.parent_id });
    loaded
        .caller
        .tell("folder.parent_updated", row.id.as_str(), details);
    Ok(Json(row.to_json()))
}

form! {
    /// Whether a folder is open in the sidebar.
    pub(crate) struct ExpandedForm {
        /// Whether it is.
        is_expanded: bool,
    }
}

pub(super) async fn expand(
    loaded: LoadedFolder<Visitor, Missing>,
    body: Body<ExpandedForm>,
) -> ApiResult<Json<Value>> {
    if !loaded.is_own() {
        // Visitors keep in the client what they opened.
        return Ok(Json(loaded.folder.to_json()));
    }
    let change = FolderChange {
        is_expanded: Some(body.form.is_expanded),
        ..FolderChange::default()
    };
    Ok(Json(
        changed(loaded.caller.db(), &loaded.folder.id, change)
            .await?
            .to_json(),
    ))
}

pub(super) async fn set_access(
    loaded: LoadedFolder<Manager, Forbid>,
    body: Body<AccessForm>,
) -> ApiResult<Json<Value>> {
    let (db, folder) = (loaded.caller.db(), &loaded.folder);
    let mode = mode_of(&body.raw, body.form.share_mode);
    let audience = demanded_grants(&loaded.caller, folders::KIND, body.form.access_grants).await?;
    let mut tx = db.begin().await?;
    grants::replace(&mut tx, folders::KIND, &folder.id, &audience).await?;
    let mut row = Some(folder.clone());
    if let Some(mode) = mode {
        let data = Map::from_iter([("share_mode".to_owned(), json!(mode))]);
        let change = FolderChange {
            data: Some(data),
            ..FolderChange::default()
        };
        row = folders::change_in(&mut tx, &folder.id, change).await?;
    }
    tx.commit().await?;
    let details = json!({ "grant_count": audience.len() });
    loaded
        .caller
        .tell("folder.access_updated", folder.id.as_str(), details);
    let mut answer = row.ok_or_else(missing)?.to_json();
    answer["access_grants"] = shared::grants_json(&grants::of(db, folders::KIND, &folder.id).await?);
    Ok(Json(answer))
}
