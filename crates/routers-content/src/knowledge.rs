//! Collections of files that models answer from: `/api/v1/knowledge`. Here they are listed, shown and shared; `changes`
//! makes, renames and empties them, `files` fills them, `folders` orders them, `sync` compares them with a folder of
//! the client's.

mod changes;
mod external;
mod files;
mod folders;
mod sync;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::knowledge::{self, FileFilter, KnowledgeRow, Linked};
use oui_models::shared::{self, Entry, Filter};
use oui_models::{Db, grants, knowledge_edits};
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::common::{GrantsForm, ORDERS, PAGE, Reading, demanded_grants, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "knowledge" at "/api/v1/knowledge";
        GET  "/"                     Verified => all,
        GET  "/search"               Verified => search,
        GET  "/search/files"         Verified => search_files,
        GET  "/external/connections" Admin    => external::list,
        POST "/external/connections" Admin    => external::create,
        GET  "/external/connections/{id}"   Admin => external::get,
        PATCH "/external/connections/{id}"  Admin => external::update,
        DELETE "/external/connections/{id}" Admin => external::remove,
        POST "/external/connections/{id}/test" Admin => external::check,
        POST "/external/connections/{id}/retrieve-test" Admin => external::try_source,
        POST "/external/source/test"        Admin => external::try_new_source,
        POST "/external/source/create"      Admin => external::create_with_connection,
        PATCH "/external/source/{id}"       Admin => external::update_with_connection,
        POST "/external/knowledge/create"   Admin => external::create_knowledge,
        POST "/create"               Verified => changes::create,
        POST "/reindex"              Verified => changes::reindex,
        POST "/metadata/reindex"     Admin    => changes::reindex_names,
        GET  "/{id}"                 Verified => get,
        POST "/{id}/update"          Verified => changes::update,
        POST "/{id}/access/update"   Verified => set_access,
        GET  "/{id}/files"           Verified => list_files,
        GET  "/{id}/files/pending"   Verified => pending,
        POST "/{id}/file/add"        Verified => files::add,
        POST "/{id}/file/update"     Verified => files::update,
        POST "/{id}/file/remove"     Verified => files::remove,
        POST "/{id}/file/move"       Verified => folders::move_file,
        POST "/{id}/files/batch/add" Verified => files::add_many,
        DELETE "/{id}/delete"        Verified => changes::remove,
        POST "/{id}/reset"           Verified => changes::reset,
        POST "/{id}/sync/diff"       Verified => sync::diff,
        POST "/{id}/sync/cleanup"    Verified => sync::cleanup,
        GET  "/{id}/export"          Admin    => files::export,
        POST "/{id}/dirs/create"     Verified => folders::create,
        POST "/{id}/dirs/{dir_id}/update"   Verified => folders::update,
        DELETE "/{id}/dirs/{dir_id}/delete" Verified => folders::remove,
    }
}

form! {
    /// Which collections.
    struct SearchQuery {
        /// Text to look for.
        query: Option<String>,
        /// `created` or `shared`.
        view_option: Option<String>,
        /// `local` or `external`.
        source: Option<String>,
        /// From 1.
        page: i64 = 1,
        /// Name of a column.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
    }
}

form! {
    /// Which files of all collections.
    struct FilesSearchQuery {
        /// Text in the name.
        query: Option<String>,
        /// Looks into the text too.
        include_content: bool = false,
        /// From 1.
        page: i64 = 1,
    }
}

form! {
    /// Which files of a collection.
    struct FilesQuery {
        /// Text in the name.
        query: Option<String>,
        /// Looks into the text too.
        include_content: bool = false,
        /// `created` or `shared`.
        view_option: Option<String>,
        /// Name of a column.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
        /// Folder; empty for the top, absent for all.
        directory_id: Option<String>,
        /// From 1.
        page: i64 = 1,
        /// Files of a page; for administrators.
        limit: Option<i64>,
    }
}

type Knowledge = Entry<KnowledgeRow>;

