//! From documents to kept vectors: cut, embed, keep. A file's chunks go into a collection in one step that replaces
//! those of the same file, so that a run that was cut off is simply run again.

use async_trait::async_trait;
use oui_core::boxed;
use oui_core::{ApiError, ApiResult, Notice, ids, messages};
use oui_loaders::ingest::{Ingest, ProcessFile, Processed, SaveOptions};
use oui_loaders::{Document, SplitSettings};
use oui_models::file_texts::{self, FileChange, FileText};
use oui_models::users::UserRow;
use oui_models::{knowledge_edits, loose_chunks};
use serde_json::{Map, Value, json};

use crate::access::Use;
use crate::embeddings::Purpose;
use crate::error::{Error, Result};
use crate::query::text_hash;
use crate::service::{Retrieval, caller_of};
use crate::vector::{Filter, Item, plain};

/// Collection of the names and descriptions of knowledge bases.
pub const KNOWLEDGE_BASES: &str = "knowledge-bases";

/// Name of a file's own collection.
pub fn collection_of_file(id: &str) -> String {
    format!("file-{id}")
}

/// Metadata of a file for its chunks: what came with the upload lies flat beside the file's own.
pub(crate) fn metadata_of(file: &FileText) -> Map<String, Value> {
    let mut stored = file
        .meta
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut metadata = match stored.shift_remove("data") {
        Some(Value::Object(uploaded)) => uploaded,
        _ => Map::new(),
    };
    metadata.extend(stored);
    for (name, value) in [
        ("name", json!(file.filename)),
        ("created_by", json!(file.user_id)),
        ("file_id", json!(file.id)),
        ("source", json!(file.filename)),
    ] {
        metadata.insert(name.to_owned(), value);
    }
    metadata
}

impl Retrieval {
    /// Whether the collection holds a text with this checksum under another file.
    #[boxed]
    pub async fn is_duplicate(&self, collection: &str, hash: &str, file_id: Option<&str>) -> Result<bool> {
        let store = self.store().await?;
        let found = store
            .query(collection, &Filter::eq("hash", hash), Some(1))
            .await?;
        let first = found.and_then(|found| found.into_iter().next());
        Ok(first.is_some_and(|entry| entry.metadata.get("file_id").and_then(Value::as_str) != file_id))
    }

    /// Cuts, embeds and keeps documents in a collection.
    #[boxed]
    pub async fn keep(
        &self,
        user: &UserRow,
        documents: Vec<Document>,
        collection: &str,
        options: &SaveOptions,
    ) -> Result<()> {
        let text = |name: &str| options.metadata.get(name).and_then(Value::as_str);
        if let Some(hash) = text("hash")
            && self.is_duplicate(collection, hash, text("file_id")).await?
        {
            return Err(Error::DuplicateContent);
        }
        self.keep_in(Some(user), documents, &[collection.to_owned()], options)
            .await
    }

    /// Cuts and embeds documents once, and keeps them in each of the collections.
    pub(crate) async fn keep_in(
        &self,
        user: Option<&UserRow>,
        documents: Vec<Document>,
        collections: &[String],
        options: &SaveOptions,
    ) -> Result<()> {
        let documents = if options.split {
            let settings = SplitSettings::of(&self.config);
            let counter = match settings.splitter.as_str() {
                "token_transformers" => self.embedder.counter().await?,
                _ => None,
            };
            let cut = move || match counter {
                Some(counter) => {
                    let count = move |text: &str| counter.count(text);
                    oui_loaders::split(documents, &settings, Some(&count))
                }
                None => oui_loaders::split(documents, &settings, None),
            };
            tokio::task::spawn_blocking(cut)
                .await
                .map_err(|error| Error::Store(error.to_string()))?
                .map_err(|error| Error::Settings(error.to_string()))?
        } else {
            documents
        };
        if documents.is_empty() {
            return Err(Error::EmptyContent);
        }
        let store = self.store().await?;
        let mut targets = Vec::new();
        for collection in collections {
            if options.overwrite || options.add || !store.has(collection).await? {
                targets.push(collection);
            }
        }
        if targets.is_empty() {
            return Ok(());
        }
        let items = self.items_of(user, documents, options).await?;
        let file = options.metadata.get("file_id").and_then(Value::as_str);
        for collection in targets {
            let mut items = items.clone();
            for item in &mut items {
                item.id = ids::uuid();
            }
            if options.overwrite {
                store.drop_collection(collection).await?;
            }
            match file {
                Some(id) => {
                    store
                        .replace(collection, &Filter::eq("file_id", id), items)
                        .await?
                }
                None => store.insert(collection, items).await?,
            }
        }
        Ok(())
    }

