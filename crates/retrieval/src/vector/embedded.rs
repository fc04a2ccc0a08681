//! The vector store that needs no server: a SQLite file of its own, whose transactions survive a kill at any moment,
//! with the vectors of collections that are searched held in memory and an index of words beside it. The file is the
//! truth; memory and index are derived from it and catch up with it.

mod cache;
mod schema;
mod statements;

use oui_core::boxed;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;
use tokio::sync::Mutex;

use self::cache::Cache;
use super::matrix::likeness;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};
use crate::fulltext::TextIndex;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Folder for its files; made when missing.
    pub folder: PathBuf,
    /// Bytes that vectors in memory may take; the collection not searched for the longest time gives way.
    pub memory: usize,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

struct Shared {
    read: SqlitePool,
    /// The one writing connection, and with it the right to change what is derived from the file.
    write: Mutex<SqlitePool>,
    cache: Cache,
    words: TextIndex,
}

impl EmbeddedStore {
    /// Opens the store, making it when it is not there.
    #[boxed]
    pub async fn open(options: EmbeddedOptions) -> Result<Self> {
        let folder = options.folder.clone();
        tokio::task::spawn_blocking(move || std::fs::create_dir_all(folder))
            .await
            .map_err(|error| Error::Store(error.to_string()))?
            .map_err(|error| Error::Store(format!("{}: {error}", options.folder.display())))?;
        let (write, read) = schema::open(&options.folder.join("vectors.sqlite3")).await?;
        let words = TextIndex::new(options.folder.join("words"));
        Ok(Self {
            shared: Arc::new(Shared {
                read,
                write: Mutex::new(write),
                cache: Cache::new(options.memory),
                words,
            }),
        })
    }

    /// Ends running statements.
    #[boxed]
    pub async fn close(&self) {
        self.shared.read.close().await;
        self.shared.write.lock().await.close().await;
    }

    /// Brings the index of words up to date with the file. Searches for words do so by themselves; doing it after a
    /// large change spares the next search the wait.
    #[boxed]
    pub async fn catch_up(&self) -> Result<()> {
        let write = self.shared.write.lock().await;
        if self.shared.words.is_new().await? {
            statements::queue_all(&write).await?;
        }
        loop {
            let changes = statements::pending(&write).await?;
            let Some(last) = changes.last else {
                return Ok(());
            };
            self.shared
                .words
                .apply(changes.gone, changes.dropped, changes.texts)
                .await?;
            statements::settle(&write, last).await?;
        }
    }

    async fn write_items(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        let Some(width) = items.first().map(|item| item.vector.len()) else {
            return self.delete(collection, old).await;
        };
        let write = self.shared.write.lock().await;
        let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
        let known = statements::collection_in(&mut tx, collection).await?;
        let known = match known {
            Some(known) => known,
            None => statements::make_collection(&mut tx, collection, width).await?,
        };
        if let Some(item) = items.iter().find(|item| item.vector.len() != known.width) {
            return Err(Error::Dimension {
                expected: known.width,
                got: item.vector.len(),
            });
        }
        let mut gone: HashSet<i64> = HashSet::new();
        if !old.is_empty() {
            gone.extend(statements::remove(&mut tx, known.id, old).await?);
        }
        let ids = Filter::ids(items.iter().map(|item| item.id.clone()));
        gone.extend(statements::remove(&mut tx, known.id, &ids).await?);
        let entries = statements::add(&mut tx, known.id, &items).await?;
        tx.commit().await?;
        self.shared.cache.change(known.id, &gone, |matrix| {
            for (entry, item) in entries.iter().zip(&items) {
                matrix.push(*entry, &item.vector);
            }
        });
        Ok(())
    }
}

#[async_trait]
impl VectorStore for EmbeddedStore {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        Ok(statements::collection(&self.shared.read, collection)
            .await?
            .is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        self.write_items(collection, &Filter::all(), items).await
    }

    async fn replace(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        self.write_items(collection, old, items).await
    }