/// A page of collections with owners and file counts.
async fn page(caller: &Caller<Verified>, reading: &Reading, filter: &Filter<'_>) -> ApiResult<Json<Value>> {
    let page = shared::search::<KnowledgeRow>(caller.db(), filter).await?;
    let ids: Vec<String> = page.entries.iter().map(|entry| entry.row.id.clone()).collect();
    let counts = knowledge::file_counts(caller.db(), &ids).await?;
    let item = |entry: &Knowledge| {
        let mut item = entry.row.to_json(&entry.grants);
        item.insert("user".into(), entry.user_json());
        item.insert(
            "file_count".into(),
            json!(counts.get(&entry.row.id).copied().unwrap_or(0)),
        );
        item.insert("write_access".into(), json!(reading.may(entry, "write")));
        Value::Object(item)
    };
    let items: Vec<Value> = page.entries.iter().map(item).collect();
    Ok(Json(json!({ "items": items, "total": page.total })))
}

/// Collections changed last come first.
const NEWEST: &str = "r.updated_at DESC";

form! {
    /// Which page.
    struct PageQuery {
        /// From 1.
        page: i64 = 1,
    }
}

async fn all(caller: Caller<Verified>, Query(query): Query<PageQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let filter = Filter::readable(reading.reader(), format!("{NEWEST}, r.id")).page(query.page, PAGE);
    page(&caller, &reading, &filter).await
}

async fn search(caller: Caller<Verified>, Query(query): Query<SearchQuery>) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let order = shared::order(ORDERS, given(&query.order_by), given(&query.direction), NEWEST);
    let mut filter = Filter::readable(reading.reader(), format!("{order}, r.id")).page(query.page, PAGE);
    filter.view = given(&query.view_option);
    if let Some(text) = given(&query.query) {
        filter = filter.and(shared::contains(
            &["r.name", "r.description", "u.name", "u.email", "u.username"],
            text,
        ));
    }
    match given(&query.source) {
        Some("external") => filter = filter.and(knowledge::source(caller.db().dialect(), true)),
        Some("local") => filter = filter.and(knowledge::source(caller.db().dialect(), false)),
        _ => {}
    }
    page(&caller, &reading, &filter).await
}

fn file_json(linked: &Linked) -> Map<String, Value> {
    let mut json = linked.file.to_json();
    json.insert("directory_id".into(), Value::Null);
    json.insert("directory_path".into(), json!(""));
    json.insert("has_original".into(), json!(true));
    json.insert(
        "user".into(),
        linked.user.as_ref().map_or(Value::Null, shared::user_json),
    );
    json
}

async fn search_files(
    caller: Caller<Verified>,
    Query(query): Query<FilesSearchQuery>,
) -> ApiResult<Json<Value>> {
    let reading = Reading::of(&caller).await?;
    let mut conditions = vec![knowledge::readable(reading.as_user())];
    if let Some(text) = given(&query.query) {
        conditions.push(mentions(&caller, text, query.include_content));
    }
    let window = ((query.page.max(1) - 1).saturating_mul(PAGE), PAGE);
    let filter = FileFilter {
        conditions,
        order: "f.updated_at DESC, f.id".into(),
        window,
    };
    let (files, total) = knowledge::files(caller.db(), &filter).await?;
    let mut items = Vec::new();
    for linked in &files {
        let mut item = file_json(linked);
        let collection = shared::get::<KnowledgeRow>(caller.db(), &linked.knowledge_id).await?;
        let collection = collection.map_or(Value::Null, |entry| {
            Value::Object(entry.row.to_json(&entry.grants))
        });
        item.insert("collection".into(), collection);
        items.push(Value::Object(item));
    }
    Ok(Json(
        json!({ "items": items, "directories": [], "breadcrumbs": [], "total": total }),
    ))
}

fn mentions(caller: &Caller<Verified>, text: &str, content: bool) -> shared::Condition {
    let searched = content.then_some(caller.app().settings.engines.file_search_chars);
    knowledge::file_mentions(caller.db().dialect(), text, searched)
}

