//! Skills, instructions with files that a model can be given: `/api/v1/skills`. Here they are listed, shown,
//! shared, switched and removed, and their versions looked at. Writing them and moving them in and out as files have
//! files of their own.

mod fetch;
mod files;
mod package;
mod transfer;
mod versions_of;
mod write;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::Path;
use axum::response::Response;
use http::header;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::grants;
use oui_models::shared::{self, Entry, Filter};
use oui_models::skills::{self, SkillRow, Snapshot};
use oui_models::versions::{self, Version};
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use self::files::{File, summaries};
use crate::common::{GrantsForm, ListQuery, ORDERS, PAGE, Reading, demanded_grants, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "skills" at "/api/v1/skills";
        GET    "/"                             Verified => all,
        GET    "/list"                         Verified => list,
        GET    "/export"                       Verified => transfer::export,
        POST   "/create"                       Verified => write::create,
        POST   "/load/url"                     Admin    => fetch::load,
        POST   "/import/preview"               Verified => transfer::preview,
        POST   "/import"                       Verified => transfer::import,
        GET    "/id/{id}"                      Verified => get,
        POST   "/id/{id}/update"               Verified => write::update,
        POST   "/id/{id}/update/version"       Verified => write::restore,
        POST   "/id/{id}/clone"                Verified => write::copy,
        POST   "/id/{id}/access/update"        Verified => set_access,
        POST   "/id/{id}/toggle"               Verified => toggle,
        DELETE "/id/{id}/delete"               Verified => delete,
        GET    "/id/{id}/files"                Verified => list_files,
        GET    "/id/{id}/files/content"        Verified => file,
        GET    "/id/{id}/history"              Verified => versions_of::history,
        GET    "/id/{id}/history/diff"         Verified => versions_of::difference,
        GET    "/id/{id}/history/diff/file"    Verified => versions_of::file_difference,
        GET    "/id/{id}/history/{history_id}" Verified => versions_of::version,
        DELETE "/id/{id}/history/{history_id}" Verified => versions_of::remove,
    }
}

form! {
    /// Which skills.
    struct NameQuery {
        /// Text in the name.
        query: Option<String>,
    }
}

form! {
    /// Which version's files.
    struct FilesQuery {
        /// The live one when absent.
        version_id: Option<String>,
    }
}

form! {
    /// Which file.
    struct FileQuery {
        /// Path in the skill.
        path: String,
        /// Version.
        version_id: String,
    }
}

type Skill = Entry<SkillRow>;

fn item(entry: &Skill) -> Map<String, Value> {
    let mut item = entry.row.to_json(&entry.grants);
    item.insert("user".into(), entry.user_json());
    item
}

async fn all(caller: Caller<Verified>, Query(query): Query<NameQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let filter = Filter::readable(reading.reader(), "r.updated_at DESC, r.id");
    let mut entries = shared::list::<SkillRow>(caller.db(), &filter).await?;
    if let Some(text) = given(&query.query) {
        let text = text.to_lowercase();
        entries.retain(|entry| entry.row.name.to_lowercase().contains(&text));
    }
    Ok(Json(
        entries.iter().map(|entry| Value::Object(item(entry))).collect(),
    ))
}

async fn list(caller: Caller<Verified>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let order = shared::order(
        ORDERS,
        given(&query.order_by),
        given(&query.direction),
        "r.updated_at DESC",
    );
    let mut filter = Filter::readable(reading.reader(), order).page(query.page, PAGE);
    filter.view = given(&query.view_option);
    if let Some(text) = given(&query.query) {
        let (columns, mut args) =
            shared::contains(&["r.name", "r.description", "r.id", "u.name", "u.email"], text);
        let (meta, more) = shared::json_contains("r.meta", text);
        args.extend(more);
        filter = filter.and((format!("({columns} OR {meta})"), args));
    }
    let page = shared::search::<SkillRow>(caller.db(), &filter).await?;
    let items: Vec<Value> = page
        .entries
        .iter()
        .map(|entry| {
            let mut item = item(entry);
            item.insert("write_access".into(), json!(reading.may(entry, "write")));
            Value::Object(item)
        })
        .collect();
    Ok(Json(json!({ "items": items, "total": page.total })))
}

async fn find(caller: &Caller<Verified>, id: &str) -> ApiResult<Option<Skill>> {
    Ok(shared::get(caller.db(), id).await?)
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = find(&caller, &id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let reading = Reading::of(&caller).await?;
    if !reading.may(&entry, "read") {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let mut json = entry.row.to_json(&entry.grants);
    json.insert("user".into(), Value::Null);
    json.insert("write_access".into(), json!(reading.may(&entry, "write")));
    json.insert("content".into(), json!(entry.row.content));
    Ok(Json(Value::Object(json)))
}

/// The skill, when the caller may write it.
async fn writable(caller: &Caller<Verified>, id: &str) -> ApiResult<Skill> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    if Reading::of(caller).await?.may(&entry, "write") {
        Ok(entry)
    } else {
        Err(ApiError::unauthorized(messages::UNAUTHORIZED))
    }
}

/// The skill, when the caller may write it; for the routes about versions.
async fn writable_version(caller: &Caller<Verified>, id: &str) -> ApiResult<Skill> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::not_found("Skill not found"))?;
    if Reading::of(caller).await?.may(&entry, "write") {
        Ok(entry)
    } else {
        Err(ApiError::forbidden("Access denied"))
    }
}

