//! What every vector store can do, whichever server or file is behind it. One file per engine; all of them are held
//! to the same tests (`conformance`).

mod chroma;
#[cfg(test)]
pub(crate) mod conformance;
mod documents;
mod embedded;
mod filter;
mod mariadb;
mod matrix;
mod milvus;
mod pgvector;
mod pinecone;
mod plain;
mod qdrant;
mod rows;
mod s3;
mod server;
mod shared;
mod sign;
mod valkey;
mod weaviate;

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::{Map, Value};

pub use chroma::Chroma;
pub use documents::Documents;
pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use filter::Filter;
pub use mariadb::MariaDb;
pub(crate) use matrix::likeness;
pub use milvus::{Milvus, Target};
pub use pgvector::{PgLayout, PgVector};
pub use pinecone::Pinecone;
pub use plain::plain;
pub use qdrant::Qdrant;
pub use s3::S3Vectors;
pub(crate) use server::Server;
pub use valkey::Valkey;
pub use weaviate::Weaviate;

use crate::error::Result;

/// What is kept beside a text. Values are texts, numbers and truth values; see [`crate::vector::plain`].
pub type Metadata = Map<String, Value>;

/// A text with its vector, to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Unique in its collection.
    pub id: String,
    /// The text.
    pub text: String,
    /// Its embedding.
    pub vector: Vec<f32>,
    /// What is known of it.
    pub metadata: Metadata,
}

/// A kept text without its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unique in its collection.
    pub id: String,
    /// The text.
    pub text: String,
    /// What is known of it.
    pub metadata: Metadata,
}

/// A kept text with its vector, for moves to another engine.
pub type Record = Item;

/// A kept text that was looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The text.
    pub entry: Entry,
    /// From 0 (opposite) over 0.5 (nothing in common) to 1 (same direction); of text searches, any scale.
    pub score: f64,
}

/// A place that keeps texts with vectors, in named collections. All methods may be called at the same time from
/// many tasks, and none blocks the thread. A collection that does not exist is `None` where something is asked of
/// it, and no failure where something is removed from it.
#[async_trait]
pub trait VectorStore: Send + Sync {
    /// Name of the engine, for logs.
    fn name(&self) -> &'static str;

    /// Whether the collection exists.
    async fn has(&self, collection: &str) -> Result<bool>;

    /// Adds items, or replaces those with the same ids. Makes the collection at the first item. All or none.
    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()>;

    /// Removes what the filter matches and adds the items. One step where the engine can.
    async fn replace(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        self.delete(collection, old).await?;
        self.insert(collection, items).await
    }

    /// The `limit` entries nearest to the vector, nearest first.
    async fn search(
        &self,
        collection: &str,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Hit>>>;

    /// Entries that the filter matches, oldest first.
    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>>;

    /// The `limit` entries that best match the words of a text. With `enriched` words
    /// of names and headings count too. `None` when the engine has no such index.
    async fn text_search(
        &self,
        collection: &str,
        text: &str,
        limit: usize,
        enriched: bool,
    ) -> Result<Option<Vec<Hit>>> {
        let _ = (collection, text, limit, enriched);
        Ok(None)
    }

    /// How near these entries are to the vector, by id: a search among them, unless the engine has a better way.
    /// `None` when it can not tell for single entries.
    async fn scores(
        &self,
        collection: &str,
        vector: &[f32],
        ids: &[String],
    ) -> Result<Option<HashMap<String, f64>>> {
        let filter = Filter::ids(ids.iter().cloned());
        let hits = self.search(collection, vector, &filter, ids.len()).await?;
        let pair = |hit: Hit| (hit.entry.id, hit.score);
        Ok(hits.map(|hits| hits.into_iter().map(pair).collect()))
    }

    /// Removes what the filter matches. An empty filter removes nothing.
    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()>;

    /// Removes a collection with all it holds.
    async fn drop_collection(&self, collection: &str) -> Result<()>;

    /// Removes all collections.
    async fn reset(&self) -> Result<()>;
}
