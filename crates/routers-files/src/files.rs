//! Area `files`: what people upload. Lists and changes are here, the upload in `upload`, the bytes in `content`, the
//! progress of the work on a file in `status`.

mod content;
mod loaded;
mod status;
pub(crate) mod upload;

use axum::Json;
use oui_core::form::Issues;
use oui_core::notice::preview;
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_loaders::ingest::ProcessFile;
use oui_models::files::{self, FileRow};
use oui_web::body::Body;
use oui_web::{Admin, Area, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use self::loaded::{MayRead, MayWrite};

/// Files on a page of the list.
const PAGE: i64 = 50;

/// No text where some is needed.
pub(crate) const EMPTY_CONTENT: &str =
    "The content provided is empty. Please ensure that there is text or data present before proceeding.";

/// The file is larger than the setting allows.
pub(crate) fn too_large(megabytes: i64) -> ApiError {
    let text = format!(
        "Oops! The file you're trying to upload is too large. Please upload a file that is less than {megabytes} MB."
    );
    ApiError::new(http::StatusCode::PAYLOAD_TOO_LARGE, text)
}

pub(crate) fn area() -> Area {
    endpoints! { "files" at "/api/v1/files";
        POST   "/"                         Verified => upload::upload,
        GET    "/"                         Verified => list,
        GET    "/search"                   Verified => search,
        GET    "/user/search"              Verified => search_own,
        GET    "/count"                    Verified => count,
        GET    "/user/count"               Verified => count_own,
        DELETE "/all"                      Admin    => delete_all,
        GET    "/{id}"                     MayRead  => get,
        GET    "/{id}/process/status"      MayRead  => status::status,
        GET    "/{id}/data/content"        MayRead  => text,
        POST   "/{id}/data/content/update" MayWrite => set_text,
        GET    "/{id}/content"             MayRead  => content::content,
        GET    "/{id}/content/html"        MayRead  => content::html,
        GET    "/{id}/content/{file_name}" MayRead  => content::download,
        POST   "/{id}/rename"              MayWrite => rename,
        DELETE "/{id}"                     MayWrite => delete,
    }
}

/// A whole number within bounds, for queries.
#[derive(Debug, Clone, Copy)]
struct Within<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Field for Within<MIN, MAX> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let number = i64::parse(input, issues)?;
        let (kind, msg, name, bound) = if number < MIN {
            let msg = format!("Input should be greater than or equal to {MIN}");
            ("greater_than_equal", msg, "ge", MIN)
        } else if number > MAX {
            let msg = format!("Input should be less than or equal to {MAX}");
            ("less_than_equal", msg, "le", MAX)
        } else {
            return Some(Self(number));
        };
        issues.push_ctx(kind, msg, input, json!({ name: bound }));
        None
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

form! {
    struct ListQuery {
        page: Within<1, { i64::MAX }> = Within(1),
        content: bool = true,
    }
}

form! {
    struct SearchQuery {
        filename: String,
        content: bool = true,
        skip: Within<0, { i64::MAX }> = Within(0),
        limit: Within<1, 1000> = Within(100),
    }
}

form! {
    struct OwnSearchQuery {
        filename: String = "*".to_owned(),
        content: bool = false,
        skip: Within<0, { i64::MAX }> = Within(0),
        limit: Within<1, 1000> = Within(50),
    }
}

form! {
    struct TextForm {
        content: String,
    }
}

form! {
    struct RenameForm {
        filename: String,
    }
}

/// Whose files a list shows: everybody's to an administrator whose role overrides grants.
fn shown_to(caller: &Caller<Verified>) -> Option<&str> {
    (!caller.bypasses_grants()).then(|| caller.id())
}

fn items(rows: Vec<FileRow>, content: bool, item: fn(&FileRow) -> Map<String, Value>) -> Vec<Value> {
    rows.into_iter()
        .map(|row| if content { row } else { row.without_content() })
        .map(|row| Value::Object(item(&row)))
        .collect()
}

async fn list(caller: Caller<Verified>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let user_id = shown_to(&caller);
    let skip = query.page.0.saturating_sub(1).saturating_mul(PAGE);
    let rows = files::page(caller.db(), user_id, skip, PAGE).await?;
    let total = files::count(caller.db(), user_id).await?;
    let items = items(rows, query.content, FileRow::to_item);
    Ok(Json(json!({ "items": items, "total": total })))
}

async fn search(caller: Caller<Verified>, Query(query): Query<SearchQuery>) -> ApiResult<Json<Value>> {
    let (skip, limit) = (query.skip.0, query.limit.0);
    let rows = files::search(caller.db(), shown_to(&caller), &query.filename, skip, limit).await?;
    if rows.is_empty() {
        return Err(ApiError::not_found("No files found matching the pattern."));
    }
    Ok(Json(Value::Array(items(rows, query.content, FileRow::to_item))))
}

async fn search_own(caller: Caller<Verified>, Query(query): Query<OwnSearchQuery>) -> ApiResult<Json<Value>> {
    let (skip, limit) = (query.skip.0, query.limit.0);
    let rows = files::search(caller.db(), Some(caller.id()), &query.filename, skip, limit).await?;
    Ok(Json(Value::Array(items(rows, query.content, FileRow::to_item))))
}

async fn count(caller: Caller<Verified>) -> ApiResult<Json<i64>> {
    Ok(Json(files::count(caller.db(), shown_to(&caller)).await?))
}

async fn count_own(caller: Caller<Verified>) -> ApiResult<Json<i64>> {
    Ok(Json(files::count(caller.db(), Some(caller.id())).await?))
}

/// The storage or the index refused a removal.
fn not_deleted(what: &str, error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "{what}");
    ApiError::bad_request(messages::default_with(what))
}

