//! Vectors on a server that searches documents: Elasticsearch, where collections share an index for each length of
//! vectors, or OpenSearch, where each has an index of its own. The words of the texts are found by the server's index.

use std::fmt::Write;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Value, json};

use super::rows::{Pages, Scale, Shape, list};
use super::server::Server;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::Result;

/// Documents sent at once.
const SENT: usize = 100;

/// Documents fetched at once.
const FETCHED: usize = 1000;

/// Whose dialect is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Elastic,
    Open,
}

/// The store.
pub struct Documents {
    server: Server,
    dialect: Dialect,
    prefix: String,
}

fn basic(server: Server, name: Option<&str>, password: Option<&str>) -> Server {
    match (name, password) {
        (Some(name), Some(password)) => {
            let pair = STANDARD.encode(format!("{name}:{password}"));
            server.header("authorization", &format!("Basic {pair}"))
        }
        _ => server,
    }
}

/// Where a deployment in Elastic's cloud is: its name holds the domain and the part before it.
fn cloud_url(name: &str) -> Option<String> {
    let (_, coded) = name.rsplit_once(':')?;
    let plain = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    let mut parts = plain.split('$');
    let (domain, own) = (parts.next()?, parts.next()?);
    let (host, port) = domain.split_once(':').unwrap_or((domain, "443"));
    Some(format!("https://{own}.{host}:{port}"))
}

impl Documents {
    /// The Elasticsearch of the settings.
    pub fn elastic(client: reqwest::Client, settings: &Vectors) -> Self {
        let cloud = settings.elastic_cloud.as_deref().and_then(cloud_url);
        let url = cloud.as_deref().unwrap_or(&settings.elastic_url);
        let server = Self::server("Elasticsearch", client, url);
        let server = match &settings.elastic_key {
            Some(key) => server.header("authorization", &format!("ApiKey {}", key.expose())),
            None => basic(
                server,
                settings.elastic_user.as_deref(),
                settings.elastic_password.as_ref().map(|secret| secret.expose()),
            ),
        };
        Self {
            server,
            dialect: Dialect::Elastic,
            prefix: settings.elastic_prefix.clone(),
        }
    }

    /// The OpenSearch of the settings.
    pub fn open(client: reqwest::Client, settings: &Vectors) -> Self {
        let url = match settings.opensearch_url.split_once("://") {
            Some(_) => settings.opensearch_url.clone(),
            None if settings.opensearch_tls => format!("https://{}", settings.opensearch_url),
            None => format!("http://{}", settings.opensearch_url),
        };
        let server = basic(
            Self::server("OpenSearch", client, &url),
            settings.opensearch_user.as_deref(),
            settings
                .opensearch_password
                .as_ref()
                .map(|secret| secret.expose()),
        );
        Self {
            server,
            dialect: Dialect::Open,
            prefix: "open_webui".into(),
        }
    }

    fn server(name: &'static str, client: reqwest::Client, url: &str) -> Server {
        let reasons = &["/error/root_cause/0/reason", "/error/reason", "/error"];
        Server::new(name, client, url, reasons)
    }

    /// The index that new documents go to.
    fn index(&self, collection: &str, width: usize) -> String {
        match self.dialect {
            Dialect::Elastic => format!("{}_d{width}", self.prefix),
            Dialect::Open => format!("{}_{collection}", self.prefix),
        }
    }

    /// Where documents of a collection may lie.
    fn indexes(&self, collection: &str) -> String {
        match self.dialect {
            Dialect::Elastic => format!("{}*", self.prefix),
            Dialect::Open => self.index(collection, 0),
        }
    }

