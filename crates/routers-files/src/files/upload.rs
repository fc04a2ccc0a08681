//! Uploads: the form is read as it comes in, bytes go straight to the storage, and what can not be kept is gone again
//! before the answer. After that the file is worked on, in the background unless the caller wants to wait.

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use http::header;
use oui_access::Action;
use oui_config::{Config, audio, loaders, rag};
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_loaders::ingest::ProcessFile;
use oui_models::files::{self, FileRow};
use oui_models::knowledge;
use oui_models::loose_chunks;
use oui_models::users::UserRow;
use oui_models::{Db, channels, grants, groups};
use oui_storage::{Incoming, Storage, StorageError};
use oui_web::{App, Caller, Query, Verified};
use serde_json::{Map, Value, json};

use super::{EMPTY_CONTENT, too_large};

form! {
    pub(crate) struct UploadQuery {
        process: bool = true,
        process_in_background: bool = true,
    }
}

/// Bytes of the field `metadata` at most.
const MAX_METADATA: usize = 1024 * 1024;

/// Looked at to tell text from binary data.
const SAMPLE: usize = 8192;

/// A received file with what the client said about it.
pub struct Upload {
    /// Name as sent.
    pub filename: String,
    /// Type as sent.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Incoming,
    /// The bytes' beginning.
    pub sample: Vec<u8>,
    /// What else the client wants to be kept.
    pub metadata: Map<String, Value>,
}

/// What becomes of an upload.
#[derive(Debug, Clone, Copy)]
pub struct UploadOptions {
    /// Whether its text is wanted.
    pub process: bool,
    /// Whether the answer comes before that.
    pub in_background: bool,
}

/// Megabytes that a file may have; none for no limit.
pub(crate) fn size_limit(config: &Config) -> Option<i64> {
    config.get(&rag::RAG_FILE_MAX_SIZE).filter(|size| *size > 0)
}

pub(crate) fn bytes_of(megabytes: i64) -> u64 {
    u64::try_from(megabytes)
        .unwrap_or_default()
        .saturating_mul(1024 * 1024)
}

fn failed() -> ApiError {
    ApiError::bad_request(messages::default_with("Error uploading file"))
}

fn missing_file() -> ApiError {
    ApiError::unprocessable(vec![
        json!({ "type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": null }),
    ])
}

fn not_a_file(text: &str) -> ApiError {
    ApiError::unprocessable(vec![json!({
        "type": "value_error", "loc": ["body", "file"], "input": text, "ctx": { "error": {} },
        "msg": "Value error, Expected UploadFile, received: <class 'str'>",
    })])
}

pub(crate) async fn upload(
    caller: Caller<Verified>,
    Query(query): Query<UploadQuery>,
    mut request: Request,
) -> ApiResult<Json<Value>> {
    // Files have a limit of their own, which administrators set.
    DefaultBodyLimit::disable().apply(&mut request);
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("multipart/form-data"));
    if !is_form {
        return Err(missing_file());
    }
    let app = caller.app().clone();
    let form = Multipart::from_request(request, &app)
        .await
        .map_err(|_| missing_file())?;
    let upload = receive(&app, form, query.process).await?;
    let options = UploadOptions {
        process: query.process,
        in_background: query.process_in_background,
    };
    let row = keep_upload(&app, caller.db(), caller.user(), upload, options).await?;
    let news = json!({ "filename": row.filename, "content_type": row.meta_text("content_type") });
    caller.tell("file.uploaded", row.id.as_str(), news);
    let mut answer = row.to_item();
    if query.process {
        answer.insert("status".into(), json!(true));
        answer.insert("path".into(), json!(row.path));
    }
    Ok(Json(Value::Object(answer)))
}

/// Last part of a path.
fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Ending of a file name without the dot, in lower case. A dot at the beginning begins no ending.
pub(crate) fn extension(name: &str) -> String {
    match name.trim_start_matches('.').rsplit_once('.') {
        Some((_, ending)) => ending.to_lowercase(),
        None => String::new(),
    }
}

pub(crate) fn check_extension(config: &Config, filename: &str) -> ApiResult<()> {
    let allowed = config.get(&rag::RAG_ALLOWED_FILE_EXTENSIONS);
    let extension = extension(base_name(filename));
    if allowed.iter().all(String::is_empty) || allowed.contains(&extension) {
        return Ok(());
    }
    let text = format!("File type {extension} is not allowed");
    Err(ApiError::bad_request(messages::default_with(text)))
}

