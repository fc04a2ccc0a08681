//! Vectors on a Valkey or Redis server with its search module. An entry is a hash whose key begins with the
//! collection's name; an index for each collection finds them by vector and by the few fields that it knows. What it
//! does not know is looked for here, in the entries themselves.

use oui_core::boxed;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use oui_config::settings::Vectors;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, FromRedisValue};
use serde_json::Value;

use super::matrix::likeness;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};

/// Entries sent or fetched at once.
const ENTRIES: usize = 200;

/// The most that one search gives.
const FOUND: usize = 10_000;

/// Fields of the metadata that the index knows.
const INDEXED: [&str; 4] = ["hash", "file_id", "source", "knowledge_base_id"];

/// Building an index of neighbours takes seconds for many vectors.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stands for a value that nothing has.
const NEVER: &str = "__open_webui_valkey_never_match__";

/// The store.
pub struct Valkey {
    connection: ConnectionManager,
    prefix: String,
    /// The index of new collections, without the length of their vectors.
    index: Vec<String>,
    metric: String,
}

fn failed(error: redis::RedisError) -> Error {
    Error::Upstream(format!("Valkey: {error}"))
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Upstream(format!("Valkey: {error}"))
}

/// What is kept of an entry.
struct Kept {
    entry: Entry,
    vector: Vec<f32>,
}

type Fields = HashMap<String, Vec<u8>>;

