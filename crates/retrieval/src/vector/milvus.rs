//! Vectors on a Milvus server, through its gRPC interface. A collection is one of the server's, or, where that is
//! switched on, a part of a shared one; laid out as the reference does: with an index of words where the server has
//! them (2.5), else, in collections of their own, with the text inside a JSON field.

mod grpc;
mod parts;
mod wire;

use oui_core::boxed;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_config::settings::Vectors;
use prost::Message;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use self::grpc::Grpc;
use self::parts::{
    cut, expression, field, jsons, knows_words, outputs, pairs, placeholders, rows, sought, texts,
};
use self::wire::{Column, Done, FieldData, Named};
use super::rows::{Pages, Scale};
use super::shared::Place;
use super::{Entry, Filter, Hit, Item, Metadata, VectorStore};
use crate::error::{Error, Result};

/// Begins the names of collections that stand for themselves.
const PREFIX: &str = "open_webui";

/// Field that tells collections apart that share one.
const TENANT: &str = "resource_id";

/// Rows sent or fetched at once: of the longest texts they stay below the limit of a message.
const ROWS: usize = 128;

/// Bytes of a text that the server takes.
const LONGEST: usize = 65_535;

/// Types of fields.
const VARCHAR: i32 = 21;
const JSON: i32 = 23;
const FLOAT_VECTOR: i32 = 101;
const SPARSE_VECTOR: i32 = 104;

/// Kind of the function that makes an index of words.
const BM25: i32 = 1;

/// Kind of a filter that is written as an expression.
const EXPRESSION: i32 = 1;

/// The store.
pub struct Milvus {
    grpc: Grpc,
    database: String,
    index: String,
    metric: String,
    build: Value,
    prefix: String,
    shared: bool,
}

/// Where a server is.
pub struct Target<'t> {
    /// Address with `http://` or `https://`.
    pub url: &'t str,
    /// Key, or `user:password`.
    pub token: Option<&'t str>,
    /// Database there.
    pub database: &'t str,
}

impl Milvus {
    /// The server of the settings. `plain` speaks HTTP/2 from the first byte and is used for addresses without TLS.
    pub fn new(client: reqwest::Client, plain: reqwest::Client, settings: &Vectors) -> Result<Self> {
        let target = Target {
            url: settings.milvus_url.as_deref().unwrap_or_default(),
            token: settings.milvus_token.as_ref().map(|token| token.expose()),
            database: &settings.milvus_database,
        };
        let index = settings.milvus_index.to_uppercase();
        let build = match index.as_str() {
            "HNSW" => json!({ "M": settings.milvus_hnsw_m, "efConstruction": settings.milvus_hnsw_ef }),
            "IVF_FLAT" => json!({ "nlist": settings.milvus_ivf_lists }),
            "DISKANN" => json!({
                "max_degree": settings.milvus_diskann_degree,
                "search_list_size": settings.milvus_diskann_list,
            }),
            _ => json!({}),
        };
        Ok(Self {
            index,
            metric: settings.milvus_metric.to_uppercase(),
            build,
            shared: settings.milvus_shared,
            prefix: if settings.milvus_shared {
                // The server takes letters, digits and underscores.
                settings.milvus_prefix.replace('-', "_")
            } else {
                PREFIX.into()
            },
            ..Self::at(client, plain, &target)?
        })
    }

