//! Vectors on a Chroma server, through its HTTP interface of version 2.

use std::collections::HashMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::filter::choice;
use super::rows::{Pages, Scale, Shape};
use super::server::Server;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::Result;

/// Entries sent or fetched at once: below the limits of the server's own store.
const ENTRIES: usize = 1000;

/// The store.
pub struct Chroma {
    server: Server,
}

impl Chroma {
    /// The server of the settings.
    pub fn new(client: reqwest::Client, settings: &Vectors) -> Self {
        let scheme = if settings.chroma_tls { "https" } else { "http" };
        let host = settings
            .chroma_host
            .trim_start_matches("http://")
            .trim_start_matches("https://");
        let address = format!(
            "{scheme}://{}:{}",
            host.trim_end_matches('/'),
            settings.chroma_port
        );
        let pairs = settings.chroma_headers.split(',');
        let headers = pairs.filter_map(|pair| pair.split_once('='));
        let store = Self::at(
            client,
            &address,
            &settings.chroma_tenant,
            &settings.chroma_database,
        );
        let server = headers.fold(store.server, |server, (name, value)| server.header(name, value));
        let credentials = settings
            .chroma_credentials
            .as_ref()
            .zip(settings.chroma_auth.as_ref());
        let server = match credentials {
            Some((pair, kind)) if kind.to_lowercase().contains("basic") => server.header(
                "authorization",
                &format!("Basic {}", STANDARD.encode(pair.expose())),
            ),
            Some((token, _)) => server.header("authorization", &format!("Bearer {}", token.expose())),
            None => server,
        };
        Self { server }
    }

    fn at(client: reqwest::Client, address: &str, tenant: &str, database: &str) -> Self {
        let base = format!("{address}/api/v2/tenants/{tenant}/databases/{database}/collections");
        Self {
            server: Server::new("Chroma", client, &base, &["/message"]),
        }
    }

    async fn id(&self, collection: &str) -> Result<Option<String>> {
        let found = self
            .server
            .call(Method::GET, &format!("/{collection}"), None)
            .await?;
        Ok(found.and_then(|found| found["id"].as_str().map(str::to_owned)))
    }

    async fn id_or_new(&self, collection: &str) -> Result<String> {
        let body =
            json!({ "name": collection, "get_or_create": true, "metadata": { "hnsw:space": "cosine" } });
        let made = self.server.call(Method::POST, "", Some(body)).await?;
        made.and_then(|made| made["id"].as_str().map(str::to_owned))
            .ok_or_else(|| self.server.error("the collection could not be made"))
    }
}

/// The filter in Chroma's language.
fn conditions(filter: &Filter) -> Map<String, Value> {
    let mut body = Map::new();
    let mut fields = Vec::new();
    let terms = filter.terms(
        |ids| ("ids", json!(ids)),
        |name, values| ("where", json!({ name: choice(values, "$eq", "$in") })),
    );
    for (kind, term) in terms {
        if kind == "where" {
            fields.push(term);
        } else {
            body.insert(kind.into(), term);
        }
    }
    if fields.len() > 1 {
        fields = vec![json!({ "$and": fields })];
    }
    body.extend(fields.pop().map(|whole| ("where".to_owned(), whole)));
    body
}

const SHAPE: Shape = Shape {
    id: "/ids",
    text: "/documents",
    metadata: "/metadatas",
    own: &[],
    score: "/distances",
};

/// The columns of an answer as rows, those of its first question where there are several.
fn rows(answer: &Value) -> Value {
    let names = ["ids", "documents", "metadatas", "distances"];
    let column = |name: &str| {
        let column = &answer[name];
        if column[0].is_array() {
            column[0].clone()
        } else {
            column.clone()
        }
    };
    let columns = names.map(|name| (name, column(name)));
    let count = columns[0].1.as_array().map_or(0, Vec::len);
    let row = |place: usize| {
        let cells = columns.iter();
        let cells = cells.map(|(name, column)| ((*name).to_owned(), column[place].clone()));
        Value::Object(cells.collect())
    };
    (0..count).map(row).collect()
}