    /// Items without ids.
    async fn items_of(
        &self,
        user: Option<&UserRow>,
        documents: Vec<Document>,
        options: &SaveOptions,
    ) -> Result<Vec<Item>> {
        let texts: Vec<String> = documents
            .iter()
            .map(|document| document.text.replace('\0', ""))
            .collect();
        let flat = texts.iter().map(|text| text.replace('\n', " ")).collect();
        let caller = user.map(caller_of);
        let vectors = self
            .embedder
            .embed(flat, Purpose::Content, caller.as_ref())
            .await?;
        let (engine, model) = self.embedder.identity();
        let chars = self.settings.vectors.metadata_chars;
        let items = documents
            .into_iter()
            .zip(texts)
            .zip(vectors)
            .map(|((document, text), vector)| {
                let mut metadata = document.metadata;
                metadata.extend(options.metadata.clone());
                metadata.insert(
                    "embedding_config".into(),
                    json!({ "engine": engine, "model": model }),
                );
                Item {
                    id: String::new(),
                    text,
                    vector,
                    metadata: plain(&metadata, chars),
                }
            });
        Ok(items.collect())
    }

    /// The documents of a file for a job, the text that is stored of it, and the collections they go into.
    async fn documents_of(
        &self,
        file: &FileText,
        job: &ProcessFile,
    ) -> Result<(Vec<Document>, String, Vec<String>)> {
        let own = collection_of_file(&file.id);
        let whole = |text: &str| Document {
            text: text.replace("<br/>", "\n"),
            metadata: metadata_of(file),
        };
        if let Some(content) = job.content.as_deref().filter(|content| !content.is_empty()) {
            self.store().await?.drop_collection(&own).await?;
            let target = job.collection_name.clone().unwrap_or(own);
            return Ok((vec![whole(content)], content.to_owned(), vec![target]));
        }
        let Some(target) = job.collection_name.clone() else {
            let documents = self.extract(file).await?;
            let documents: Vec<Document> = documents
                .into_iter()
                .map(|document| {
                    let mut metadata = metadata_of(file);
                    let own = metadata.clone();
                    metadata.extend(document.metadata);
                    for name in ["name", "created_by", "file_id", "source"] {
                        metadata.insert(name.into(), own.get(name).cloned().unwrap_or_default());
                    }
                    Document {
                        text: document.text,
                        metadata,
                    }
                })
                .collect();
            let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
            let text = texts.join(" ");
            return Ok((documents, text, vec![own]));
        };
        let content = file.content();
        let kept = self
            .store()
            .await?
            .query(&own, &Filter::eq("file_id", file.id.as_str()), None)
            .await?;
        let kept = kept.unwrap_or_default();
        if !kept.is_empty() {
            let documents = kept.into_iter().map(|entry| Document {
                text: entry.text,
                metadata: entry.metadata,
            });
            return Ok((
                documents.collect(),
                content.unwrap_or_default().to_owned(),
                vec![target],
            ));
        }
        // The file's own chunks are gone; its text is still known.
        let content = content.ok_or(Error::EmptyContent)?;
        let mut document = whole(content);
        document.text = content.to_owned();
        Ok((vec![document], content.to_owned(), vec![target, own]))
    }

    async fn extract(&self, file: &FileText) -> Result<Vec<Document>> {
        match self.extractor.get() {
            Some(extractor) if file.path.as_deref().is_some_and(|path| !path.is_empty()) => extractor
                .extract(file)
                .await
                .map_err(|error| Error::Upstream(error.to_string())),
            _ => Ok(vec![Document::new(file.content().unwrap_or_default())]),
        }
    }

    async fn run(&self, user: &UserRow, file: &FileText, job: &ProcessFile) -> Result<Processed> {
        let (documents, content, collections) = self.documents_of(file, job).await?;
        let hash = text_hash(&content);
        let bypassed = self.is_bypassed();
        let stored = |change| self.change_file(&file.id, change);
        let text = FileChange {
            data: Some(json!({ "content": content })),
            ..FileChange::default()
        };
        stored(text).await?;
        if !bypassed {
            let mut options = SaveOptions {
                add: job.collection_name.is_some(),
                split: true,
                ..SaveOptions::default()
            };
            for (name, value) in [
                ("file_id", &file.id),
                ("name", &file.name().to_owned()),
                ("hash", &hash),
            ] {
                options.metadata.insert(name.into(), json!(value));
            }
            for collection in &collections {
                if self.is_duplicate(collection, &hash, Some(&file.id)).await? {
                    return Err(Error::DuplicateContent);
                }
            }
            self.keep_in(Some(user), documents, &collections, &options)
                .await?;
        }
        let collection = collections.into_iter().next().filter(|_| !bypassed);
        let done = FileChange {
            meta: collection.as_ref().map(|name| json!({ "collection_name": name })),
            hash: Some(Some(hash)),
            ..FileChange::default()
        };
        stored(done).await?;
        Ok(Processed {
            collection_name: collection,
            filename: file.name().to_owned(),
            content,
        })
    }

