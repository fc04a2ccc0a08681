//! Vectors at Pinecone, through its HTTP interface. All collections lie in one index, told apart by a field of the
//! metadata, as the reference keeps them.

use async_trait::async_trait;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::filter::choice;
use super::rows::{Scale, Shape, list};
use super::server::Server;
use super::{Entry, Filter, Hit, Item, VectorStore, likeness};
use crate::error::{Error, Result};

/// Vectors sent at once.
const SENT: usize = 100;
/// Most that one question may bring.
const FOUND: usize = 10_000;
/// Version of the interface that is spoken.
const VERSION: &str = "2025-01";

/// The store.
pub struct Pinecone {
    client: reqwest::Client,
    /// Where indexes are listed and made.
    control: Server,
    key: String,
    name: String,
    width: usize,
    metric: String,
    cloud: String,
    region: String,
    /// Where the vectors of the index are; known when the index is.
    index: OnceCell<Server>,
}

fn server(client: reqwest::Client, base: &str, key: &str) -> Server {
    Server::new("Pinecone", client, base, &["/error/message", "/message"])
        .header("api-key", key)
        .header("x-pinecone-api-version", VERSION)
}

impl Pinecone {
    /// The index of the settings.
    pub fn new(client: reqwest::Client, settings: &Vectors) -> Result<Self> {
        let key = settings.pinecone_key.as_ref().map(|key| key.expose().to_owned());
        let region = settings.pinecone_region.clone().unwrap_or_default();
        let mut missing = Vec::new();
        for (name, value) in [
            ("PINECONE_API_KEY", key.as_deref().unwrap_or_default()),
            ("PINECONE_ENVIRONMENT", region.as_str()),
            ("PINECONE_INDEX_NAME", settings.pinecone_index.as_str()),
            ("PINECONE_CLOUD", settings.pinecone_cloud.as_str()),
        ] {
            if value.is_empty() {
                missing.push(name);
            }
        }
        if !missing.is_empty() {
            let text = format!("Required configuration missing: {}", missing.join(", "));
            return Err(Error::Settings(text));
        }
        let key = key.unwrap_or_default();
        Ok(Self {
            control: server(client.clone(), &settings.pinecone_control, &key),
            client,
            key,
            name: settings.pinecone_index.clone(),
            width: settings.pinecone_width,
            metric: settings.pinecone_metric.clone(),
            cloud: settings.pinecone_cloud.clone(),
            region,
            index: OnceCell::new(),
        })
    }

    /// The index, made when there is none.
    async fn index(&self) -> Result<&Server> {
        self.index.get_or_try_init(|| self.find_index()).await
    }

    async fn find_index(&self) -> Result<Server> {
        let path = format!("/indexes/{}", self.name);
        let found = match self.control.call(Method::GET, &path, None).await? {
            Some(found) => found,
            None => {
                let body = json!({
                    "name": self.name, "dimension": self.width, "metric": self.metric,
                    "spec": { "serverless": { "cloud": self.cloud, "region": self.region } },
                });
                let made = self.control.call(Method::POST, "/indexes", Some(body)).await?;
                made.unwrap_or_default()
            }
        };
        let host = found["host"]
            .as_str()
            .ok_or_else(|| self.control.error("the index has no host"))?;
        let base = if host.contains("://") {
            host.to_owned()
        } else {
            format!("https://{host}")
        };
        Ok(server(self.client.clone(), &base, &self.key))
    }

    /// As wide as the index: zeros change no angle.
    fn filled(&self, vector: &[f32]) -> Vec<f32> {
        let mut filled = vector.to_vec();
        if filled.len() < self.width {
            filled.resize(self.width, 0.0);
        }
        filled
    }

    /// Matches with their scores as the server counts them.
    async fn matches(
        &self,
        collection: &str,
        vector: Vec<f32>,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Value>> {
        let body = json!({
            "vector": vector, "topK": limit.clamp(1, FOUND), "includeMetadata": true,
            "filter": conditions(collection, filter),
        });
        let answer = self
            .index()
            .await?
            .call(Method::POST, "/query", Some(body))
            .await?;
        Ok(list(&answer.unwrap_or_default()["matches"], |found| {
            Some(found.clone())
        }))
    }

    /// Vectors by their ids, those of the collection.
    async fn fetch(&self, collection: &str, ids: &[String]) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for part in ids.chunks(SENT) {
            let asked = part.iter().map(|id| ("ids", id));
            let asked = reqwest::Url::parse_with_params("http://pinecone", asked)
                .map_err(|error| Error::Store(error.to_string()))?;
            let path = format!("/vectors/fetch?{}", asked.query().unwrap_or_default());
            let answer = self.index().await?.call(Method::GET, &path, None).await?;
            let mut answer = answer.unwrap_or_default();
            if let Value::Object(vectors) = answer["vectors"].take() {
                let own = tenant(collection);
                found.extend(
                    vectors
                        .into_iter()
                        .map(|(_, vector)| vector)
                        .filter(|vector| vector["metadata"][TENANT] == own),
                );
            }
        }
        Ok(found)
    }