    async fn search(
        &self,
        collection: &str,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Hit>>> {
        let Some(known) = statements::collection(&self.shared.read, collection).await? else {
            return Ok(None);
        };
        if vector.len() != known.width {
            return Err(Error::Dimension {
                expected: known.width,
                got: vector.len(),
            });
        }
        let candidates = if filter.is_empty() {
            let matrix = match self.shared.cache.get(known.id) {
                Some(matrix) => matrix,
                None => {
                    // No write may fall between reading the vectors and keeping them.
                    let write = self.shared.write.lock().await;
                    match self.shared.cache.get(known.id) {
                        Some(matrix) => matrix,
                        None => {
                            let matrix = statements::matrix(&write, &known).await?;
                            self.shared.cache.put(known.id, matrix)
                        }
                    }
                }
            };
            let vector = vector.to_vec();
            // Enough that the loss of the first pass costs none of the nearest.
            let count = limit.saturating_mul(4).saturating_add(32);
            tokio::task::spawn_blocking(move || matrix.read().nearest(&vector, count))
                .await
                .map_err(|error| Error::Store(error.to_string()))?
        } else {
            statements::matching(&self.shared.read, known.id, filter, None).await?
        };
        let vectors = statements::vectors(&self.shared.read, &candidates).await?;
        let mut scored: Vec<(i64, f64)> = vectors
            .iter()
            .map(|(entry, other)| (*entry, likeness(vector, other)))
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.truncate(limit);
        self.hits(&scored).await.map(Some)
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let Some(known) = statements::collection(&self.shared.read, collection).await? else {
            return Ok(None);
        };
        let found = statements::matching(&self.shared.read, known.id, filter, limit).await?;
        let mut entries = statements::entries(&self.shared.read, &found).await?;
        Ok(Some(
            found.iter().filter_map(|entry| entries.remove(entry)).collect(),
        ))
    }

    async fn text_search(
        &self,
        collection: &str,
        text: &str,
        limit: usize,
        enriched: bool,
    ) -> Result<Option<Vec<Hit>>> {
        let Some(known) = statements::collection(&self.shared.read, collection).await? else {
            return Ok(Some(Vec::new()));
        };
        if self.shared.words.is_new().await? || statements::is_behind(&self.shared.read).await? {
            self.catch_up().await?;
        }
        let found = self.shared.words.search(known.id, text, limit, enriched).await?;
        self.hits(&found).await.map(Some)
    }

    async fn scores(
        &self,
        collection: &str,
        vector: &[f32],
        ids: &[String],
    ) -> Result<Option<HashMap<String, f64>>> {
        let Some(known) = statements::collection(&self.shared.read, collection).await? else {
            return Ok(None);
        };
        if vector.len() != known.width {
            return Err(Error::Dimension {
                expected: known.width,
                got: vector.len(),
            });
        }
        let vectors = statements::vectors_by_key(&self.shared.read, known.id, ids).await?;
        let score = |(key, other): (String, Vec<f32>)| (key, likeness(vector, &other));
        Ok(Some(vectors.into_iter().map(score).collect()))
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        let write = self.shared.write.lock().await;
        let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
        let Some(known) = statements::collection_in(&mut tx, collection).await? else {
            return Ok(());
        };
        let gone = statements::remove(&mut tx, known.id, filter)
            .await?
            .into_iter()
            .collect();
        tx.commit().await?;
        self.shared.cache.change(known.id, &gone, |_| {});
        Ok(())
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        let write = self.shared.write.lock().await;
        let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
        let Some(known) = statements::collection_in(&mut tx, collection).await? else {
            return Ok(());
        };
        statements::drop_collection(&mut tx, known.id).await?;
        tx.commit().await?;
        self.shared.cache.forget(known.id);
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let write = self.shared.write.lock().await;
        statements::clear(&write).await?;
        self.shared.cache.clear();
        self.shared.words.clear().await
    }
}

impl EmbeddedStore {
    async fn hits(&self, scored: &[(i64, f64)]) -> Result<Vec<Hit>> {
        let ids: Vec<i64> = scored.iter().map(|(entry, _)| *entry).collect();
        let mut entries = statements::entries(&self.shared.read, &ids).await?;
        Ok(scored
            .iter()
            .filter_map(|(id, score)| {
                Some(Hit {
                    entry: entries.remove(id)?,
                    score: *score,
                })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests;
