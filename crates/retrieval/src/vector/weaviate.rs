//! Vectors on a Weaviate server: its REST interface for what is written, GraphQL for what is read. A collection is a
//! class; metadata are properties, and beside them one text with all of it, since names and numbers change on the way.

use async_trait::async_trait;
use oui_config::settings::Vectors;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::rows::{Pages, Scale, Shape, list};
use super::server::Server;
use super::{Entry, Filter, Hit, Item, Metadata, VectorStore};
use crate::error::{Error, Result};

/// Objects sent at once.
const SENT: usize = 100;

/// Objects fetched at once; the server gives at most ten thousand over all pages.
const FETCHED: usize = 1000;

/// Property with the whole metadata as JSON.
const WHOLE: &str = "oui_metadata";

/// Name of the vector, as the official client calls the only one.
const VECTOR: &str = "default";

/// The store.
pub struct Weaviate {
    server: Server,
}

impl Weaviate {
    /// The server of the settings.
    pub fn new(client: reqwest::Client, settings: &Vectors) -> Result<Self> {
        if settings.weaviate_host.is_empty() {
            return Err(Error::Settings(
                "VECTOR_DB=weaviate needs WEAVIATE_HTTP_HOST".into(),
            ));
        }
        let scheme = if settings.weaviate_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}:{}", settings.weaviate_host, settings.weaviate_port);
        let store = Self::at(client, &url);
        Ok(match &settings.weaviate_key {
            Some(key) => Self {
                server: store
                    .server
                    .header("authorization", &format!("Bearer {}", key.expose())),
            },
            None => store,
        })
    }

    fn at(client: reqwest::Client, url: &str) -> Self {
        let reasons = &["/error/0/message", "/message"];
        Self {
            server: Server::new("Weaviate", client, &format!("{url}/v1"), reasons),
        }
    }

    /// The names of the class's properties; `None` when there is no such class.
    async fn properties(&self, class: &str) -> Result<Option<Vec<String>>> {
        let found = self
            .server
            .call(Method::GET, &format!("/schema/{class}"), None)
            .await?;
        let name = |property: &Value| Some(property["name"].as_str()?.to_owned());
        Ok(found.map(|found| list(&found["properties"], name)))
    }

    async fn make(&self, class: &str) -> Result<()> {
        let vector = json!({
            "vectorizer": { "none": {} }, "vectorIndexType": "hnsw", "vectorIndexConfig": { "distance": "cosine" },
        });
        let body = json!({
            "class": class,
            "vectorConfig": { VECTOR: vector },
            "properties": [
                { "name": "text", "dataType": ["text"] },
                { "name": WHOLE, "dataType": ["text"], "indexFilterable": false, "indexSearchable": false },
            ],
        });
        self.server.make(Method::POST, "/schema", body).await
    }

    /// Objects of a class with what `extra` asks for, as the server orders them; `None` when there is no such class.
    async fn get(&self, class: &str, arguments: &str, extra: &str) -> Result<Option<Value>> {
        let Some(properties) = self.properties(class).await? else {
            return Ok(None);
        };
        let query = format!(
            "{{Get{{{class}({arguments}){{{} _additional{{id {extra}}}}}}}}}",
            properties.join(" ")
        );
        let body = json!({ "query": query });
        let answer = self.server.call(Method::POST, "/graphql", Some(body)).await?;
        let mut answer = answer.unwrap_or_default();
        if let Some(reason) = answer.pointer("/errors/0/message").and_then(Value::as_str) {
            return Err(self.server.error(reason));
        }
        let mut found = answer["data"]["Get"][class].take();
        for object in found.as_array_mut().into_iter().flatten() {
            with_metadata(object);
        }
        Ok(Some(found))
    }

    async fn hits(
        &self,
        collection: &str,
        arguments: String,
        extra: &str,
        scale: Scale,
    ) -> Result<Option<Vec<Hit>>> {
        let found = self.get(&class_of(collection), &arguments, extra).await?;
        let shape = Shape {
            score: if extra == "score" {
                "/_additional/score"
            } else {
                "/_additional/distance"
            },
            ..SHAPE
        };
        Ok(found.map(|found| shape.hits(&found, scale)))
    }
}

/// The class of a collection: a capital letter, then letters, digits and underscores.
fn class_of(collection: &str) -> String {
    let kept: String = collection
        .replace('-', "_")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    let kept = kept.trim_matches('_');
    match kept.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => {
            format!("{}{}", first.to_ascii_uppercase(), &kept[1..])
        }
        _ => format!("C{kept}"),
    }
}

/// Whether the server takes this as the name of a property of ours.
fn is_property(name: &str) -> bool {
    let mut chars = name.chars();
    let reserved = ["id", "_id", "vector", "_additional", "text", WHOLE];
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 231
        && !reserved.contains(&name)
}

fn condition(path: &str, value: &Value) -> Map<String, Value> {
    let (kind, value) = match value {
        Value::Number(_) => ("valueNumber", value.clone()),
        Value::Bool(_) => ("valueBoolean", value.clone()),
        Value::String(_) => ("valueText", value.clone()),
        other => ("valueText", json!(other.to_string())),
    };
    let mut condition = Map::new();
    condition.insert("path".into(), json!([path]));
    condition.insert("operator".into(), json!("Equal"));
    condition.insert(kind.into(), value);
    condition
}