#[async_trait]
impl VectorStore for Chroma {
    fn name(&self) -> &'static str {
        "chroma"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        Ok(self.id(collection).await?.is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let id = self.id_or_new(collection).await?;
        for part in items.chunks(ENTRIES) {
            let column = |of: fn(&Item) -> Value| part.iter().map(of).collect::<Vec<Value>>();
            let body = json!({
                "ids": column(|item| json!(item.id)),
                "documents": column(|item| json!(item.text)),
                "embeddings": column(|item| json!(item.vector)),
                "metadatas": column(|item| {
                    if item.metadata.is_empty() { Value::Null } else { Value::Object(item.metadata.clone()) }
                }),
            });
            self.server
                .call(Method::POST, &format!("/{id}/upsert"), Some(body))
                .await?;
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
        let Some(id) = self.id(collection).await? else {
            return Ok(None);
        };
        let mut body = conditions(filter);
        body.insert("query_embeddings".into(), json!([vector]));
        body.insert("n_results".into(), json!(limit));
        body.insert("include".into(), json!(["documents", "metadatas", "distances"]));
        let found = self
            .server
            .call(Method::POST, &format!("/{id}/query"), Some(Value::Object(body)))
            .await?;
        Ok(found.map(|found| SHAPE.hits(&rows(&found), Scale::Distance)))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let Some(id) = self.id(collection).await? else {
            return Ok(None);
        };
        let mut pages = Pages::new(filter, limit, ENTRIES);
        while let Some(room) = pages.room() {
            let mut body = conditions(filter);
            body.insert("include".into(), json!(["documents", "metadatas"]));
            body.insert("limit".into(), json!(room));
            body.insert("offset".into(), json!(pages.seen()));
            let found = self
                .server
                .call(Method::POST, &format!("/{id}/get"), Some(Value::Object(body)))
                .await?;
            let Some(found) = found else { return Ok(None) };
            let rows = rows(&found);
            pages.add(rows.as_array().map_or(0, Vec::len), SHAPE.entries(&rows));
        }
        Ok(Some(pages.entries()))
    }

    async fn scores(
        &self,
        _collection: &str,
        _vector: &[f32],
        _ids: &[String],
    ) -> Result<Option<HashMap<String, f64>>> {
        // The server cannot search among ids.
        Ok(None)
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        if let Some(id) = self.id(collection).await? {
            let body = Value::Object(conditions(filter));
            self.server
                .call(Method::POST, &format!("/{id}/delete"), Some(body))
                .await?;
        }
        Ok(())
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        self.server
            .call(Method::DELETE, &format!("/{collection}"), None)
            .await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        loop {
            let all = self
                .server
                .call(Method::GET, "?limit=500", None)
                .await?
                .unwrap_or_default();
            let names: Vec<&str> = all
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|collection| collection["name"].as_str())
                .collect();
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.drop_collection(name).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::conformance;

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are pointed at their services by variables"
    )]
    async fn it_does_what_every_engine_does() {
        let Ok(url) = std::env::var("OUI_TEST_CHROMA_URL") else {
            eprintln!("skipped: no Chroma server");
            return;
        };
        let client = crate::testing::client();
        let store = Chroma::at(client, &url, "default_tenant", "default_database");
        store.reset().await.unwrap();
        conformance::check(&store).await;
    }

    #[test]
    fn filters_are_spoken() {
        assert!(conditions(&Filter::all()).is_empty());
        let one = Filter::eq("a", 1);
        assert_eq!(
            Value::Object(conditions(&one)),
            json!({"where": {"a": {"$eq": 1}}})
        );
        let two = one.and("b", [json!("x"), json!("y")]);
        assert_eq!(
            Value::Object(conditions(&two)),
            json!({"where": {"$and": [{"a": {"$eq": 1}}, {"b": {"$in": ["x", "y"]}}]}})
        );
        let ids = Filter::ids(["i".to_owned()]);
        assert_eq!(Value::Object(conditions(&ids)), json!({"ids": ["i"]}));
    }
}