    fn mapping(&self, width: usize) -> Value {
        match self.dialect {
            Dialect::Elastic => json!({ "mappings": {
                "dynamic_templates": [
                    { "strings": { "match_mapping_type": "string", "mapping": { "type": "keyword" } } }
                ],
                "properties": {
                    "collection": { "type": "keyword" },
                    "id": { "type": "keyword" },
                    "vector": { "type": "dense_vector", "dims": width, "index": true, "similarity": "cosine" },
                    "text": { "type": "text" },
                    "metadata": { "type": "object" },
                },
            } }),
            Dialect::Open => json!({
                "settings": { "index": { "knn": true } },
                "mappings": { "properties": {
                    "id": { "type": "keyword" },
                    "vector": { "type": "knn_vector", "dimension": width, "method": {
                        "name": "hnsw", "space_type": "innerproduct", "engine": "faiss",
                        "parameters": { "ef_construction": 128, "m": 16 },
                    } },
                    "text": { "type": "text" },
                    "metadata": { "type": "object" },
                } },
            }),
        }
    }

    /// The conditions in the language of both.
    fn conditions(&self, collection: &str, filter: &Filter) -> Vec<Value> {
        let mut all = Vec::new();
        if self.dialect == Dialect::Elastic {
            all.push(json!({ "term": { "collection": collection } }));
        }
        // OpenSearch indexes texts by words, and whole beside that.
        let path = |name: &str, value: &Value| match (self.dialect, value) {
            (Dialect::Open, Value::String(_)) => format!("metadata.{name}.keyword"),
            _ => format!("metadata.{name}"),
        };
        let term = |name: &str, value: &Value| json!({ "term": { (path(name, value)): value } });
        all.extend(filter.terms(
            |ids| json!({ "ids": { "values": ids } }),
            |name, values| match values {
                [value] => term(name, value),
                values => {
                    let any: Vec<Value> = values.iter().map(|value| term(name, value)).collect();
                    json!({ "bool": { "should": any, "minimum_should_match": 1 } })
                }
            },
        ));
        all
    }

    /// A script that gives how alike vectors are as a number from 0 to 1.
    fn likeness(&self, conditions: &[Value], vector: &[f32]) -> Value {
        let (source, params) = match self.dialect {
            Dialect::Elastic => (
                "(cosineSimilarity(params.vector, 'vector') + 1.0) / 2.0",
                json!({ "vector": vector }),
            ),
            Dialect::Open => (
                "(cosineSimilarity(params.query_value, doc[params.field]) + 1.0) / 2.0",
                json!({ "field": "vector", "query_value": vector }),
            ),
        };
        json!({ "script_score": {
            "query": { "bool": { "filter": conditions } },
            "script": { "source": source, "params": params },
        } })
    }

    async fn hits(&self, indexes: &str, query: Value, limit: usize) -> Result<Option<Vec<Hit>>> {
        let body = json!({ "size": limit, "_source": ["text", "metadata"], "query": query });
        let path = format!("/{indexes}/_search");
        let answer = self.server.call(Method::POST, &path, Some(body)).await?;
        Ok(answer.map(|answer| SHAPE.hits(&answer["hits"]["hits"], Scale::Plain)))
    }

    async fn delete_matching(&self, collection: &str, filter: &Filter) -> Result<()> {
        let body = json!({ "query": { "bool": { "filter": self.conditions(collection, filter) } } });
        let path = format!(
            "/{}/_delete_by_query?refresh=true&conflicts=proceed",
            self.indexes(collection)
        );
        self.server.call(Method::POST, &path, Some(body)).await?;
        Ok(())
    }
}

const SHAPE: Shape = Shape {
    id: "/_id",
    text: "/_source/text",
    metadata: "/_source/metadata",
    own: &[],
    score: "/_score",
};