fn joined(operator: &str, mut operands: Vec<Value>) -> Value {
    if operands.len() == 1 {
        return operands.remove(0);
    }
    json!({ "operator": operator, "operands": operands })
}

/// The filter in the server's language. Texts are compared by their words there, so that more may match than is
/// meant: who uses it looks at what came.
fn conditions(filter: &Filter) -> Option<Value> {
    let any = |path: &str, values: &[Value]| {
        let list = values
            .iter()
            .map(|value| Value::Object(condition(path, value)))
            .collect();
        joined("Or", list)
    };
    let all = filter.terms(
        |ids| {
            let ids: Vec<Value> = ids.iter().map(|id| json!(id)).collect();
            any("id", &ids)
        },
        |name, values| any(name, values),
    );
    (!all.is_empty()).then(|| joined("And", all))
}

/// A value as GraphQL writes it: names of members and operators stand without quotes.
fn graphql(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("operator", Value::String(operator)) => format!("operator:{operator}"),
                _ => format!("{name}:{}", graphql(value)),
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(graphql).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}

const SHAPE: Shape = Shape {
    id: "/_additional/id",
    text: "/text",
    metadata: "/oui_metadata",
    own: &[],
    score: "/_additional/distance",
};

/// Puts the metadata where `SHAPE` has them: they come as a text.
fn with_metadata(object: &mut Value) {
    let whole = object[WHOLE]
        .as_str()
        .and_then(|text| serde_json::from_str::<Metadata>(text).ok());
    let metadata = whole.unwrap_or_else(|| {
        // Written by the reference: the properties are all there is.
        let mut properties = object.as_object().cloned().unwrap_or_default();
        let own = ["text", "_additional", WHOLE];
        properties.retain(|name, value| !own.contains(&name.as_str()) && !value.is_null());
        properties
    });
    object[WHOLE] = Value::Object(metadata);
}

#[async_trait]
impl VectorStore for Weaviate {
    fn name(&self) -> &'static str {
        "weaviate"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        Ok(self.properties(&class_of(collection)).await?.is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let class = class_of(collection);
        if self.properties(&class).await?.is_none() {
            self.make(&class).await?;
        }
        for part in items.chunks(SENT) {
            let object = |item: &Item| {
                let mut properties = item.metadata.clone();
                properties.retain(|name, _| is_property(name));
                properties.insert("text".into(), json!(item.text));
                let whole = Value::Object(item.metadata.clone()).to_string();
                properties.insert(WHOLE.into(), json!(whole));
                json!({ "class": class, "id": item.id, "properties": properties, "vectors": { VECTOR: item.vector } })
            };
            let body = json!({ "objects": part.iter().map(object).collect::<Vec<_>>() });
            let answer = self
                .server
                .call(Method::POST, "/batch/objects", Some(body))
                .await?;
            let reason = |object: &Value| {
                let reason = object.pointer("/result/errors/error/0/message")?;
                Some(reason.as_str()?.to_owned())
            };
            if let Some(reason) = list(&answer.unwrap_or_default(), reason).first() {
                return Err(self.server.error(reason));
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
        if filter.is_hopeless() {
            return Ok(self.has(collection).await?.then(Vec::new));
        }
        let mut arguments = format!("limit:{limit} nearVector:{{vector:{}}}", json!(vector));
        if let Some(conditions) = conditions(filter) {
            arguments.push_str(&format!(" where:{}", graphql(&conditions)));
        }
        let hits = self
            .hits(collection, arguments, "distance", Scale::Distance)
            .await?;
        let meant = |hit: &Hit| filter.matches(&hit.entry.id, &hit.entry.metadata);
        Ok(hits.map(|hits| hits.into_iter().filter(meant).collect()))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        if filter.is_hopeless() {
            return Ok(self.has(collection).await?.then(Vec::new));
        }
        let conditions = conditions(filter);
        let mut pages = Pages::new(filter, limit, FETCHED).loose();
        while let Some(room) = pages.room() {
            let mut arguments = format!("limit:{room} offset:{}", pages.seen());
            if let Some(conditions) = &conditions {
                arguments.push_str(&format!(" where:{}", graphql(conditions)));
            }
            let Some(found) = self.get(&class_of(collection), &arguments, "").await? else {
                return Ok(None);
            };
            pages.add(found.as_array().map_or(0, Vec::len), SHAPE.entries(&found));
        }
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
        let arguments = format!(
            "limit:{limit} bm25:{{query:{} properties:[\"text\"]}}",
            json!(text)
        );
        self.hits(collection, arguments, "score", Scale::Plain).await
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        // What matches exactly is asked for first: see `conditions`.
        let found = self.query(collection, filter, None).await?.unwrap_or_default();
        let class = class_of(collection);
        for part in found.chunks(SENT) {
            let ids = Filter::ids(part.iter().map(|entry| entry.id.clone()));
            let body = json!({ "match": { "class": class, "where": conditions(&ids) }, "output": "minimal" });
            self.server
                .call(Method::DELETE, "/batch/objects", Some(body))
                .await?;
        }
        Ok(())
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        let path = format!("/schema/{}", class_of(collection));
        self.server.call(Method::DELETE, &path, None).await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let all = self.server.call(Method::GET, "/schema", None).await?;
        let name = |class: &Value| Some(class["class"].as_str()?.to_owned());
        for class in list(&all.unwrap_or_default()["classes"], name) {
            let path = format!("/schema/{class}");
            self.server.call(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