fn kept(mut fields: Fields) -> Option<Kept> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let id = fields.remove("id")?;
    let metadata = fields.remove("metadata_json").unwrap_or_default();
    let vector = fields.remove("vector").unwrap_or_default();
    let number = |bytes: &[u8]| bytes.try_into().map(f32::from_le_bytes).unwrap_or_default();
    Some(Kept {
        entry: Entry {
            id: text(Some(id)),
            text: text(fields.remove("text")),
            metadata: serde_json::from_slice(&metadata).unwrap_or_default(),
        },
        vector: vector.chunks_exact(4).map(number).collect(),
    })
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A value as the index has it.
fn tag(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

/// The part of the filter that the index can answer; `None` when it knows none of the fields.
fn expression(filter: &Filter) -> Option<String> {
    let escaped = |value: &Value| {
        let mut text = String::new();
        for letter in tag(value).chars() {
            if ",.<>{}[]\"':;!@#$%^&*()-+=~?\\/| \t\n\r".contains(letter) {
                text.push('\\');
            }
            text.push(letter);
        }
        text
    };
    let mut parts = Vec::new();
    for (name, values) in &filter.fields {
        if INDEXED.contains(&name.as_str()) {
            let mut values: Vec<String> = values.iter().map(escaped).collect();
            if values.is_empty() {
                values.push(NEVER.into());
            }
            parts.push(format!("@{name}:{{{}}}", values.join("|")));
        }
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Whether the index answers all of the filter.
fn is_indexed(filter: &Filter) -> bool {
    let known = |(name, _): &(String, Vec<Value>)| INDEXED.contains(&name.as_str());
    filter.ids.is_none() && filter.fields.iter().all(known)
}

impl Valkey {
    /// Connects to the server of the settings.
    #[boxed]
    pub async fn open(settings: &Vectors) -> Result<Self> {
        let Some(url) = &settings.valkey_url else {
            let text = "VALKEY_URL is required when VECTOR_DB=valkey. Set it to your Valkey server URL (e.g., \
                        valkey://localhost:6379).";
            return Err(Error::Settings(text.into()));
        };
        let metric = settings.valkey_metric.to_uppercase();
        if !["COSINE", "L2", "IP"].contains(&metric.as_str()) {
            return Err(Error::Settings(format!(
                "VALKEY_DISTANCE_METRIC is {metric:?}; it can be COSINE, L2 or IP"
            )));
        }
        let mut index: Vec<String> = Vec::new();
        let (m, build, search) = (
            settings.valkey_hnsw_m.to_string(),
            settings.valkey_hnsw_ef_build.to_string(),
            settings.valkey_hnsw_ef_search.to_string(),
        );
        if settings.valkey_index.eq_ignore_ascii_case("HNSW") {
            let parts = ["M", &m, "EF_CONSTRUCTION", &build, "EF_RUNTIME", &search];
            index.extend(["HNSW".to_owned(), "12".to_owned()]);
            index.extend(parts.map(str::to_owned));
        } else {
            index.extend(["FLAT".to_owned(), "6".to_owned()]);
        }
        // The same protocol under another name.
        let url = url.expose().replacen("valkey", "redis", 1);
        let client = redis::Client::open(url).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_connection_manager_with_config(config).await;
        Ok(Self {
            connection: connection.map_err(failed)?,
            prefix: settings.valkey_prefix.clone(),
            index,
            metric,
        })
    }

    fn index_of(&self, collection: &str) -> String {
        format!("idx:{}:{collection}", self.prefix)
    }

    fn keys_of(&self, collection: &str) -> String {
        format!("{}:{collection}:", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        command
            .query_async(&mut self.connection.clone())
            .await
            .map_err(failed)
    }

    async fn make(&self, collection: &str, width: usize) -> Result<()> {
        let mut command = redis::cmd("FT.CREATE");
        command
            .arg(self.index_of(collection))
            .arg(&["ON", "HASH", "PREFIX", "1"])
            .arg(self.keys_of(collection))
            .arg(&["SCHEMA", "vector", "VECTOR"])
            .arg(&self.index)
            .arg(&["TYPE", "FLOAT32", "DIM"])
            .arg(width)
            .arg(&["DISTANCE_METRIC", &self.metric])
            .arg(&["text", "TEXT", "id", "TAG", "metadata_json", "TEXT"]);
        for field in INDEXED {
            command.arg(field).arg("TAG");
        }
        match self.ask::<()>(&command).await {
            // Another request was faster.
            Err(error) if error.to_string().to_lowercase().contains("already exists") => Ok(()),
            other => other,
        }
    }

    /// The hashes at these keys, those that are there.
    async fn at(&self, keys: &[String]) -> Result<Vec<Kept>> {
        let mut all = Vec::new();
        for part in keys.chunks(ENTRIES) {
            let mut pipe = redis::pipe();
            for key in part {
                pipe.hgetall(key);
            }
            let found: Vec<Fields> = pipe
                .query_async(&mut self.connection.clone())
                .await
                .map_err(failed)?;
            all.extend(found.into_iter().filter_map(kept));
        }
        Ok(all)
    }

    /// The keys of a collection, in no order.
    async fn all_keys(&self, collection: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH");
            command
                .arg(format!("{}*", self.keys_of(collection)))
                .arg("COUNT")
                .arg(500);
            let (next, found): (String, Vec<String>) = self.ask(&command).await?;
            keys.extend(found);
            cursor = next;
            if cursor == "0" {
                // A key may come twice.
                keys.sort_unstable();
                keys.dedup();
                return Ok(keys);
            }
        }
    }

    /// What the index finds: the key of each with the fields asked for.
    async fn find(&self, collection: &str, query: &str, rest: &[&[u8]]) -> Result<Vec<(String, Fields)>> {
        let mut command = redis::cmd("FT.SEARCH");
        command.arg(self.index_of(collection)).arg(query);
        for part in rest {
            command.arg(part);
        }
        command.arg(&["DIALECT", "2"]);
        let answer: Vec<redis::Value> = self.ask(&command).await?;
        let mut found = Vec::new();
        // The count, then key and fields in turn.
        for pair in answer.get(1..).unwrap_or_default().chunks_exact(2) {
            let key = String::from_redis_value_ref(&pair[0]).map_err(unreadable)?;
            let fields = Fields::from_redis_value_ref(&pair[1]).map_err(unreadable)?;
            found.push((key, fields));
        }
        Ok(found)
    }

    /// The keys that may match: all of what the index can tell, or all there are.
    async fn candidates(&self, collection: &str, filter: &Filter) -> Result<Vec<String>> {
        if let Some(ids) = &filter.ids {
            let prefix = self.keys_of(collection);
            return Ok(ids.iter().map(|id| format!("{prefix}{id}")).collect());
        }
        let Some(query) = expression(filter) else {
            return self.all_keys(collection).await;
        };
        let mut keys = Vec::new();
        loop {
            let (offset, most) = (keys.len().to_string(), FOUND.to_string());
            let rest = ["RETURN", "1", "id", "LIMIT", &offset, &most].map(str::as_bytes);
            let found = self.find(collection, &query, &rest).await?;
            let count = found.len();
            keys.extend(found.into_iter().map(|(key, _)| key));
            if count < FOUND {
                return Ok(keys);
            }
        }
    }

    /// The entries that the filter matches, with their vectors.
    async fn matching(&self, collection: &str, filter: &Filter) -> Result<Vec<Kept>> {
        let keys = self.candidates(collection, filter).await?;
        let mut all = self.at(&keys).await?;
        all.retain(|kept| filter.matches(&kept.entry.id, &kept.entry.metadata));
        Ok(all)
    }

    async fn remove(&self, keys: Vec<String>) -> Result<()> {
        for part in keys.chunks(ENTRIES) {
            let mut command = redis::cmd("DEL");
            command.arg(part);
            self.ask::<()>(&command).await?;
        }
        Ok(())
    }

    /// A distance of the server as a likeness.
    fn score(&self, distance: f64) -> f64 {
        match self.metric.as_str() {
            "L2" => 1.0 / (1.0 + distance),
            _ => (1.0 - distance / 2.0).clamp(0.0, 1.0),
        }
    }
}

#[async_trait]
impl VectorStore for Valkey {
    fn name(&self) -> &'static str {
        "valkey"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let mut command = redis::cmd("FT.INFO");
        command.arg(self.index_of(collection));
        match self.ask::<redis::Value>(&command).await {
            Ok(_) => Ok(true),
            Err(error) => {
                let text = error.to_string().to_lowercase();
                let missing = ["no such index", "unknown index", "not found"];
                if missing.iter().any(|part| text.contains(part)) {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
        }
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        if !self.has(collection).await? {
            self.make(collection, first.vector.len()).await?;
        }
        let prefix = self.keys_of(collection);
        for part in items.chunks(ENTRIES) {
            let mut pipe = redis::pipe();
            for item in part {
                let metadata = Value::Object(item.metadata.clone()).to_string();
                let mut fields: Vec<(&str, Vec<u8>)> = vec![
                    ("id", item.id.clone().into_bytes()),
                    ("vector", bytes(&item.vector)),
                    ("text", item.text.clone().into_bytes()),
                    ("metadata_json", metadata.into_bytes()),
                ];
                for name in INDEXED {
                    let value = item.metadata.get(name).map(tag).unwrap_or_default();
                    fields.push((name, value.into_bytes()));
                }
                pipe.hset_multiple(format!("{prefix}{}", item.id), &fields)
                    .ignore();
            }
            pipe.query_async::<()>(&mut self.connection.clone())
                .await
                .map_err(failed)?;
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
        if !self.has(collection).await? {
            return Ok(None);
        }
        let mut hits: Vec<Hit> = if is_indexed(filter) {
            let among = expression(filter).map_or_else(|| "*".to_owned(), |own| format!("({own})"));
            let query = format!("{among}=>[KNN {limit} @vector $query_vec]");
            let (count, sought) = (limit.to_string(), bytes(vector));
            let mut rest: Vec<&[u8]> = vec![b"PARAMS", b"2", b"query_vec", &sought];
            rest.extend(["RETURN", "4", "id", "text", "metadata_json", "__vector_score"].map(str::as_bytes));
            rest.extend(["LIMIT", "0", &count].map(str::as_bytes));
            let found = self.find(collection, &query, &rest).await?;
            let hit = |(_, fields): (String, Fields)| {
                let distance = std::str::from_utf8(fields.get("__vector_score")?).ok()?;
                Some(Hit {
                    score: self.score(distance.parse().ok()?),
                    entry: kept(fields)?.entry,
                })
            };
            found.into_iter().filter_map(hit).collect()
        } else {
            let hit = |kept: Kept| Hit {
                score: likeness(vector, &kept.vector),
                entry: kept.entry,
            };
            let matching = self.matching(collection, filter).await?;
            matching.into_iter().map(hit).collect()
        };
        hits.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.entry.id.cmp(&b.entry.id))
        });
        hits.truncate(limit);
        Ok(Some(hits))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        if !self.has(collection).await? {
            return Ok(None);
        }
        let matching = self.matching(collection, filter).await?;
        let entries = matching.into_iter().map(|kept| kept.entry);
        Ok(Some(entries.take(limit.unwrap_or(usize::MAX)).collect()))
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() || !self.has(collection).await? {
            return Ok(());
        }
        let prefix = self.keys_of(collection);
        let matching = self.matching(collection, filter).await?;
        let key = |kept: Kept| format!("{prefix}{}", kept.entry.id);
        self.remove(matching.into_iter().map(key).collect()).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        if self.has(collection).await? {
            let mut command = redis::cmd("FT.DROPINDEX");
            command.arg(self.index_of(collection));
            self.ask::<()>(&command).await?;
        }
        // The index forgets, the entries stay.
        let keys = self.all_keys(collection).await?;
        self.remove(keys).await
    }

    async fn reset(&self) -> Result<()> {
        let names: Vec<String> = self.ask(&redis::cmd("FT._LIST")).await?;
        let own = self.index_of("");
        for name in names {
            if let Some(collection) = name.strip_prefix(&own) {
                self.drop_collection(collection).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