async fn receive(app: &App, mut form: Multipart, process: bool) -> ApiResult<Upload> {
    let limit = size_limit(&app.config);
    let mut received = None;
    let mut metadata = None;
    let broken = |_| ApiError::bad_request("There was an error parsing the body");
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("file") => {
                let Some(filename) = field.file_name().map(str::to_owned) else {
                    return Err(not_a_file(&field.text().await.map_err(broken)?));
                };
                if process {
                    check_extension(&app.config, &filename)?;
                }
                let content_type = field.content_type().map(str::to_owned);
                let mut bytes = app.storage.receive().await.map_err(not_stored)?;
                let mut sample = Vec::new();
                while let Some(piece) = field.chunk().await.map_err(broken)? {
                    bytes
                        .write(&piece)
                        .await
                        .map_err(|error| not_stored(error.into()))?;
                    if let Some(megabytes) = limit.filter(|limit| bytes.size() > bytes_of(*limit)) {
                        return Err(too_large(megabytes));
                    }
                    sample.extend(piece.iter().take(SAMPLE.saturating_sub(sample.len())));
                }
                received = Some((filename, content_type, bytes, sample));
            }
            Some("metadata") => {
                let mut text = Vec::new();
                while let Some(piece) = field.chunk().await.map_err(broken)? {
                    text.extend_from_slice(&piece);
                    if text.len() > MAX_METADATA {
                        return Err(invalid_metadata());
                    }
                }
                metadata = Some(text);
            }
            _ => {}
        }
    }
    let (filename, content_type, bytes, sample) = received.ok_or_else(missing_file)?;
    Ok(Upload {
        filename,
        content_type,
        bytes,
        sample,
        metadata: read_metadata(metadata.as_deref().unwrap_or_default())?,
    })
}

fn invalid_metadata() -> ApiError {
    ApiError::bad_request(messages::default_with("Invalid metadata format"))
}

fn read_metadata(text: &[u8]) -> ApiResult<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text).map_err(|_| invalid_metadata())? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(false) => Ok(Map::new()),
        Value::Array(items) if items.is_empty() => Ok(Map::new()),
        Value::String(text) if text.is_empty() => Ok(Map::new()),
        _ => Err(failed()),
    }
}

fn not_stored(error: StorageError) -> ApiError {
    tracing::error!(%error, "an upload could not be stored");
    match error {
        StorageError::Io(error) => match error.kind() {
            std::io::ErrorKind::StorageFull => {
                ApiError::bad_request(messages::default_with("No space left on device"))
            }
            std::io::ErrorKind::PermissionDenied => {
                ApiError::bad_request(messages::default_with("Permission denied"))
            }
            _ => failed(),
        },
        StorageError::NameTooLong => ApiError::bad_request(messages::default_with("File name too long")),
        _ => failed(),
    }
}

/// Keeps an upload as a file of the user, and has it worked on if wanted. The answer is the row as it was before
/// that.
///
/// # Errors
/// 400 with what the reference says; nothing is left in the storage then.
pub async fn keep_upload(
    app: &App,
    db: &Db,
    user: &UserRow,
    mut upload: Upload,
    options: UploadOptions,
) -> ApiResult<FileRow> {
    let row = store(&app.storage, db, user, &mut upload, options.process).await?;
    if options.process {
        let work = Work {
            app: app.clone(),
            db: db.clone(),
            user: user.clone(),
            file_id: row.id.clone(),
            content_type: upload.content_type,
            is_text: is_text(&upload.sample),
            metadata: upload.metadata,
        };
        if options.in_background {
            tokio::spawn(work.run());
        } else {
            work.run().await;
        }
    }
    Ok(row)
}