/// The collection, when the caller may read it.
async fn readable(
    caller: &Caller<Verified>,
    id: &str,
    missing: ApiError,
    denied: ApiError,
) -> ApiResult<Knowledge> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), id)
        .await?
        .ok_or(missing)?;
    if Reading::of(caller).await?.may_or_admin(&entry, "read") {
        Ok(entry)
    } else {
        Err(denied)
    }
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let missing = ApiError::not_found(messages::NOT_FOUND);
    let entry = readable(
        &caller,
        &id,
        missing,
        ApiError::unauthorized(messages::ACCESS_PROHIBITED),
    )
    .await?;
    let mut json = entry.row.to_json(&entry.grants);
    json.insert("files".into(), Value::Null);
    json.insert(
        "write_access".into(),
        json!(Reading::of(&caller).await?.may(&entry, "write")),
    );
    Ok(Json(Value::Object(json)))
}

async fn set_access(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<GrantsForm>,
) -> ApiResult<Json<Value>> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), &id).await?;
    let entry = entry.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    if !Reading::of(&caller).await?.may_or_admin(&entry, "write") {
        return Err(ApiError::bad_request(messages::ACCESS_PROHIBITED));
    }
    let wanted = demanded_grants(&caller, knowledge::KIND, body.form.access_grants).await?;
    grants::set(caller.db(), knowledge::KIND, &id, &wanted).await?;
    caller.tell(
        "knowledge.access_updated",
        id.as_str(),
        json!({ "name": entry.row.name }),
    );
    with_files(caller.db(), &id).await
}

/// A collection with what is known of its files.
async fn with_files(db: &Db, id: &str) -> ApiResult<Json<Value>> {
    let Some(entry) = shared::get::<KnowledgeRow>(db, id).await? else {
        return Ok(Json(Value::Null));
    };
    let filter = FileFilter {
        conditions: vec![("k.knowledge_id = ?".into(), vec![id.into()])],
        order: "f.id".into(),
        window: (0, i64::MAX),
    };
    let files = knowledge::files(db, &filter).await?.0;
    let meta = |linked: &Linked| {
        let file = &linked.file;
        json!({
            "id": file.id, "hash": file.hash, "meta": file.meta, "created_at": file.created_at,
            "updated_at": file.updated_at,
        })
    };
    let mut json = entry.row.to_json(&entry.grants);
    json.insert("files".into(), files.iter().map(meta).collect());
    json.insert("write_access".into(), json!(false));
    Ok(Json(Value::Object(json)))
}

/// How a change of a collection is refused.
#[derive(Clone, Copy)]
struct Refusals {
    missing: fn() -> ApiError,
    denied: fn() -> ApiError,
    /// Whether collections that lie elsewhere may be changed, too.
    external: bool,
}

/// Most changes.
const PLAIN: Refusals = Refusals {
    missing: || ApiError::bad_request(messages::NOT_FOUND),
    denied: || ApiError::bad_request(messages::ACCESS_PROHIBITED),
    external: false,
};

/// Changes of folders, and comparisons.
const STRICT: Refusals = Refusals {
    missing: || ApiError::not_found(messages::NOT_FOUND),
    denied: || ApiError::forbidden(messages::ACCESS_PROHIBITED),
    external: false,
};

fn is_external(row: &KnowledgeRow) -> bool {
    row.meta
        .as_ref()
        .and_then(|meta| meta.get("source")?.as_str())
        .is_some_and(|source| source == "external")
}

/// The collection, when the caller may change it.
async fn writable(caller: &Caller<Verified>, id: &str, refusals: Refusals) -> ApiResult<Knowledge> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), id).await?;
    let entry = entry.ok_or_else(refusals.missing)?;
    if is_external(&entry.row) && !refusals.external {
        return Err(ApiError::bad_request("External knowledge bases are read-only."));
    }
    if Reading::of(caller).await?.may_or_admin(&entry, "write") {
        Ok(entry)
    } else {
        Err((refusals.denied)())
    }
}

/// Refuses a folder that is not in the collection. No folder, or an empty id, is the top.
async fn folder_in<'a>(
    db: &Db,
    id: &str,
    folder: Option<&'a str>,
    refusal: &str,
) -> ApiResult<Option<&'a str>> {
    let Some(folder) = folder.filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    match knowledge_edits::directory(db, folder).await? {
        Some(row) if row.knowledge_id == id => Ok(Some(folder)),
        _ => Err(ApiError::not_found(refusal)),
    }
}

