//! Vectors on a Qdrant server, through its REST interface. Collections of ours share a few of the server's, told
//! apart by a field of the payload (the reference's multi-tenant layout), or have one each.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Server, entry, scores_by_search};
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
}

/// Where a collection lies on the server.
struct Place {
    name: String,
    tenant: Option<String>,
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
        })
    }

    fn place(&self, collection: &str) -> Place {
        let prefix = &self.prefix;
        if !self.shared {
            return Place {
                name: format!("{prefix}_{collection}"),
                tenant: None,
            };
        }
        let is_hash =
            collection.len() == 63 && collection.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let kind = if collection.starts_with("user-memory-") {
            "memories"
        } else if collection.starts_with("file-") {
            "files"
        } else if collection.starts_with("web-search-") {
            "web-search"
        } else if is_hash {
            "hash-based"
        } else {
            "knowledge"
        };
        Place {
            name: format!("{prefix}_{kind}"),
            tenant: Some(collection.to_owned()),
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
            json!({ "payload_m": 16, "m": 0 })
        } else {
            json!({ "m": 16 })
        };
        let body = json!({ "vectors": { "size": width, "distance": "Cosine" }, "hnsw_config": index });
        let path = format!("/collections/{}", place.name);
        match self.call(Method::PUT, &path, Some(body)).await {
            // Another request was faster.
            Err(error) if error.to_string().contains("409") => return Ok(()),
            other => other?,
        };
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
    let mut must = Vec::new();
    if let Some(tenant) = &place.tenant {
        must.push(json!({ "key": TENANT, "match": { "value": tenant } }));
    }
    if let Some(ids) = &filter.ids {
        must.push(json!({ "has_id": ids }));
    }
    for (name, values) in &filter.fields {
        let condition = match values.as_slice() {
            [value] => json!({ "value": value }),
            values => json!({ "any": values }),
        };
        must.push(json!({ "key": format!("metadata.{name}"), "match": condition }));
    }
    json!({ "must": must })
}

fn entry_of(point: &Value) -> Option<Entry> {
    let payload = &point["payload"];
    entry(
        &point["id"],
        &payload["text"],
        payload["metadata"].as_object().cloned(),
    )
}

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
        let Some(answer) = self.call(Method::POST, &path, Some(body)).await? else {
            return Ok(None);
        };
        let hit = |point: &Value| {
            Some(Hit {
                entry: entry_of(point)?,
                score: (point["score"].as_f64()? + 1.0) / 2.0,
            })
        };
        let points = answer["points"].as_array();
        Ok(Some(points.into_iter().flatten().filter_map(hit).collect()))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let place = self.place(collection);
        let path = format!("/collections/{}/points/scroll", place.name);
        let mut entries: Vec<Entry> = Vec::new();
        let mut offset = Value::Null;
        loop {
            let room = limit.map_or(POINTS, |limit| (limit - entries.len()).min(POINTS));
            let mut body =
                json!({ "filter": conditions(&place, filter), "limit": room, "with_payload": true });
            if !offset.is_null() {
                body["offset"] = offset;
            }
            let Some(mut answer) = self.call(Method::POST, &path, Some(body)).await? else {
                return Ok(None);
            };
            entries.extend(
                answer["points"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(entry_of),
            );
            offset = answer["next_page_offset"].take();
            if offset.is_null() || limit == Some(entries.len()) {
                return Ok(Some(entries));
            }
        }
    }

    async fn scores(
        &self,
        collection: &str,
        vector: &[f32],
        ids: &[String],
    ) -> Result<Option<HashMap<String, f64>>> {
        scores_by_search(self, collection, vector, ids).await
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
