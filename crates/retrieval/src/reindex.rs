//! All vectors made anew from the stored texts: after a move to another vector store or another model, and at the
//! first start on an installation whose vectors lie in a store that is not read here.

use oui_core::boxed;
use std::collections::BTreeSet;

use oui_loaders::Document;
use oui_loaders::ingest::SaveOptions;
use oui_models::users;
use oui_models::{DbError, file_texts, knowledge_edits, marks, memories};
use serde_json::json;

use crate::error::{Error, Result};
use crate::ingest::{KNOWLEDGE_BASES, collection_of_file, metadata_of};
use crate::query::text_hash;
use crate::service::{Retrieval, caller_of};

/// Mark with the name of the store that holds everything, or of one that is being filled.
const MARK: &str = "vectors_in";

/// How far the work is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files, knowledge bases and owners of memories that are done.
    pub done: usize,
    /// Of so many.
    pub total: usize,
    /// Of the done ones those that failed; the log says why.
    pub failed: usize,
}

fn store_error(error: DbError) -> Error {
    Error::Store(error.to_string())
}

impl Retrieval {
    /// Whether the store may lack vectors of stored texts. Marks the store as complete when there are no texts.
    #[boxed]
    pub async fn needs_reindex(&self) -> Result<bool> {
        let mark = marks::get(&self.db, MARK).await.map_err(store_error)?;
        if mark.as_deref() == Some(self.store_name()) || self.is_bypassed() {
            return Ok(false);
        }
        let files = file_texts::ids_with_text(&self.db).await.map_err(store_error)?;
        if files.is_empty() && memories::all(&self.db).await.map_err(store_error)?.is_empty() {
            marks::set(&self.db, MARK, self.store_name())
                .await
                .map_err(store_error)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Makes vectors of all stored texts, and tells `show` after each step. With `missing_only` files that the store
    /// knows are left alone, unless another store was used in between: then what it knows is of another time. Fails
    /// when nothing can be embedded or kept at all.
    pub async fn reindex(&self, missing_only: bool, mut show: impl FnMut(Progress)) -> Result<Progress> {
        // One text that can be embedded tells that the engine works; a failure after that is the file's own.
        self.embedder
            .embed_one("test", crate::Purpose::Content, None)
            .await?;
        let mark = marks::get(&self.db, MARK).await.map_err(store_error)?;
        let filling = format!("filling {}", self.store_name());
        let goes_on = missing_only && mark.is_none_or(|mark| mark == filling);
        let emptied = if goes_on {
            None
        } else {
            Some(self.empty_store(&filling).await?)
        };
        let files = file_texts::ids_with_text(&self.db).await.map_err(store_error)?;
        let bases = knowledge_edits::all(&self.db).await.map_err(store_error)?;
        let owners: BTreeSet<String> = memories::all(&self.db)
            .await
            .map_err(store_error)?
            .into_iter()
            .filter_map(|row| row.user_id)
            .collect();
        let mut progress = Progress {
            total: files.len() + bases.len() + owners.len(),
            ..Progress::default()
        };
        let step = |progress: &mut Progress, good: bool| {
            progress.done += 1;
            progress.failed += usize::from(!good);
        };
        for id in files {
            // A file that came while the store was emptied may be there in part.
            let is_old = emptied.as_ref().is_none_or(|emptied| emptied.contains(&id));
            let done = self.reindex_file(&id, is_old).await;
            if let Err(error) = &done {
                tracing::warn!(%error, file = id, "a file could not be made findable again");
            }
            step(&mut progress, done.is_ok());
            show(progress);
        }
        for base in bases {
            let good = self
                .index_knowledge(&base.id, &base.name, base.description.as_deref())
                .await;
            step(&mut progress, good);
            show(progress);
        }
        let owners: Vec<String> = owners.into_iter().collect();
        for user in users::by_ids(&self.db, &owners).await.map_err(store_error)? {
            let done = self.reindex_memories(&user.id, &caller_of(&user)).await;
            if let Err(error) = &done {
                tracing::warn!(%error, user = user.id, "memories could not be made findable again");
            }
            step(&mut progress, done.is_ok());
            show(progress);
        }
        progress.done = progress.total;
        marks::set(&self.db, MARK, self.store_name())
            .await
            .map_err(store_error)?;
        Ok(progress)
    }

    /// Takes everything out of the store that is made here, and notes that it is being filled. Answers the files that
    /// were there before.
    async fn empty_store(&self, filling: &str) -> Result<BTreeSet<String>> {
        let files = file_texts::ids_with_text(&self.db).await.map_err(store_error)?;
        let bases = knowledge_edits::all(&self.db).await.map_err(store_error)?;
        let store = self.store().await?;
        store.drop_collection(KNOWLEDGE_BASES).await?;
        for base in bases {
            store.drop_collection(&base.id).await?;
        }
        for id in &files {
            store.drop_collection(&collection_of_file(id)).await?;
        }
        // Not before: who is interrupted here begins again.
        marks::set(&self.db, MARK, filling).await.map_err(store_error)?;
        Ok(files.into_iter().collect())
    }

    async fn reindex_file(&self, id: &str, missing_only: bool) -> Result<()> {
        let Some(file) = file_texts::get(&self.db, id).await.map_err(store_error)? else {
            return Ok(());
        };
        let content = file.content().unwrap_or_default().to_owned();
        let own = collection_of_file(id);
        let store = self.store().await?;
        let known = missing_only && store.has(&own).await?;
        let mut targets = knowledge_edits::of_file(&self.db, id)
            .await
            .map_err(store_error)?;
        targets.push(own);
        if known {
            return Ok(());
        }
        let mut options = SaveOptions {
            add: true,
            split: true,
            ..SaveOptions::default()
        };
        for (name, value) in [
            ("file_id", id),
            ("name", file.name()),
            ("hash", text_hash(&content).as_str()),
        ] {
            options.metadata.insert(name.into(), json!(value));
        }
        let document = Document {
            text: content,
            metadata: metadata_of(&file),
        };
        // The file's own collection comes last: where it is, the others are complete.
        self.keep_in(None, vec![document], &targets, &options).await
    }
}