    async fn remove(&self, body: Value) -> Result<()> {
        let index = self.index().await?;
        index.call(Method::POST, "/vectors/delete", Some(body)).await?;
        Ok(())
    }
}

/// Field of the metadata that names the collection.
const TENANT: &str = "collection_name";

fn tenant(collection: &str) -> String {
    format!("open-webui_{collection}")
}

/// The filter in Pinecone's language; ids are no part of it.
fn conditions(collection: &str, filter: &Filter) -> Value {
    let mut all = json!({ TENANT: { "$eq": tenant(collection) } });
    for (name, values) in &filter.fields {
        all[name.as_str()] = choice(values, "$eq", "$in");
    }
    all
}

const SHAPE: Shape = Shape {
    id: "/id",
    text: "/metadata/text",
    metadata: "/metadata",
    own: &[TENANT, "text"],
    score: "/score",
};

/// The server keeps every number with a fraction.
fn whole(mut entry: Entry) -> Entry {
    for value in entry.metadata.values_mut() {
        if let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0)
            && value.is_f64()
            && number.abs() < 9e15
        {
            *value = json!(number as i64);
        }
    }
    entry
}

fn entry_of(found: &Value) -> Option<Entry> {
    SHAPE.entry(found).map(whole)
}

fn numbers(values: &Value) -> Vec<f32> {
    list(values, |number| number.as_f64().map(|number| number as f32))
}

#[async_trait]
impl VectorStore for Pinecone {
    fn name(&self) -> &'static str {
        "pinecone"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let found = self
            .matches(collection, vec![0.0; self.width], &Filter::all(), 1)
            .await?;
        Ok(!found.is_empty())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        for part in items.chunks(SENT) {
            let vector = |item: &Item| {
                let mut metadata = item.metadata.clone();
                metadata.insert("text".into(), json!(item.text));
                metadata.insert(TENANT.into(), json!(tenant(collection)));
                json!({ "id": item.id, "values": self.filled(&item.vector), "metadata": metadata })
            };
            let body = json!({ "vectors": part.iter().map(vector).collect::<Vec<_>>() });
            let index = self.index().await?;
            index.call(Method::POST, "/vectors/upsert", Some(body)).await?;
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
        let vector = self.filled(vector);
        if let Some(ids) = &filter.ids {
            let found = self.fetch(collection, ids).await?;
            let hit = |found: &Value| {
                Some(Hit {
                    entry: entry_of(found)?,
                    score: likeness(&vector, &numbers(&found["values"])),
                })
            };
            let mut hits: Vec<Hit> = found.iter().filter_map(hit).collect();
            hits.retain(|hit| filter.matches(&hit.entry.id, &hit.entry.metadata));
            hits.sort_by(|a, b| b.score.total_cmp(&a.score));
            hits.truncate(limit);
            return Ok(Some(hits));
        }
        let scale = if self.metric.eq_ignore_ascii_case("cosine") {
            Scale::Cosine
        } else {
            Scale::Plain
        };
        let found = self.matches(collection, vector, filter, limit).await?;
        let whole = |hit: Hit| Hit {
            entry: whole(hit.entry),
            ..hit
        };
        let hits = SHAPE.hits(&Value::Array(found), scale);
        Ok(Some(hits.into_iter().map(whole).collect()))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let limit = limit.unwrap_or(FOUND);
        let found = match &filter.ids {
            Some(ids) => self.fetch(collection, ids).await?,
            None => {
                self.matches(collection, vec![0.0; self.width], filter, limit)
                    .await?
            }
        };
        let mut entries: Vec<Entry> = found.iter().filter_map(entry_of).collect();
        entries.retain(|entry| filter.matches(&entry.id, &entry.metadata));
        entries.truncate(limit);
        Ok(Some(entries))
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        if filter.ids.is_none() {
            return self
                .remove(json!({ "filter": conditions(collection, filter) }))
                .await;
        }
        let found = self.query(collection, filter, None).await?.unwrap_or_default();
        for part in found.chunks(SENT) {
            let ids: Vec<&str> = part.iter().map(|entry| entry.id.as_str()).collect();
            self.remove(json!({ "ids": ids })).await?;
        }
        Ok(())
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        self.remove(json!({ "filter": conditions(collection, &Filter::all()) }))
            .await
    }

    async fn reset(&self) -> Result<()> {
        self.remove(json!({ "deleteAll": true })).await
    }
}

#[cfg(test)]
mod tests;