/// Keeps an upload as a file of the user.
///
/// # Errors
/// 400 with what the reference says; nothing is left in the storage then.
pub async fn store(
    storage: &Storage,
    db: &Db,
    user: &UserRow,
    upload: &mut Upload,
    process: bool,
) -> ApiResult<FileRow> {
    if upload.bytes.size() == 0 {
        return Err(ApiError::bad_request(EMPTY_CONTENT));
    }
    let id = ids::uuid();
    let name = base_name(&upload.filename).to_owned();
    let tags = [
        ("OpenWebUI-User-Email", user.email.as_str()),
        ("OpenWebUI-User-Id", user.id.as_str()),
        ("OpenWebUI-User-Name", user.name.as_str()),
        ("OpenWebUI-File-Id", id.as_str()),
    ];
    let stored = storage
        .keep(&mut upload.bytes, &format!("{id}_{name}"), &tags)
        .await;
    let path = match stored {
        Err(StorageError::NameTooLong) => {
            let short = match extension(&name).as_str() {
                "" => id.clone(),
                extension => format!("{id}.{extension}"),
            };
            storage.keep(&mut upload.bytes, &short, &tags).await
        }
        other => other,
    }
    .map_err(not_stored)?;
    let row = new_row(db, user, upload, id, name, path, process);
    if let Err(error) = insert(db, user, &row, &upload.metadata).await {
        if let Some(path) = &row.path
            && let Err(error) = storage.delete(path).await
        {
            tracing::error!(%error, path, "a file without a row stays in the storage");
        }
        tracing::error!(%error, "an upload has no row");
        return Err(failed());
    }
    Ok(row)
}

fn new_row(
    db: &Db,
    user: &UserRow,
    upload: &Upload,
    id: String,
    name: String,
    path: String,
    process: bool,
) -> FileRow {
    // A client that compares files with ours may have computed the checksum already.
    let file_hash = upload
        .metadata
        .get("file_hash")
        .filter(|hash| !hash.is_null() && hash.as_str() != Some(""))
        .cloned()
        .unwrap_or_else(|| json!(upload.bytes.sha256()));
    let now = db.now();
    FileRow {
        id,
        user_id: user.id.clone(),
        hash: None,
        path: Some(path),
        data: Some(if process {
            json!({ "status": "pending" })
        } else {
            json!({})
        }),
        meta: Some(json!({
            "name": name, "content_type": upload.content_type, "size": upload.bytes.size(), "file_hash": file_hash,
            "data": upload.metadata,
        })),
        filename: name,
        created_at: Some(now),
        updated_at: Some(now),
    }
}

