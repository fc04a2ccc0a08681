//! Skills, instructions with files that a model can be given: `/api/v1/skills`. Here they are listed, shown,
//! shared, switched and removed; writing them is not.

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::Path;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::grants;
use oui_models::shared::{self, Entry, Filter};
use oui_models::skills::{self, SkillRow};
use oui_models::versions::{self, Version};
use oui_web::{Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::{GrantsForm, ListQuery, ORDERS, PAGE, Reading, demanded_grants, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "skills" at "/api/v1/skills";
        GET    "/"                             Verified => all,
        GET    "/list"                         Verified => list,
        GET    "/id/{id}"                      Verified => get,
        POST   "/id/{id}/access/update"        Verified => set_access,
        POST   "/id/{id}/toggle"               Verified => toggle,
        DELETE "/id/{id}/delete"               Verified => delete,
        GET    "/id/{id}/files"                Verified => files,
        GET    "/id/{id}/files/content"        Verified => file,
        GET    "/id/{id}/history"              Verified => history,
        GET    "/id/{id}/history/{history_id}" Verified => version,
    }
}

/// Versions of a page.
const VERSIONS: i64 = 20;

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

form! {
    /// Which versions.
    struct HistoryQuery {
        /// From 1.
        page: i64 = 1,
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
    let filter = Filter::readable(reading.reader(), "r.updated_at DESC");
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

/// The whole skill, as writing routes answer it.
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
    written(&caller, &id).await
}

async fn toggle(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    writable(&caller, &id).await?;
    skills::toggle(caller.db(), &id).await?;
    written(&caller, &id).await
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    writable(&caller, &id).await?;
    skills::delete(caller.db(), &id).await?;
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

/// Files of a version; of the live one when none is named.
async fn files_of(
    caller: &Caller<Verified>,
    skill: &Skill,
    version_id: Option<&str>,
) -> ApiResult<Vec<Value>> {
    let data = match version_id.filter(|id| skill.row.version_id.as_deref() != Some(*id)) {
        None => skill.row.data.clone(),
        Some(id) => {
            let version = versions::SKILLS.get(caller.db(), &skill.row.id, id).await?;
            let version = version.ok_or_else(|| ApiError::not_found("Skill version not found"))?;
            version.snapshot.get("data").cloned()
        }
    };
    let files = data
        .as_ref()
        .and_then(|data| data.get("files"))
        .and_then(Value::as_array);
    Ok(files.cloned().unwrap_or_default())
}

fn is_base64(file: &Value) -> bool {
    file.get("encoding").and_then(Value::as_str) == Some("base64")
}

fn bytes(file: &Value) -> Vec<u8> {
    let content = file.get("content").and_then(Value::as_str).unwrap_or_default();
    if is_base64(file) {
        STANDARD.decode(content).unwrap_or_default()
    } else {
        content.as_bytes().to_vec()
    }
}

fn summaries(files: &[Value]) -> Value {
    let summary = |file: &Value| json!({ "path": file.get("path"), "size": bytes(file).len(), "encoding": file.get("encoding") });
    files.iter().map(summary).collect()
}

async fn files(
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
    let file = files
        .iter()
        .find(|file| file.get("path").and_then(Value::as_str) == Some(query.path.as_str()));
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
        .body(Bytes::from(bytes(file)))
        .map_err(ApiError::internal)
}

async fn history(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let skip = (query.page.max(1) - 1).saturating_mul(VERSIONS);
    let list = versions::SKILLS.list(caller.db(), &id, skip, VERSIONS).await?;
    let item = |version: &Version| {
        let mut item = version.to_json();
        item.insert("user".into(), version.author_name());
        Value::Object(item)
    };
    Ok(Json(list.iter().map(item).collect()))
}

/// A version with the files named but not sent.
async fn version(
    caller: Caller<Verified>,
    Path((id, version_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    readable(&caller, &id).await?;
    let version = versions::SKILLS.get(caller.db(), &id, &version_id).await?;
    let version = version.ok_or_else(|| ApiError::not_found("Skill version not found"))?;
    let mut snapshot = version.snapshot.clone();
    if let Some(files) = snapshot.pointer_mut("/data/files") {
        *files = summaries(files.as_array().map(Vec::as_slice).unwrap_or_default());
    }
    let mut json = version.to_json();
    json.insert("snapshot".into(), snapshot);
    Ok(Json(Value::Object(json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_typed_and_measured() {
        let files = [
            json!({"path": "SKILL.md", "content": "Grüße"}),
            json!({"path": "a.png", "content": "AAEC", "encoding": "base64"}),
        ];
        assert_eq!(
            summaries(&files),
            json!([{"path": "SKILL.md", "size": 7, "encoding": null}, {"path": "a.png", "size": 3, "encoding": "base64"}])
        );
        assert_eq!(media_type("x/SKILL.MD"), "text/markdown; charset=utf-8");
        assert_eq!(quoted("a b/ü.md"), "a%20b%2F%C3%BC.md");
    }
}