/// The skill without its text, as its creation answers it.
fn item_of(entry: &Skill) -> Map<String, Value> {
    entry.row.to_json(&entry.grants)
}

/// The whole skill, as writing routes answer it, and the news of what was done to it.
async fn told(caller: &Caller<Verified>, id: &str, news: &'static str) -> ApiResult<Json<Value>> {
    if let Some(entry) = find(caller, id).await? {
        caller.tell(news, id, json!({ "name": entry.row.name }));
    }
    written(caller, id).await
}

/// [`told`] without news.
async fn written(caller: &Caller<Verified>, id: &str) -> ApiResult<Json<Value>> {
    let Some(entry) = find(caller, id).await? else {
        return Ok(Json(Value::Null));
    };
    let mut json = entry.row.to_json(&entry.grants);
    json.insert("content".into(), json!(entry.row.content));
    json.insert("data".into(), json!(entry.row.data));
    Ok(Json(Value::Object(json)))
}

async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id).await?;
    let wanted = demanded_grants(&caller, skills::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), skills::KIND, &id, &wanted).await?;
    let name = find(&caller, &id).await?.map(|entry| entry.row.name);
    caller.tell(
        "skill.updated",
        id.as_str(),
        json!({ "access_updated": true, "name": name }),
    );
    written(&caller, &id).await
}

async fn toggle(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = writable(&caller, &id).await?;
    skills::toggle(caller.db(), &id).await?;
    let news = if entry.row.is_active {
        "skill.disabled"
    } else {
        "skill.enabled"
    };
    told(&caller, &id, news).await
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = writable(&caller, &id).await?;
    skills::delete(caller.db(), &id).await?;
    caller.tell("skill.deleted", id, json!({ "name": entry.row.name }));
    Ok(Json(json!(true)))
}

/// The skill, when the caller may read it; for the routes about files and versions.
async fn readable(caller: &Caller<Verified>, id: &str) -> ApiResult<Skill> {
    let entry = find(caller, id)
        .await?
        .ok_or_else(|| ApiError::not_found("Skill not found"))?;
    if Reading::of(caller).await?.may(&entry, "read") {
        Ok(entry)
    } else {
        Err(ApiError::forbidden("Access denied"))
    }
}

/// What a version holds; the live one when none is named.
async fn snapshot_of(
    caller: &Caller<Verified>,
    skill: &Skill,
    version_id: Option<&str>,
) -> ApiResult<Snapshot> {
    match version_id.filter(|id| !id.is_empty() && skill.row.version_id.as_deref() != Some(*id)) {
        None => Ok(skill.row.snapshot()),
        Some(id) => Ok(Snapshot::from_json(
            &one_version(caller, skill, id).await?.snapshot,
        )),
    }
}

async fn one_version(caller: &Caller<Verified>, skill: &Skill, id: &str) -> ApiResult<Version> {
    let version = versions::SKILLS.get(caller.db(), &skill.row.id, id).await?;
    version.ok_or_else(|| ApiError::not_found("Skill version not found"))
}

/// Files of a version; of the live one when none is named.
async fn files_of(
    caller: &Caller<Verified>,
    skill: &Skill,
    version_id: Option<&str>,
) -> ApiResult<Vec<File>> {
    let snapshot = snapshot_of(caller, skill, version_id).await?;
    let files = snapshot.files.as_array().into_iter().flatten();
    Ok(files.map(File::from_json).collect())
}

async fn list_files(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<FilesQuery>,
) -> ApiResult<Json<Value>> {
    let skill = readable(&caller, &id).await?;
    let version_id = given(&query.version_id);
    let files = files_of(&caller, &skill, version_id).await?;
    let version_id = version_id.or(skill.row.version_id.as_deref());
    Ok(Json(
        json!({ "version_id": version_id, "files": summaries(&files) }),
    ))
}

/// Media type by the end of the path, for the kinds of files that skills hold.
fn media_type(path: &str) -> &'static str {
    let extension = path
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("md" | "markdown") => "text/markdown; charset=utf-8",
        Some("txt" | "log") => "text/plain; charset=utf-8",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("xml") => "text/xml; charset=utf-8",
        Some("py") => "text/x-python; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("sh") => "application/x-sh",
        Some("pdf") => "application/pdf",
        Some("zip") => "application/zip",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("svg") => "image/svg+xml",
        Some("webp") => "image/webp",
        _ => "application/octet-stream",
    }
}

/// Escapes everything but letters, digits and `_.-~`.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn file(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<FileQuery>,
) -> ApiResult<Response> {
    let skill = readable(&caller, &id).await?;
    let files = files_of(&caller, &skill, Some(&query.version_id)).await?;
    let file = files.iter().find(|file| file.path == query.path);
    let file = file.ok_or_else(|| ApiError::not_found("File not found"))?;
    let name = query.path.rsplit('/').next().unwrap_or_default();
    Response::builder()
        .header(header::CONTENT_TYPE, media_type(&query.path))
        .header(
            header::CONTENT_DISPOSITION,
            format!("attachment; filename*=UTF-8''{}", quoted(name)),
        )
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox")
        .header(header::CACHE_CONTROL, "private, no-store")
        .body(Bytes::from(file.bytes().map_err(ApiError::internal)?))
        .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_and_typed() {
        assert_eq!(media_type("x/SKILL.MD"), "text/markdown; charset=utf-8");
        assert_eq!(quoted("a b/ü.md"), "a%20b%2F%C3%BC.md");
    }
}