/// Inserts the row and its place in the channel that the upload was made for.
async fn insert(db: &Db, user: &UserRow, row: &FileRow, metadata: &Map<String, Value>) -> ApiResult<()> {
    let channel = metadata.get("channel_id").and_then(Value::as_str);
    let channel = match channel {
        Some(id) => {
            let membership = groups::membership(db, &user.id).await?;
            let mine = channels::ids_of_user(db, &user.id, &membership, false).await?;
            mine.contains(&id.to_owned()).then_some(id)
        }
        None => None,
    };
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    if let Some(channel) = channel {
        files::note_in_channel(&mut tx, channel, &row.id, &user.id).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Whether bytes look like text: names lie about types, bytes of value zero do not.
fn is_text(sample: &[u8]) -> bool {
    !sample.is_empty() && !sample.contains(&0)
}

/// Whether a type is one of the list, whose entries may end in `/*`.
fn matches_type(list: &[String], content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or_default().trim();
    list.iter()
        .map(|entry| entry.trim())
        .any(|entry| match entry.split_once('/') {
            Some((kind, "*")) => kind == "*" || plain.split('/').next() == Some(kind),
            Some(_) => entry.eq_ignore_ascii_case(plain),
            None => false,
        })
}

/// Types that are transcribed.
fn is_speech(config: &Config, content_type: &str) -> bool {
    let mut list = config.get(&audio::AUDIO_STT_SUPPORTED_CONTENT_TYPES);
    list.retain(|entry| entry.contains('/'));
    if list.is_empty() {
        list = vec!["audio/*".into(), "video/webm".into()];
    }
    matches_type(&list, content_type)
}

/// Whether the extraction engine takes pictures and films of this type.
fn engine_takes(config: &Config, content_type: &str) -> bool {
    let engine = config.get(&loaders::CONTENT_EXTRACTION_ENGINE);
    match config.get(&loaders::CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES) {
        None => engine == "external",
        Some(list) => !engine.is_empty() && matches_type(&list, content_type),
    }
}

/// The work on one file.
struct Work {
    app: App,
    db: Db,
    user: UserRow,
    file_id: String,
    content_type: Option<String>,
    is_text: bool,
    metadata: Map<String, Value>,
}

impl Work {
    async fn run(self) {
        let outcome = self.steps().await;
        let marked = match outcome {
            Ok(()) => files::set_completed(&self.db, &self.file_id).await,
            Err(error) => {
                tracing::warn!(file = %self.file_id, %error, "a file could not be worked on");
                files::set_failed(&self.db, &self.file_id, &error.detail_text(), false).await
            }
        };
        if let Err(error) = marked {
            tracing::error!(file = %self.file_id, %error, "the state of a file could not be stored");
        }
    }

    async fn steps(&self) -> ApiResult<()> {
        files::set_processing(&self.db, &self.file_id).await?;
        let mut content_type = self.content_type.as_deref();
        let is_media = |kind: &str| kind.starts_with("image/") || kind.starts_with("video/");
        if self.is_text && content_type.is_some_and(is_media) {
            content_type = Some("text/plain");
        }
        let config = &self.app.config;
        match content_type {
            Some(kind) if is_speech(config, kind) => {
                return Err(ApiError::bad_request(format!(
                    "File type {kind} is not supported for processing"
                )));
            }
            Some(kind) if is_media(kind) && !engine_takes(config, kind) => {
                // Films are kept as they are for models that look at them.
                if kind.starts_with("image/") {
                    return Err(ApiError::bad_request(format!(
                        "File type {kind} is not supported for processing"
                    )));
                }
            }
            _ => self.index(None).await?,
        }
        match self.metadata.get("knowledge_id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => self.link(id).await,
            _ => Ok(()),
        }
    }

    async fn index(&self, collection: Option<&str>) -> ApiResult<()> {
        let job = ProcessFile {
            file_id: self.file_id.clone(),
            content: None,
            collection_name: collection.map(str::to_owned),
        };
        self.app.ingest.process_file(&self.user, job).await.map(drop)
    }

    /// Puts the file into the collection that it was uploaded for, if the user may write there.
    async fn link(&self, knowledge_id: &str) -> ApiResult<()> {
        let Some(row) = files::collection(&self.db, knowledge_id).await? else {
            return Ok(());
        };
        let may_write = row.user_id == self.user.id || self.user.role == oui_access::ADMIN || {
            let membership = groups::membership(&self.db, &self.user.id).await?;
            let right = Action::Write.as_str();
            grants::allows(
                &self.db,
                knowledge::KIND,
                &row.id,
                right,
                &self.user.id,
                &membership,
            )
            .await?
        };
        if !may_write {
            tracing::warn!(file = %self.file_id, knowledge_id, "not put into a collection that the user may not write");
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        loose_chunks::note(&mut tx, knowledge_id, &[&self.file_id]).await?;
        tx.commit().await?;
        self.index(Some(knowledge_id)).await?;
        let wanted = self.metadata.get("directory_id").and_then(Value::as_str);
        let directory = match wanted.filter(|id| !id.is_empty()) {
            Some(id) => knowledge::directories(&self.db, knowledge_id)
                .await?
                .into_iter()
                .find(|directory| directory.id == id)
                .map(|directory| directory.id),
            None => None,
        };
        files::note_in_knowledge(
            &self.db,
            knowledge_id,
            &self.file_id,
            &self.user.id,
            directory.as_deref(),
        )
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_found() {
        assert_eq!(extension("a.TXT"), "txt");
        assert_eq!(extension("a.tar.gz"), "gz");
        assert_eq!(extension(".bashrc"), "");
        assert_eq!(extension("README"), "");
        assert_eq!(base_name("a/b/c.txt"), "c.txt");
    }

    #[test]
    fn types_match_lists() {
        let list = ["audio/*".to_owned(), "video/webm".to_owned()];
        assert!(matches_type(&list, "audio/mpeg"));
        assert!(matches_type(&list, "video/webm; codecs=vp8"));
        assert!(!matches_type(&list, "video/mp4"));
        assert!(!matches_type(&["nonsense".into()], "nonsense"));
    }

    #[test]
    fn metadata_is_an_object_or_nothing() {
        assert_eq!(read_metadata(b"").unwrap(), Map::new());
        assert_eq!(read_metadata(b"null").unwrap(), Map::new());
        assert_eq!(read_metadata(b"{\"a\": 1}").unwrap()["a"], 1);
        let refused = |text: &[u8]| read_metadata(text).unwrap_err().detail_text();
        assert_eq!(refused(b"{no"), "[ERROR: Invalid metadata format]");
        assert_eq!(refused(b"[1]"), "[ERROR: Error uploading file]");
    }

    #[test]
    fn text_has_no_zeros() {
        assert!(is_text("const a = 1".as_bytes()));
        assert!(!is_text(b"\x89PNG\0"));
        assert!(!is_text(b""));
    }
}