async fn list_files(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<FilesQuery>,
) -> ApiResult<Json<Value>> {
    let missing = ApiError::bad_request(messages::NOT_FOUND);
    readable(
        &caller,
        &id,
        missing,
        ApiError::bad_request(messages::ACCESS_PROHIBITED),
    )
    .await?;
    let mut conditions: Vec<shared::Condition> =
        vec![("k.knowledge_id = ?".into(), vec![id.as_str().into()])];
    let folder = given(&query.directory_id);
    match (folder, &query.directory_id) {
        (Some(folder), _) => conditions.push(("k.directory_id = ?".into(), vec![folder.into()])),
        (None, Some(_)) => conditions.push(("k.directory_id IS NULL".into(), Vec::new())),
        (None, None) => {}
    }
    if let Some(text) = given(&query.query) {
        conditions.push(mentions(&caller, text, query.include_content));
    }
    match given(&query.view_option) {
        Some("created") => conditions.push(("k.user_id = ?".into(), vec![caller.id().into()])),
        Some("shared") => conditions.push(("k.user_id <> ?".into(), vec![caller.id().into()])),
        _ => {}
    }
    let columns = [
        ("name", "f.filename"),
        ("created_at", "f.created_at"),
        ("updated_at", "f.updated_at"),
    ];
    let order = shared::order(
        &columns,
        given(&query.order_by),
        given(&query.direction),
        "f.updated_at DESC",
    );
    let size = query
        .limit
        .filter(|_| caller.is_admin())
        .map_or(PAGE, |limit| limit.max(1));
    let window = ((query.page.max(1) - 1).saturating_mul(size), size);
    let filter = FileFilter {
        conditions,
        order: format!("{order}, f.id"),
        window,
    };
    let (files, total) = knowledge::files(caller.db(), &filter).await?;
    let tree = Tree(knowledge::directories(caller.db(), &id).await?);
    let item = |linked: &Linked| {
        let mut item = file_json(linked);
        item.insert("directory_id".into(), json!(linked.directory_id));
        item.insert(
            "directory_path".into(),
            json!(tree.path(linked.directory_id.as_deref())),
        );
        item.insert(
            "has_original".into(),
            json!(linked.file.path.as_deref().is_some_and(|path| !path.is_empty())),
        );
        Value::Object(item)
    };
    Ok(Json(json!({
        "items": files.iter().map(item).collect::<Vec<_>>(),
        "directories": tree.inside(folder),
        "breadcrumbs": tree.line(folder).iter().map(|folder| folder.to_json()).collect::<Vec<_>>(),
        "total": total,
    })))
}

/// The folders of a collection.
struct Tree(Vec<knowledge::DirectoryRow>);

impl Tree {
    /// A folder and those that it lies in, outermost first. Stops at cycles.
    fn line(&self, id: Option<&str>) -> Vec<&knowledge::DirectoryRow> {
        let mut line: Vec<&knowledge::DirectoryRow> = Vec::new();
        let mut next = id;
        while let Some(folder) = next.and_then(|id| self.0.iter().find(|folder| folder.id == id)) {
            if line.iter().any(|seen| seen.id == folder.id) {
                break;
            }
            line.push(folder);
            next = folder.parent_id.as_deref();
        }
        line.reverse();
        line
    }

    fn path(&self, id: Option<&str>) -> String {
        let names: Vec<&str> = self.line(id).iter().map(|folder| folder.name.as_str()).collect();
        names.join("/")
    }

    fn inside(&self, id: Option<&str>) -> Value {
        self.0
            .iter()
            .filter(|folder| folder.parent_id.as_deref() == id)
            .map(|folder| folder.to_json())
            .collect()
    }
}

/// Files that are still being read.
async fn pending(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let missing = ApiError::not_found(messages::NOT_FOUND);
    readable(
        &caller,
        &id,
        missing,
        ApiError::bad_request(messages::ACCESS_PROHIBITED),
    )
    .await?;
    let files = knowledge::pending_files(caller.db(), &id).await?;
    let item = |(file, data): &(knowledge::FileItem, Value)| {
        let mut item = file.to_json();
        item.insert("data".into(), data.clone());
        item.insert("path".into(), json!(file.path));
        Value::Object(item)
    };
    Ok(Json(files.iter().map(item).collect()))
}