    async fn change_file(&self, id: &str, change: FileChange) -> Result<()> {
        let stored = async {
            let mut tx = self.db.begin().await?;
            file_texts::change(&mut tx, id, change).await?;
            tx.commit().await
        };
        stored.await.map_err(|error| Error::Store(error.to_string()))
    }

    /// Makes a knowledge base findable by its name. A failure is logged: the knowledge base is there all the same.
    #[boxed]
    pub async fn index_knowledge(&self, id: &str, name: &str, description: Option<&str>) -> bool {
        let content = match description.filter(|text| !text.is_empty()) {
            Some(description) => format!("{name}\n\n{description}"),
            None => name.to_owned(),
        };
        let kept = async {
            let vector = self.embedder.embed_one(&content, Purpose::Content, None).await?;
            let metadata = json!({ "knowledge_base_id": id });
            let item = Item {
                id: id.to_owned(),
                text: content.clone(),
                vector,
                metadata: metadata.as_object().cloned().unwrap_or_default(),
            };
            self.store().await?.insert(KNOWLEDGE_BASES, vec![item]).await
        };
        match kept.await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, id, "a knowledge base could not be made findable by its name");
                false
            }
        }
    }

    /// Of these knowledge bases those whose name and description fit a question best, with scores, best first.
    #[boxed]
    pub async fn nearest_knowledge(
        &self,
        question: &str,
        ids: &[String],
        count: usize,
        caller: &oui_providers::CallContext,
    ) -> Result<Vec<(String, f64)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let vector = self
            .embedder
            .embed_one(question, Purpose::Query, Some(caller))
            .await?;
        let among = Filter::all().and("knowledge_base_id", ids.iter().map(|id| json!(id)));
        let hits = self
            .store()
            .await?
            .search(KNOWLEDGE_BASES, &vector, &among, count)
            .await?;
        let hits = hits.into_iter().flatten();
        Ok(hits.map(|hit| (hit.entry.id, hit.score)).collect())
    }

    /// Takes a knowledge base out of the collection of their names.
    #[boxed]
    pub async fn forget_knowledge(&self, id: &str) -> Result<()> {
        let store = self.store().await?;
        store.delete(KNOWLEDGE_BASES, &Filter::ids([id.to_owned()])).await
    }
}

/// What became of several files.
#[derive(Debug, Default)]
pub struct Batch {
    /// Files that are findable now.
    pub completed: Vec<String>,
    /// Files that failed, and why.
    pub failed: Vec<(String, String)>,
}

impl Retrieval {
    /// Puts the texts of several files into a collection: those that can be, all of them in one step.
    #[boxed]
    pub async fn process_batch(
        &self,
        user: &UserRow,
        files: Vec<FileText>,
        collection: &str,
    ) -> ApiResult<Batch> {
        self.demand(&[collection.to_owned()], user, Use::Write).await?;
        let mut batch = Batch::default();
        let mut documents = Vec::new();
        let mut changes: Vec<(String, FileChange)> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for file in files {
            if file.user_id.as_deref() != Some(&user.id) && user.role != oui_access::ADMIN {
                batch
                    .failed
                    .push((file.id, "Permission denied: not file owner".into()));
                continue;
            }
            let content = file.content().unwrap_or_default().to_owned();
            let hash = text_hash(&content);
            let duplicate = match seen.contains(&hash) {
                true => Ok(true),
                false => self.is_duplicate(collection, &hash, Some(&file.id)).await,
            };
            match duplicate {
                Ok(false) => {}
                Ok(true) => {
                    batch.failed.push((file.id, Error::DuplicateContent.to_string()));
                    continue;
                }
                Err(error) => {
                    batch.failed.push((file.id, error.to_string()));
                    continue;
                }
            }
            let mut metadata = metadata_of(&file);
            metadata.insert("hash".into(), json!(hash));
            documents.push(Document {
                text: content.replace("<br/>", "\n"),
                metadata,
            });
            seen.push(hash.clone());
            let change = FileChange {
                data: Some(json!({ "content": content })),
                hash: Some(Some(hash)),
                ..FileChange::default()
            };
            changes.push((file.id, change));
        }
        if documents.is_empty() {
            return Ok(batch);
        }
        let options = SaveOptions {
            add: true,
            split: true,
            ..SaveOptions::default()
        };
        match self.keep(user, documents, collection, &options).await {
            Ok(()) => {
                let mut tx = self.db.begin().await?;
                for (id, change) in changes {
                    file_texts::change(&mut tx, &id, change).await?;
                    batch.completed.push(id);
                }
                tx.commit().await?;
            }
            Err(error) => {
                let text = error.to_string();
                batch
                    .failed
                    .extend(changes.into_iter().map(|(id, _)| (id, text.clone())));
            }
        }
        Ok(batch)
    }