    /// A server that is only asked.
    pub fn at(client: reqwest::Client, plain: reqwest::Client, target: &Target<'_>) -> Result<Self> {
        let is_plain = target.url.starts_with("http://");
        if !is_plain && !target.url.starts_with("https://") {
            let text = "Milvus needs the http:// or https:// address of a server; MILVUS_URI names it for VECTOR_DB=milvus";
            return Err(Error::Settings(text.into()));
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = target.token
            && let Ok(mut value) = HeaderValue::from_str(&STANDARD.encode(token))
        {
            value.set_sensitive(true);
            headers.insert("authorization", value);
        }
        if let Ok(database) = HeaderValue::from_str(target.database) {
            headers.insert("dbname", database);
        }
        Ok(Self {
            grpc: Grpc {
                client: if is_plain { plain } else { client },
                base: target.url.trim_end_matches('/').to_owned(),
                headers,
            },
            database: target.database.to_owned(),
            index: String::new(),
            metric: String::new(),
            build: Value::Null,
            prefix: PREFIX.into(),
            shared: false,
        })
    }

    fn place(&self, collection: &str) -> Place {
        if self.shared {
            Place::shared(&self.prefix, collection, "_")
        } else {
            Place::own(format!("{}_{}", self.prefix, collection.replace('-', "_")))
        }
    }

    /// The rows of a collection of others that are nearest to a vector: each with the fields wanted, its id and the
    /// server's number. `None` when there is no such collection.
    #[boxed]
    pub async fn foreign(
        &self,
        collection: &str,
        field: &str,
        vector: &[f32],
        limit: usize,
        wanted: Vec<String>,
    ) -> Result<Option<Vec<(Metadata, f64)>>> {
        let search = wire::Search {
            db_name: self.database.clone(),
            collection_name: collection.to_owned(),
            placeholder_group: placeholders(vector).encode_to_vec(),
            dsl_type: EXPRESSION,
            output_fields: wanted,
            search_params: pairs(&[
                ("anns_field", field),
                ("topk", &limit.max(1).to_string()),
                ("params", "{}"),
                ("round_decimal", "-1"),
            ]),
            nq: 1,
            ..wire::Search::default()
        };
        let answer: Option<wire::SearchResults> = self.grpc.call("Search", &search).await?;
        let Some(answer) = answer else { return Ok(None) };
        let found = answer.results.unwrap_or_default();
        let ids = found.ids.unwrap_or_default();
        let row = |(place, score): (usize, f32)| {
            let score = f64::from(score);
            let column = |column: &FieldData| Some((column.field_name.clone(), wire::value(column, place)?));
            let mut row: Metadata = found.fields_data.iter().filter_map(column).collect();
            row.insert("id".into(), ids.at(place));
            row.insert("distance".into(), json!(score));
            (row, score)
        };
        Ok(Some(found.scores.iter().copied().enumerate().map(row).collect()))
    }

    fn named(&self, name: &str) -> Named {
        Named {
            db_name: self.database.clone(),
            collection_name: name.to_owned(),
        }
    }

    /// Whether the collection has an index of words; `None` when there is no such collection.
    async fn has_words(&self, name: &str) -> Result<Option<bool>> {
        let found: Option<wire::Described> = self.grpc.call("DescribeCollection", &self.named(name)).await?;
        let schema = found.map(|found| found.schema.unwrap_or_default());
        Ok(schema.map(|schema| schema.fields.iter().any(|field| field.name == "sparse")))
    }

    /// Makes a collection. Whether it has an index of words.
    async fn make(&self, place: &Place, width: usize) -> Result<bool> {
        let name = place.name.as_str();
        let shared = place.tenant.is_some();
        let version: Option<wire::Version> = self.grpc.call("GetVersion", &wire::Nothing {}).await?;
        let words = knows_words(&version.unwrap_or_default().version);
        let mut fields = vec![
            wire::Field {
                is_primary_key: true,
                ..field(
                    "id",
                    VARCHAR,
                    &[("max_length", if shared { "36" } else { "65535" })],
                )
            },
            field("vector", FLOAT_VECTOR, &[("dim", &width.to_string())]),
        ];
        let mut functions = Vec::new();
        if words || shared {
            let analyzer = if words { "true" } else { "false" };
            fields.push(field(
                "text",
                VARCHAR,
                &[("max_length", "65535"), ("enable_analyzer", analyzer)],
            ));
        } else {
            fields.push(field("data", JSON, &[]));
        }
        if words {
            fields.push(wire::Field {
                is_function_output: true,
                ..field("sparse", SPARSE_VECTOR, &[])
            });
            functions.push(wire::Function {
                name: "text_bm25".into(),
                kind: BM25,
                input_field_names: vec!["text".into()],
                output_field_names: vec!["sparse".into()],
            });
        }
        fields.push(field("metadata", JSON, &[]));
        if shared {
            fields.push(field(TENANT, VARCHAR, &[("max_length", "255")]));
        }
        let schema = wire::Schema {
            name: name.to_owned(),
            fields,
            enable_dynamic_field: !shared,
            functions,
        };
        let create = wire::Create {
            db_name: self.database.clone(),
            collection_name: name.to_owned(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            // What was written is found at once.
            consistency_level: 0,
        };
        self.grpc
            .call::<wire::Status>("CreateCollection", &create)
            .await?;
        let mut indexes = vec![("vector", self.index.as_str(), self.metric.as_str(), &self.build)];
        let none = json!({});
        if words {
            indexes.push(("sparse", "SPARSE_INVERTED_INDEX", "BM25", &none));
        }
        for (field, kind, metric, build) in indexes {
            let build = build.to_string();
            let index = wire::Index {
                db_name: self.database.clone(),
                collection_name: name.to_owned(),
                field_name: field.to_owned(),
                extra_params: pairs(&[("index_type", kind), ("metric_type", metric), ("params", &build)]),
                index_name: field.to_owned(),
            };
            self.grpc.call::<wire::Status>("CreateIndex", &index).await?;
        }
        if shared {
            let index = wire::Index {
                db_name: self.database.clone(),
                collection_name: name.to_owned(),
                field_name: TENANT.to_owned(),
                extra_params: pairs(&[("index_type", "INVERTED")]),
                index_name: TENANT.to_owned(),
            };
            // Finding is right without it, only slower.
            if let Err(error) = self.grpc.call::<wire::Status>("CreateIndex", &index).await {
                tracing::warn!(%error, collection = name, "Milvus made no index that tells collections apart");
            }
        }
        self.grpc
            .call::<wire::Status>("LoadCollection", &self.named(name))
            .await?;
        Ok(words)
    }

    async fn hits(
        &self,
        place: Place,
        field: &str,
        sought: &wire::Placeholders,
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Hit>>> {
        let (metric, scale) = match field {
            "sparse" => ("BM25", Scale::Plain),
            _ => (self.metric.as_str(), Scale::Cosine),
        };
        let search = wire::Search {
            db_name: self.database.clone(),
            dsl: expression(&place, filter, None),
            output_fields: outputs(&place),
            collection_name: place.name,
            placeholder_group: sought.encode_to_vec(),
            dsl_type: EXPRESSION,
            search_params: pairs(&[
                ("anns_field", field),
                ("topk", &limit.max(1).to_string()),
                ("metric_type", metric),
                ("params", "{}"),
                ("round_decimal", "-1"),
            ]),
            nq: 1,
        };
        let answer: Option<wire::SearchResults> = self.grpc.call("Search", &search).await?;
        let Some(answer) = answer else { return Ok(None) };
        let found = answer.results.unwrap_or_default();
        let ids = found.ids.unwrap_or_default();
        let entries = rows(&found.fields_data, Some(&ids));
        let scores = found.scores.into_iter().map(f64::from);
        let hit = |(entry, score)| Hit {
            entry,
            score: scale.score(score),
        };
        Ok(Some(entries.into_iter().zip(scores).map(hit).collect()))
    }

    async fn delete_matching(&self, place: Place, filter: &Filter) -> Result<()> {
        let delete = wire::Delete {
            db_name: self.database.clone(),
            expr: expression(&place, filter, None),
            collection_name: place.name,
        };
        self.grpc.call::<Done>("Delete", &delete).await?;
        Ok(())
    }
}

#[async_trait]
impl VectorStore for Milvus {
    fn name(&self) -> &'static str {
        "milvus"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let place = self.place(collection);
        if place.tenant.is_none() {
            return Ok(self.has_words(&place.name).await?.is_some());
        }
        let found = self.query(collection, &Filter::all(), Some(1)).await?;
        Ok(found.is_some_and(|found| !found.is_empty()))
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        let place = self.place(collection);
        let words = match self.has_words(&place.name).await? {
            Some(words) => words,
            None => self.make(&place, first.vector.len()).await?,
        };
        for part in items.chunks(ROWS) {
            let column = |of: fn(&Item) -> String| part.iter().map(of).collect::<Vec<String>>();
            let vectors = wire::Vectors {
                dim: i64::try_from(first.vector.len()).unwrap_or_default(),
                float_vector: Some(wire::Floats {
                    data: part.iter().flat_map(|item| item.vector.iter().copied()).collect(),
                }),
            };
            let text = if words || place.tenant.is_some() {
                texts("text", column(|item| cut(&item.text).to_owned()))
            } else {
                let data = part.iter().map(|item| json!({ "text": cut(&item.text) }));
                jsons("data", data.collect())
            };
            let metadata = part.iter().map(|item| Value::Object(item.metadata.clone()));
            let mut fields_data = vec![
                texts("id", column(|item| item.id.clone())),
                FieldData {
                    data_type: FLOAT_VECTOR,
                    field_name: "vector".into(),
                    field: Some(Column::Vectors(vectors)),
                },
                text,
                jsons("metadata", metadata.collect()),
            ];
            let tenant = place.tenant.as_ref();
            fields_data.extend(tenant.map(|tenant| texts(TENANT, vec![tenant.clone(); part.len()])));
            let upsert = wire::Upsert {
                db_name: self.database.clone(),
                collection_name: place.name.clone(),
                fields_data,
                num_rows: u32::try_from(part.len()).unwrap_or_default(),
            };
            self.grpc.call::<Done>("Upsert", &upsert).await?;
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
        let sought = placeholders(vector);
        self.hits(self.place(collection), "vector", &sought, filter, limit)
            .await
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
        let place = self.place(collection);
        let mut pages = Pages::new(filter, limit, ROWS);
        while let Some(room) = pages.room() {
            // Pages follow the ids: the server counts from the start only so far.
            let last = pages.last().unwrap_or_default();
            let query = wire::Query {
                db_name: self.database.clone(),
                collection_name: place.name.clone(),
                expr: expression(&place, filter, Some(last)),
                output_fields: outputs(&place),
                query_params: pairs(&[
                    ("limit", &room.to_string()),
                    ("iterator", "True"),
                    ("reduce_stop_for_best", "True"),
                ]),
            };
            let answer: Option<wire::QueryResults> = self.grpc.call("Query", &query).await?;
            let Some(answer) = answer else { return Ok(None) };
            let mut page = rows(&answer.fields_data, None);
            page.sort_by(|a, b| a.id.cmp(&b.id));
            pages.add(page.len(), page);
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
        let place = self.place(collection);
        if enriched || self.has_words(&place.name).await? != Some(true) {
            return Ok(None);
        }
        let sought = sought(VARCHAR, text.as_bytes().to_vec());
        self.hits(place, "sparse", &sought, &Filter::all(), limit).await
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() || filter.is_hopeless() {
            return Ok(());
        }
        self.delete_matching(self.place(collection), filter).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        let place = self.place(collection);
        if place.tenant.is_some() {
            return self.delete_matching(place, &Filter::all()).await;
        }
        let named = self.named(&place.name);
        self.grpc.call::<wire::Status>("DropCollection", &named).await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let all: Option<wire::Names> = self.grpc.call("ShowCollections", &self.named("")).await?;
        let own = format!("{}_", self.prefix);
        let shared = Place::all(&self.prefix, "_");
        let is_ours = |name: &String| {
            if self.shared {
                shared.contains(name)
            } else {
                name.starts_with(&own)
            }
        };
        for name in all.unwrap_or_default().collection_names {
            if is_ours(&name) {
                let named = self.named(&name);
                self.grpc.call::<wire::Status>("DropCollection", &named).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
