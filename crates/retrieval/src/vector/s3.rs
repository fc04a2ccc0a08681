//! Vectors in an S3 vector bucket, through its HTTP interface with signed requests. A collection is an index of the
//! bucket; the text lies in the metadata, as the reference keeps it. Conditions are only answered beside a vector, so
//! that entries are listed and looked through here.

use std::sync::Arc;

use async_trait::async_trait;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Value, json};

use super::filter::choice;
use super::rows::{Pages, Scale, Shape, list};
use super::server::Server;
use super::sign::Signer;
use super::{Entry, Filter, Hit, Item, Metadata, VectorStore, likeness};
use crate::error::{Error, Result};

/// Vectors sent at once: the service takes 500, and 20 MiB.
const SENT: usize = 200;

/// Vectors named or listed at once.
const FETCHED: usize = 100;
const LISTED: usize = 500;

/// Most that one search brings.
const FOUND: usize = 100;

/// The service keeps so many members of the metadata.
const MEMBERS: usize = 10;

/// Those that come first when there are more.
const FIRST: [&str; MEMBERS] = [
    "text",
    "file_id",
    "source",
    "title",
    "page",
    "total_pages",
    "embedding_config",
    "created_by",
    "name",
    "hash",
];

const SHAPE: Shape = Shape {
    id: "/key",
    text: "/metadata/text",
    metadata: "/metadata",
    own: &["text"],
    score: "/distance",
};

/// The store.
pub struct S3Vectors {
    server: Server,
    bucket: String,
}

impl S3Vectors {
    /// The bucket of the settings.
    pub fn new(client: reqwest::Client, settings: &Vectors) -> Result<Self> {
        let region = settings.s3_vectors_region.as_deref().unwrap_or_default();
        let bucket = settings.s3_vectors_bucket.as_deref().unwrap_or_default();
        if region.is_empty() || bucket.is_empty() {
            let text = "VECTOR_DB=s3vector needs S3_VECTOR_BUCKET_NAME and S3_VECTOR_REGION";
            return Err(Error::Settings(text.into()));
        }
        let base = match &settings.s3_vectors_url {
            Some(url) => url.clone(),
            None => format!("https://s3vectors.{region}.api.aws"),
        };
        let signer = Signer::of_environment("s3vectors", region)?;
        Ok(Self::at(client, &base, bucket, signer))
    }

    fn at(client: reqwest::Client, base: &str, bucket: &str, signer: Signer) -> Self {
        let reasons = &["/message", "/Message"];
        Self {
            server: Server::new("S3 Vectors", client, base, reasons).signed(Arc::new(signer)),
            bucket: bucket.to_owned(),
        }
    }

    /// Does something with an index; `None` when there is no such index.
    async fn call(&self, operation: &str, index: &str, mut body: Value) -> Result<Option<Value>> {
        self.address(index, &mut body);
        let path = format!("/{operation}");
        self.server.call(Method::POST, &path, Some(body)).await
    }

    fn address(&self, index: &str, body: &mut Value) {
        body["vectorBucketName"] = json!(self.bucket);
        body["indexName"] = json!(index);
    }

    /// Vectors by their keys, with their numbers; `None` when there is no such index.
    async fn fetch(&self, index: &str, keys: &[String]) -> Result<Option<Vec<Value>>> {
        let mut found = Vec::new();
        for part in keys.chunks(FETCHED) {
            let body = json!({ "keys": part, "returnData": true, "returnMetadata": true });
            let Some(answer) = self.call("GetVectors", index, body).await? else {
                return Ok(None);
            };
            found.extend(list(&answer["vectors"], |vector| Some(vector.clone())));
        }
        Ok(Some(found))
    }
}

/// The filter in the service's language; ids are no part of it.
fn conditions(filter: &Filter) -> Option<Value> {
    let fields = filter.fields.iter();
    let mut all: Vec<Value> = fields
        .map(|(name, values)| json!({ name.as_str(): choice(values, "$eq", "$in") }))
        .collect();
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(json!({ "$and": all })),
    }
}