    /// Removes what a crash has left: chunks of files in collections that the files are not in. What was noted at
    /// `time` (seconds) or later may be somebody's work at this moment. Answers of how many files.
    #[boxed]
    pub async fn tidy(&self, time: i64) -> Result<usize> {
        let kept = |error: oui_models::db::DbError| Error::Store(error.to_string());
        let mut tidied = 0;
        for loose in loose_chunks::noted_before(&self.db, time).await.map_err(kept)? {
            let (knowledge, file) = (&loose.knowledge_id, &loose.file_id);
            if !knowledge_edits::has_file(&self.db, knowledge, file)
                .await
                .map_err(kept)?
            {
                self.forget_chunks(knowledge, file, None).await?;
                tidied += 1;
            }
            loose_chunks::settle(&self.db, knowledge, file)
                .await
                .map_err(kept)?;
        }
        Ok(tidied)
    }

    /// Removes a file's chunks from a collection.
    #[boxed]
    pub async fn forget_chunks(&self, collection: &str, file_id: &str, hash: Option<&str>) -> Result<()> {
        let store = self.store().await?;
        store.delete(collection, &Filter::eq("file_id", file_id)).await?;
        if let Some(hash) = hash {
            store.delete(collection, &Filter::eq("hash", hash)).await?;
        }
        Ok(())
    }
}

/// What those who hear of events learn of the work on a file.
fn news(user: &UserRow, file: &FileText, job: &ProcessFile, outcome: &ApiResult<Processed>) -> Notice {
    let (name, details) = match outcome {
        Ok(done) => (
            "retrieval.content.processed",
            json!({ "collection_name": done.collection_name, "filename": file.filename }),
        ),
        Err(error) => {
            let collection = job.collection_name.clone();
            let told = format!(
                "{}: {}",
                file.filename.as_deref().unwrap_or_default(),
                error.detail_text()
            );
            let details = json!({
                "collection_name": collection.unwrap_or_else(|| collection_of_file(&file.id)),
                "filename": file.filename, "message": told,
            });
            ("retrieval.content.process_failed", details)
        }
    };
    Notice::new(name)
        .by(user.actor_json())
        .about_kind("file", file.id.as_str())
        .with(details)
}

fn refused(error: &Error) -> ApiError {
    ApiError::bad_request(error.to_string())
}

#[async_trait]
impl Ingest for Retrieval {
    async fn process_file(&self, user: &UserRow, job: ProcessFile) -> ApiResult<Processed> {
        let missing = || ApiError::not_found(messages::NOT_FOUND);
        let file = file_texts::get(&self.db, &job.file_id)
            .await?
            .ok_or_else(missing)?;
        let own = file.user_id.as_deref() == Some(&user.id) || user.role == oui_access::ADMIN;
        if !own && !self.may_use_file(&file.id, user, Use::Write).await? {
            return Err(missing());
        }
        let outcome = async {
            if let Some(collection) = &job.collection_name {
                self.demand(std::slice::from_ref(collection), user, Use::Write)
                    .await?;
            }
            self.run(user, &file, &job).await.map_err(|error| refused(&error))
        };
        let outcome = outcome.await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, file = file.id, "a file could not be made findable");
            file_texts::fail(&self.db, &file.id, &error.detail_text()).await?;
        }
        self.tell(news(user, &file, &job, &outcome));
        outcome
    }

    async fn demand_collection(&self, user: &UserRow, collection: &str) -> ApiResult<()> {
        self.demand(&[collection.to_owned()], user, Use::Write).await
    }

    async fn save(
        &self,
        user: &UserRow,
        documents: Vec<Document>,
        collection: &str,
        options: SaveOptions,
    ) -> ApiResult<()> {
        self.keep(user, documents, collection, &options)
            .await
            .map_err(|error| refused(&error))
    }

    async fn forget_file(&self, file_id: &str, hash: Option<&str>, knowledge: &[String]) -> ApiResult<()> {
        let forgotten = async {
            let store = self.store().await?;
            store.drop_collection(&collection_of_file(file_id)).await?;
            for collection in knowledge {
                store.delete(collection, &Filter::eq("file_id", file_id)).await?;
                if let Some(hash) = hash {
                    store.delete(collection, &Filter::eq("hash", hash)).await?;
                }
            }
            Ok(())
        };
        forgotten.await.map_err(|error: Error| refused(&error))
    }

    async fn forget_collection(&self, collection: &str) -> ApiResult<()> {
        let dropped = async { self.store().await?.drop_collection(collection).await };
        dropped.await.map_err(|error| refused(&error))
    }

    async fn forget_all(&self) -> ApiResult<()> {
        let emptied = async { self.store().await?.reset().await };
        emptied.await.map_err(|error| refused(&error))
    }
}