async fn delete_all(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    files::delete_all(caller.db()).await?;
    let app = caller.app();
    app.storage
        .delete_all()
        .await
        .map_err(|error| not_deleted("Error deleting files", error))?;
    app.ingest
        .forget_all()
        .await
        .map_err(|error| not_deleted("Error deleting files", error))?;
    caller.tell("file.deleted_all", Value::Null, Value::Null);
    Ok(Json(json!({ "message": "All files deleted successfully" })))
}

async fn get(file: loaded::File) -> ApiResult<Json<Value>> {
    Ok(Json(Value::Object(file.row.to_json())))
}

async fn text(file: loaded::File) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "content": file.row.content() })))
}

async fn set_text(file: loaded::FileToChange, body: Body<TextForm>) -> ApiResult<Json<Value>> {
    let content = body.form.content;
    if content.trim().is_empty() {
        return Err(ApiError::bad_request(EMPTY_CONTENT));
    }
    let (caller, id) = (&file.caller, &file.row.id);
    if let Some(megabytes) = upload::size_limit(&caller.app().config)
        && content.len() as u64 > upload::bytes_of(megabytes)
    {
        return Err(too_large(megabytes));
    }
    let failed = |text: &str| ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, text);
    let news = json!({ "content_preview": preview(&content) });
    let job = ProcessFile {
        file_id: id.clone(),
        content: Some(content),
        collection_name: None,
    };
    let ingest = &caller.app().ingest;
    if let Err(error) = ingest.process_file(caller.user(), job).await {
        tracing::error!(file = %id, %error, "a changed text could not be indexed");
        return Err(failed(
            "Failed to process indexed text. Your changes were not fully indexed.",
        ));
    }
    files::set_completed(caller.db(), id).await?;
    let mut whole = true;
    for knowledge in files::collections(caller.db(), id).await? {
        if let Err(error) = ingest.refresh_in(caller.user(), id, &knowledge.id).await {
            tracing::warn!(file = %id, knowledge = %knowledge.id, %error, "a changed text is not in a collection yet");
            whole = false;
        }
    }
    caller.tell("file.content_updated", id.as_str(), news);
    if !whole {
        return Err(failed(
            "Indexed text was saved, but some knowledge collections could not be reindexed. Retry saving to complete indexing.",
        ));
    }
    let row = files::by_id(caller.db(), id).await?;
    Ok(Json(
        json!({ "content": row.as_ref().map(FileRow::content).unwrap_or_default() }),
    ))
}

async fn rename(file: loaded::FileToChange, body: Body<RenameForm>) -> ApiResult<Json<Value>> {
    let row = files::rename(file.caller.db(), &file.row.id, &body.form.filename)
        .await?
        .ok_or_else(|| ApiError::bad_request(messages::default_with("Error renaming file")))?;
    let news = json!({ "filename": body.form.filename });
    file.caller.tell("file.renamed", row.id.as_str(), news);
    Ok(Json(Value::Object(row.to_json())))
}

async fn delete(file: loaded::FileToChange) -> ApiResult<Json<Value>> {
    let (db, app, row) = (file.caller.db(), file.caller.app(), &file.row);
    let knowledge: Vec<String> = files::collections(db, &row.id)
        .await?
        .into_iter()
        .map(|knowledge| knowledge.id)
        .collect();
    files::delete(db, &row.id).await?;
    if let Some(path) = &row.path {
        app.storage
            .delete(path)
            .await
            .map_err(|error| not_deleted("Error deleting files", error))?;
    }
    app.ingest
        .forget_file(&row.id, row.hash.as_deref(), &knowledge)
        .await
        .map_err(|error| not_deleted("Error deleting files", error))?;
    let news = json!({ "filename": row.filename });
    file.caller.tell("file.deleted", row.id.as_str(), news);
    Ok(Json(json!({ "message": "File deleted successfully" })))
}