#[async_trait]
impl VectorStore for Documents {
    fn name(&self) -> &'static str {
        match self.dialect {
            Dialect::Elastic => "elasticsearch",
            Dialect::Open => "opensearch",
        }
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let body = json!({ "query": { "bool": { "filter": self.conditions(collection, &Filter::all()) } } });
        let path = format!("/{}/_count", self.indexes(collection));
        let answer = self.server.call(Method::POST, &path, Some(body)).await?;
        Ok(match self.dialect {
            Dialect::Open => answer.is_some(),
            Dialect::Elastic => answer.is_some_and(|answer| answer["count"].as_u64().unwrap_or(0) > 0),
        })
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        let index = self.index(collection, first.vector.len());
        let known = self.server.call(Method::GET, &format!("/{index}"), None).await?;
        if known.is_none() {
            let mapping = self.mapping(first.vector.len());
            self.server
                .make(Method::PUT, &format!("/{index}"), mapping)
                .await?;
        }
        for part in items.chunks(SENT) {
            let mut lines = String::new();
            for item in part {
                let mut source =
                    json!({ "vector": item.vector, "text": item.text, "metadata": item.metadata });
                if self.dialect == Dialect::Elastic {
                    source["collection"] = json!(collection);
                }
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "{}\n{source}", json!({ "index": { "_id": item.id } }));
            }
            let answer = self
                .server
                .lines(&format!("/{index}/_bulk?refresh=true"), lines)
                .await?
                .unwrap_or_default();
            if answer["errors"] == true {
                let reason = |item: &Value| Some(item["index"]["error"]["reason"].as_str()?.to_owned());
                let reasons = list(&answer["items"], reason);
                return Err(self
                    .server
                    .error(reasons.first().map_or("documents were refused", String::as_str)));
            }
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
        let query = self.likeness(&self.conditions(collection, filter), vector);
        self.hits(&self.index(collection, vector.len()), query, limit)
            .await
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let mut pages = Pages::new(filter, limit, FETCHED);
        let size = pages.room().unwrap_or_default();
        let body = json!({
            "size": size, "sort": ["_doc"], "_source": ["text", "metadata"],
            "query": { "bool": { "filter": self.conditions(collection, filter) } },
        });
        let mut path = format!("/{}/_search?scroll=1m", self.indexes(collection));
        let mut body = Some(body);
        while pages.room().is_some() {
            let answer = self.server.call(Method::POST, &path, body.take()).await?;
            let Some(mut page) = answer else { break };
            let found = SHAPE.entries(&page["hits"]["hits"]);
            let is_last = found.len() < size;
            let scroll = page["_scroll_id"].take();
            path = "/_search/scroll".into();
            body = Some(json!({ "scroll": "1m", "scroll_id": scroll }));
            pages.follow(found, scroll);
            if is_last {
                break;
            }
        }
        let Some(scroll) = pages.cursor() else {
            return Ok(None);
        };
        let body = json!({ "scroll_id": [scroll] });
        self.server
            .call(Method::DELETE, "/_search/scroll", Some(body))
            .await?;
        Ok(Some(pages.entries()))
    }

    async fn text_search(
        &self,
        collection: &str,
        text: &str,
        limit: usize,
        enriched: bool,
    ) -> Result<Option<Vec<Hit>>> {
        if enriched {
            return Ok(None);
        }
        let query = json!({ "bool": {
            "filter": self.conditions(collection, &Filter::all()), "must": [{ "match": { "text": text } }],
        } });
        self.hits(&self.indexes(collection), query, limit).await
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        self.delete_matching(collection, filter).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        match self.dialect {
            Dialect::Elastic => self.delete_matching(collection, &Filter::all()).await,
            Dialect::Open => {
                let path = format!("/{}", self.indexes(collection));
                self.server.call(Method::DELETE, &path, None).await?;
                Ok(())
            }
        }
    }

    async fn reset(&self) -> Result<()> {
        let all = format!("/{}_*", self.prefix);
        let found = self
            .server
            .call(Method::GET, &all, None)
            .await?
            .unwrap_or_default();
        for name in found.as_object().into_iter().flat_map(|found| found.keys()) {
            self.server
                .call(Method::DELETE, &format!("/{name}"), None)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
