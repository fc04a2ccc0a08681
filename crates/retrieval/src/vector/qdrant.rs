//! Vectors on a Qdrant server, through its REST interface. Collections of ours share a few of the server's, told
//! apart by a field of the payload (the reference's multi-tenant layout), or have one each.

use std::time::Duration;

use async_trait::async_trait;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Value, json};

use super::filter::choice;
use super::rows::{Pages, Scale, Shape};
use super::server::Server;
use super::shared::Place;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};

/// Points sent or fetched at once.
const POINTS: usize = 256;

/// Field of the payload that names the collection.
const TENANT: &str = "tenant_id";

/// The store.
pub struct Qdrant {
    server: Server,
    prefix: String,
    shared: bool,
    neighbours: u32,
    on_disk: bool,
}

impl Qdrant {
    /// The server of the settings.
    pub fn new(client: reqwest::Client, settings: &Vectors) -> Result<Self> {
        let url = settings.qdrant_url.as_deref().unwrap_or_default();
        if url.is_empty() {
            return Err(Error::Settings(
                "QDRANT_URI is not set. Please configure it in the environment variables.".into(),
            ));
        }
        let server = Server::new("Qdrant", client, url, &["/status/error"])
            .timeout(Duration::from_secs(settings.qdrant_timeout.max(1)));
        Ok(Self {
            server: match &settings.qdrant_key {
                Some(key) => server.header("api-key", key.expose()),
                None => server,
            },
            prefix: settings.qdrant_prefix.clone(),
            shared: settings.qdrant_shared,
            neighbours: settings.qdrant_hnsw_m,
            on_disk: settings.qdrant_on_disk,
        })
    }

    fn place(&self, collection: &str) -> Place {
        if self.shared {
            Place::shared(&self.prefix, collection, "-")
        } else {
            Place::own(format!("{}_{collection}", self.prefix))
        }
    }

    /// `result` of the server's answer; `None` when it knows nothing by that name.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Option<Value>> {
        let answer = self.server.call(method, path, body).await?;
        Ok(answer.map(|mut answer| answer["result"].take()))
    }

    async fn exists(&self, name: &str) -> Result<bool> {
        let answer = self
            .call(Method::GET, &format!("/collections/{name}/exists"), None)
            .await?;
        Ok(answer.is_some_and(|answer| answer["exists"] == true))
    }

    async fn make(&self, place: &Place, width: usize) -> Result<()> {
        let index = if place.tenant.is_some() {
            json!({ "payload_m": self.neighbours, "m": 0 })
        } else {
            json!({ "m": self.neighbours })
        };
        let vectors = json!({ "size": width, "distance": "Cosine", "on_disk": self.on_disk });
        let body = json!({ "vectors": vectors, "hnsw_config": index });
        let path = format!("/collections/{}", place.name);
        self.server.make(Method::PUT, &path, body).await?;
        let mut fields = vec![("metadata.hash", false), ("metadata.file_id", false)];
        if place.tenant.is_some() {
            fields.push((TENANT, true));
        }
        for (field, tenant) in fields {
            let body =
                json!({ "field_name": field, "field_schema": { "type": "keyword", "is_tenant": tenant } });
            self.call(Method::PUT, &format!("{path}/index?wait=true"), Some(body))
                .await?;
        }
        Ok(())
    }

    async fn remove(&self, place: &Place, filter: Value) -> Result<()> {
        let path = format!("/collections/{}/points/delete?wait=true", place.name);
        self.call(Method::POST, &path, Some(json!({ "filter": filter })))
            .await?;
        Ok(())
    }
}

/// The filter in Qdrant's language.
fn conditions(place: &Place, filter: &Filter) -> Value {
    let tenant = place.tenant.iter();
    let mut must: Vec<Value> = tenant
        .map(|tenant| json!({ "key": TENANT, "match": { "value": tenant } }))
        .collect();
    must.extend(filter.terms(
        |ids| json!({ "has_id": ids }),
        |name, values| json!({ "key": format!("metadata.{name}"), "match": choice(values, "value", "any") }),
    ));
    json!({ "must": must })
}

const SHAPE: Shape = Shape {
    id: "/id",
    text: "/payload/text",
    metadata: "/payload/metadata",
    own: &[],
    score: "/score",
};

#[async_trait]
impl VectorStore for Qdrant {
    fn name(&self) -> &'static str {
        "qdrant"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let place = self.place(collection);
        if place.tenant.is_none() {
            return self.exists(&place.name).await;
        }
        let body = json!({ "filter": conditions(&place, &Filter::all()), "exact": true });
        let path = format!("/collections/{}/points/count", place.name);
        let answer = self.call(Method::POST, &path, Some(body)).await?;
        Ok(answer.is_some_and(|answer| answer["count"].as_u64().unwrap_or(0) > 0))
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        let place = self.place(collection);
        if !self.exists(&place.name).await? {
            self.make(&place, first.vector.len()).await?;
        }
        for part in items.chunks(POINTS) {
            let point = |item: &Item| {
                let mut payload = json!({ "text": item.text, "metadata": item.metadata });
                if let Some(tenant) = &place.tenant {
                    payload[TENANT] = json!(tenant);
                }
                json!({ "id": item.id, "vector": item.vector, "payload": payload })
            };
            let body = json!({ "points": part.iter().map(point).collect::<Vec<_>>() });
            let path = format!("/collections/{}/points?wait=true", place.name);
            self.call(Method::PUT, &path, Some(body)).await?;
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
        let place = self.place(collection);
        let body = json!({
            "query": vector, "limit": limit, "filter": conditions(&place, filter), "with_payload": true,
        });
        let path = format!("/collections/{}/points/query", place.name);
        let answer = self.call(Method::POST, &path, Some(body)).await?;
        Ok(answer.map(|answer| SHAPE.hits(&answer["points"], Scale::Cosine)))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let place = self.place(collection);
        let path = format!("/collections/{}/points/scroll", place.name);
        let mut pages = Pages::new(filter, limit, POINTS);
        while let Some(room) = pages.room() {
            let mut body =
                json!({ "filter": conditions(&place, filter), "limit": room, "with_payload": true });
            if let Some(offset) = pages.cursor() {
                body["offset"] = offset.clone();
            }
            let Some(mut answer) = self.call(Method::POST, &path, Some(body)).await? else {
                return Ok(None);
            };
            let next = answer["next_page_offset"].take();
            pages.follow(SHAPE.entries(&answer["points"]), next);
        }
        Ok(Some(pages.entries()))
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        let place = self.place(collection);
        let filter = conditions(&place, filter);
        self.remove(&place, filter).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        let place = self.place(collection);
        if place.tenant.is_some() {
            return self.remove(&place, conditions(&place, &Filter::all())).await;
        }
        self.call(Method::DELETE, &format!("/collections/{}", place.name), None)
            .await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let all = self
            .call(Method::GET, "/collections", None)
            .await?
            .unwrap_or_default();
        let names = all["collections"].as_array().into_iter().flatten();
        for name in names.filter_map(|collection| collection["name"].as_str()) {
            if name.starts_with(&self.prefix) {
                self.call(Method::DELETE, &format!("/collections/{name}"), None)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
