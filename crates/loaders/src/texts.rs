//! The half of [`Ingest`](crate::ingest::Ingest) that has nothing to do with vectors: from a file's row to its
//! documents, and an implementation that stops there, for servers that give whole texts to their models.

use oui_core::boxed;
use std::sync::Arc;

use async_trait::async_trait;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::files::{self, FileRow};
use oui_models::users::UserRow;
use oui_models::{Db, folder_files, groups};
use oui_storage::Storage;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::ingest::{Ingest, ProcessFile, Processed, SaveOptions};
use crate::{Document, Loader, Source};

/// No text where some is needed.
pub const EMPTY_CONTENT: &str =
    "The content provided is empty. Please ensure that there is text or data present before proceeding.";

/// Parts of metadata that repeat the text itself.
const LEFT_OUT: &[&str] = &[
    "content",
    "pages",
    "tables",
    "paragraphs",
    "sections",
    "figures",
    "documents",
    "keyValuePairs",
    "styles",
    "languages",
];

/// SHA-256 of a text in hexadecimal.
pub fn text_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The file, if the user may change it.
///
/// # Errors
/// 404 when there is none or the user may not.
#[boxed]
pub async fn writable(db: &Db, id: &str, user: &UserRow) -> ApiResult<FileRow> {
    let missing = || ApiError::not_found(messages::NOT_FOUND);
    let row = files::by_id(db, id).await?.ok_or_else(missing)?;
    if row.user_id == user.id || user.role == "admin" {
        return Ok(row);
    }
    let membership = groups::membership(db, &user.id).await?;
    if folder_files::may_write_file(db, id, user, &membership).await? {
        Ok(row)
    } else {
        Err(missing())
    }
}

fn kept(metadata: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    metadata
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
}

/// What every document and chunk of a file says about the file: what the client said, what the upload was, and the
/// reader's own words between them.
pub fn file_metadata(row: &FileRow, of_reader: &Map<String, Value>) -> Map<String, Value> {
    let mut metadata = Map::new();
    if let Some(Value::Object(meta)) = &row.meta {
        if let Some(Value::Object(data)) = meta.get("data") {
            metadata.extend(kept(data));
        }
        metadata.extend(kept(meta).filter(|(name, value)| name != "data" || !value.is_object()));
    }
    metadata.extend(kept(of_reader));
    for (name, value) in [
        ("name", &row.filename),
        ("created_by", &row.user_id),
        ("file_id", &row.id),
        ("source", &row.filename),
    ] {
        metadata.insert(name.into(), json!(value));
    }
    metadata
}

/// One document with the file's metadata.
pub fn whole(row: &FileRow, text: impl Into<String>) -> Document {
    Document {
        text: text.into(),
        metadata: file_metadata(row, &Map::new()),
    }
}

/// The documents of a file and its text: from `content` when given, otherwise from the stored bytes.
///
/// # Errors
/// 400 with what the reader says.
#[boxed]
pub async fn read(
    storage: &Storage,
    loader: &Loader,
    user: &UserRow,
    row: &FileRow,
    content: Option<&str>,
) -> ApiResult<(Vec<Document>, String)> {
    if let Some(content) = content {
        return Ok((
            vec![whole(row, content.replace("<br/>", "\n"))],
            content.to_owned(),
        ));
    }
    let Some(path) = row.path.as_deref().filter(|path| !path.is_empty()) else {
        return Ok((vec![whole(row, row.content())], row.content().to_owned()));
    };
    let refused = |text: String| ApiError::bad_request(text);
    let local = storage
        .local(path)
        .await
        .map_err(|error| refused(error.to_string()))?;
    let source = Source {
        path: local.path(),
        name: &row.filename,
        content_type: row.meta_text("content_type"),
        file_id: Some(&row.id),
        user: Some(user),
    };
    let mut documents = loader
        .extract(&source)
        .await
        .map_err(|error| refused(error.to_string()))?;
    for document in &mut documents {
        document.metadata = file_metadata(row, &document.metadata);
    }
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let text = texts.join(" ");
    Ok((documents, text))
}

/// Keeps texts and indexes nothing.
pub struct TextOnly {
    /// Rows.
    pub db: Db,
    /// Bytes.
    pub storage: Arc<Storage>,
    /// Readers.
    pub loader: Arc<Loader>,
}

impl TextOnly {
    async fn steps(&self, user: &UserRow, row: &FileRow, job: &ProcessFile) -> ApiResult<String> {
        let content = match &job.collection_name {
            // A collection gets what is known of the file already.
            Some(_) if job.content.is_none() => row
                .data_text("content")
                .ok_or_else(|| ApiError::bad_request(EMPTY_CONTENT))?
                .to_owned(),
            _ => {
                read(&self.storage, &self.loader, user, row, job.content.as_deref())
                    .await?
                    .1
            }
        };
        files::set_content(&self.db, &row.id, &content).await?;
        files::set_indexed(&self.db, &row.id, &text_hash(&content), None).await?;
        Ok(content)
    }
}

#[async_trait]
impl Ingest for TextOnly {
    async fn process_file(&self, user: &UserRow, job: ProcessFile) -> ApiResult<Processed> {
        let row = writable(&self.db, &job.file_id, user).await?;
        match self.steps(user, &row, &job).await {
            Ok(content) => Ok(Processed {
                collection_name: None,
                filename: row.filename,
                content,
            }),
            Err(error) => {
                files::set_failed(&self.db, &row.id, &error.detail_text(), true).await?;
                Err(error)
            }
        }
    }

    async fn save(&self, _: &UserRow, _: Vec<Document>, _: &str, _: SaveOptions) -> ApiResult<()> {
        Ok(())
    }

    async fn forget_file(&self, _: &str, _: Option<&str>, _: &[String]) -> ApiResult<()> {
        Ok(())
    }

    async fn forget_collection(&self, _: &str) -> ApiResult<()> {
        Ok(())
    }

    async fn forget_all(&self) -> ApiResult<()> {
        Ok(())
    }
}
