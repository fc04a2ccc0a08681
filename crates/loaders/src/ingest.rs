//! The seam between files and what makes them findable. Files are uploaded, changed and deleted by the routers;
//! whoever implements [`Ingest`] turns them into something that can be searched.

use async_trait::async_trait;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::users::UserRow;
use serde_json::{Map, Value};

use crate::Document;

/// A file to work on.
#[derive(Debug, Clone, Default)]
pub struct ProcessFile {
    /// Row of `file`.
    pub file_id: String,
    /// Text that replaces the file's own.
    pub content: Option<String>,
    /// Collection of a knowledge base to add the file to; none is the file's own collection.
    pub collection_name: Option<String>,
}

/// What was done with a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Processed {
    /// Collection that holds the chunks; none where embedding is bypassed.
    pub collection_name: Option<String>,
    /// Name of the file.
    pub filename: String,
    /// Its text.
    pub content: String,
}

/// How documents go into a collection.
#[derive(Debug, Clone, Default)]
pub struct SaveOptions {
    /// Laid over the metadata of every chunk.
    pub metadata: Map<String, Value>,
    /// Replaces the collection.
    pub overwrite: bool,
    /// Adds to a collection that exists; otherwise an existing one is left as it is.
    pub add: bool,
    /// Cuts the documents first.
    pub split: bool,
}

/// Makes files and texts findable.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Extracts a file's text (or takes the given one), stores it and its hash on the row, and indexes it for `user`,
    /// who must be allowed to write the file and the collection. Failures are written to the row, too.
    async fn process_file(&self, user: &UserRow, job: ProcessFile) -> ApiResult<Processed>;

    /// Puts the present chunks of a file into a knowledge base, in place of those that it has of it.
    async fn refresh_in(&self, user: &UserRow, file_id: &str, knowledge_id: &str) -> ApiResult<()> {
        let job = ProcessFile {
            file_id: file_id.to_owned(),
            content: None,
            collection_name: Some(knowledge_id.to_owned()),
        };
        self.process_file(user, job).await.map(drop)
    }

    /// Refuses users who may not write a collection.
    async fn demand_collection(&self, _user: &UserRow, _collection: &str) -> ApiResult<()> {
        Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
    }

    /// Cuts, embeds and stores documents in a collection. Whether the user may write there is the caller's business.
    async fn save(
        &self,
        user: &UserRow,
        documents: Vec<Document>,
        collection: &str,
        options: SaveOptions,
    ) -> ApiResult<()>;

    /// Drops a file's own collection and its chunks in the given knowledge bases.
    async fn forget_file(&self, file_id: &str, hash: Option<&str>, knowledge: &[String]) -> ApiResult<()>;

    /// Drops a collection.
    async fn forget_collection(&self, collection: &str) -> ApiResult<()>;

    /// Drops everything.
    async fn forget_all(&self) -> ApiResult<()>;
}