/// The metadata with the text, no more than the service keeps.
fn metadata(item: &Item) -> Metadata {
    let mut all = item.metadata.clone();
    all.insert("text".into(), json!(item.text));
    if all.len() <= MEMBERS {
        return all;
    }
    let first = FIRST
        .iter()
        .filter_map(|name| all.get_key_value(*name))
        .map(|(name, value)| (name.clone(), value.clone()));
    let mut kept: Metadata = first.collect();
    for (name, value) in &all {
        if kept.len() < MEMBERS && !kept.contains_key(name) {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

#[async_trait]
impl VectorStore for S3Vectors {
    fn name(&self) -> &'static str {
        "s3vector"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        Ok(self.call("GetIndex", collection, json!({})).await?.is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        if !self.has(collection).await? {
            let mut body = json!({
                "dataType": "float32", "dimension": first.vector.len(), "distanceMetric": "cosine",
                "metadataConfiguration": { "nonFilterableMetadataKeys": ["text"] },
            });
            self.address(collection, &mut body);
            self.server.make(Method::POST, "/CreateIndex", body).await?;
        }
        for part in items.chunks(SENT) {
            let vector = |item: &Item| json!({ "key": item.id, "data": { "float32": item.vector }, "metadata": metadata(item) });
            let body = json!({ "vectors": part.iter().map(vector).collect::<Vec<_>>() });
            let put = self.call("PutVectors", collection, body).await?;
            put.ok_or_else(|| self.server.error("the index is gone"))?;
        }
        Ok(())
    }

    async fn search(
        &self,
        collection: &str,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Hit>>> {
        if filter.is_hopeless() {
            return Ok(self.has(collection).await?.then(Vec::new));
        }
        if let Some(ids) = &filter.ids {
            let found = self.fetch(collection, ids).await?;
            let hit = |found: &Value| {
                let numbers = list(&found["data"]["float32"], Value::as_f64);
                let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
                Some(Hit {
                    entry: SHAPE.entry(found)?,
                    score: likeness(vector, &numbers),
                })
            };
            return Ok(found.map(|found| {
                let mut hits: Vec<Hit> = found.iter().filter_map(hit).collect();
                hits.retain(|hit| filter.matches(&hit.entry.id, &hit.entry.metadata));
                hits.sort_by(|a, b| b.score.total_cmp(&a.score));
                hits.truncate(limit);
                hits
            }));
        }
        let mut body = json!({
            "queryVector": { "float32": vector }, "topK": limit.clamp(1, FOUND),
            "returnMetadata": true, "returnDistance": true,
        });
        if let Some(conditions) = conditions(filter) {
            body["filter"] = conditions;
        }
        let answer = self.call("QueryVectors", collection, body).await?;
        Ok(answer.map(|answer| SHAPE.hits(&answer["vectors"], Scale::Distance)))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let mut pages = Pages::new(filter, limit, LISTED).loose();
        if let Some(ids) = &filter.ids {
            let Some(found) = self.fetch(collection, ids).await? else {
                return Ok(None);
            };
            pages.follow(SHAPE.entries(&Value::Array(found)), Value::Null);
            return Ok(Some(pages.entries()));
        }
        while let Some(room) = pages.room() {
            let mut body = json!({ "maxResults": room, "returnMetadata": true });
            if let Some(cursor) = pages.cursor() {
                body["nextToken"] = cursor.clone();
            }
            let Some(mut answer) = self.call("ListVectors", collection, body).await? else {
                return Ok(None);
            };
            let next = answer["nextToken"].take();
            pages.follow(SHAPE.entries(&answer["vectors"]), next);
        }
        Ok(Some(pages.entries()))
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        let found = self.query(collection, filter, None).await?.unwrap_or_default();
        for part in found.chunks(LISTED) {
            let keys: Vec<&str> = part.iter().map(|entry| entry.id.as_str()).collect();
            self.call("DeleteVectors", collection, json!({ "keys": keys }))
                .await?;
        }
        Ok(())
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        self.call("DeleteIndex", collection, json!({})).await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        loop {
            let body = json!({ "vectorBucketName": self.bucket, "maxResults": LISTED });
            let answer = self.server.call(Method::POST, "/ListIndexes", Some(body)).await?;
            let name = |index: &Value| Some(index["indexName"].as_str()?.to_owned());
            let names = list(&answer.unwrap_or_default()["indexes"], name);
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.drop_collection(&name).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
