//! Vectors on a Milvus server, through its gRPC interface. A collection is one of the server's, laid out as the
//! reference does: with an index of words where the server has them (2.5), else with the text inside a JSON field.

mod grpc;
mod wire;

use oui_core::boxed;
use std::collections::HashMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_config::settings::Vectors;
use prost::Message;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use self::grpc::Grpc;
use self::wire::{Column, Done, FieldData, Named, Pair, Values};
use super::server::{entry, scores_by_search};
use super::{Entry, Filter, Hit, Item, Metadata, VectorStore};
use crate::error::{Error, Result};

/// Begins the names of collections.
const PREFIX: &str = "open_webui_";

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
        })
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
    async fn make(&self, name: &str, width: usize) -> Result<bool> {
        let version: Option<wire::Version> = self.grpc.call("GetVersion", &wire::Nothing {}).await?;
        let words = knows_words(&version.unwrap_or_default().version);
        let mut fields = vec![
            wire::Field {
                is_primary_key: true,
                ..field("id", VARCHAR, &[("max_length", "65535")])
            },
            field("vector", FLOAT_VECTOR, &[("dim", &width.to_string())]),
        ];
        let mut functions = Vec::new();
        if words {
            fields.push(field(
                "text",
                VARCHAR,
                &[("max_length", "65535"), ("enable_analyzer", "true")],
            ));
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
        } else {
            fields.push(field("data", JSON, &[]));
        }
        fields.push(field("metadata", JSON, &[]));
        let schema = wire::Schema {
            name: name.to_owned(),
            fields,
            enable_dynamic_field: true,
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
        self.grpc
            .call::<wire::Status>("LoadCollection", &self.named(name))
            .await?;
        Ok(words)
    }

    async fn hits(
        &self,
        collection: &str,
        field: &str,
        sought: &wire::Placeholders,
        expression: String,
        limit: usize,
    ) -> Result<Option<Vec<(Entry, f64)>>> {
        let name = name_of(collection);
        let metric = if field == "sparse" { "BM25" } else { &self.metric };
        let search = wire::Search {
            db_name: self.database.clone(),
            collection_name: name,
            dsl: expression,
            placeholder_group: sought.encode_to_vec(),
            dsl_type: EXPRESSION,
            output_fields: outputs(),
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
        Ok(Some(entries.into_iter().zip(scores).collect()))
    }

    async fn delete_matching(&self, collection: &str, expression: String) -> Result<()> {
        let delete = wire::Delete {
            db_name: self.database.clone(),
            collection_name: name_of(collection),
            expr: expression,
        };
        self.grpc.call::<Done>("Delete", &delete).await?;
        Ok(())
    }
}

fn name_of(collection: &str) -> String {
    format!("{PREFIX}{}", collection.replace('-', "_"))
}

/// What is looked for: one value.
fn sought(kind: i32, value: Vec<u8>) -> wire::Placeholders {
    wire::Placeholders {
        placeholders: vec![wire::Placeholder {
            tag: "$0".into(),
            kind,
            values: vec![value],
        }],
    }
}

fn placeholders(vector: &[f32]) -> wire::Placeholders {
    let bytes = vector.iter().flat_map(|number| number.to_le_bytes());
    sought(FLOAT_VECTOR, bytes.collect())
}

fn pairs(list: &[(&str, &str)]) -> Vec<Pair> {
    let pair = |(key, value): &(&str, &str)| Pair {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    list.iter().map(pair).collect()
}

fn field(name: &str, data_type: i32, params: &[(&str, &str)]) -> wire::Field {
    wire::Field {
        name: name.to_owned(),
        data_type,
        type_params: pairs(params),
        ..wire::Field::default()
    }
}

fn outputs() -> Vec<String> {
    ["id", "text", "data", "metadata"].map(str::to_owned).to_vec()
}

/// Whether a server of this version makes an index of words by itself.
fn knows_words(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 5)
}

/// A text that is not too long, cut between letters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// The filter as an expression.
fn expression(filter: &Filter) -> String {
    let mut all = Vec::new();
    if let Some(ids) = &filter.ids {
        all.push(format!("id in {}", json!(ids)));
    }
    for (name, values) in &filter.fields {
        let one = |value: &Value| format!("metadata[{}] == {value}", json!(name));
        let any: Vec<String> = values.iter().map(one).collect();
        all.push(format!("({})", any.join(" or ")));
    }
    all.join(" and ")
}

/// Nothing can be asked with an empty list of values.
fn is_hopeless(filter: &Filter) -> bool {
    filter.ids.as_ref().is_some_and(Vec::is_empty)
        || filter.fields.iter().any(|(_, values)| values.is_empty())
}

fn texts(name: &str, data: Vec<String>) -> FieldData {
    let values = Values::Texts(wire::Texts { data });
    scalars(name, VARCHAR, values)
}

fn jsons(name: &str, data: Vec<Value>) -> FieldData {
    let data = data.iter().map(|value| value.to_string().into_bytes()).collect();
    scalars(name, JSON, Values::Jsons(wire::Jsons { data }))
}

fn scalars(name: &str, data_type: i32, values: Values) -> FieldData {
    FieldData {
        data_type,
        field_name: name.to_owned(),
        field: Some(Column::Scalars(wire::Scalars { data: Some(values) })),
    }
}

/// The rows of an answer, which comes in columns.
fn rows(columns: &[FieldData], ids: Option<&wire::Ids>) -> Vec<Entry> {
    let value = |name: &str, place: usize| {
        let column = columns.iter().find(|column| column.field_name == name)?;
        wire::value(column, place)
    };
    let entry = |place: usize| {
        let id = match ids {
            Some(ids) => ids.at(place),
            None => value("id", place)?,
        };
        let text = value("text", place).or_else(|| Some(value("data", place)?["text"].take()));
        let metadata = value("metadata", place).unwrap_or_default();
        entry(&id, &text.unwrap_or_default(), metadata.as_object().cloned())
    };
    (0..).map_while(entry).collect()
}

#[async_trait]
impl VectorStore for Milvus {
    fn name(&self) -> &'static str {
        "milvus"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        Ok(self.has_words(&name_of(collection)).await?.is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        let name = name_of(collection);
        let words = match self.has_words(&name).await? {
            Some(words) => words,
            None => self.make(&name, first.vector.len()).await?,
        };
        for part in items.chunks(ROWS) {
            let column = |of: fn(&Item) -> String| part.iter().map(of).collect::<Vec<String>>();
            let vectors = wire::Vectors {
                dim: i64::try_from(first.vector.len()).unwrap_or_default(),
                float_vector: Some(wire::Floats {
                    data: part.iter().flat_map(|item| item.vector.iter().copied()).collect(),
                }),
            };
            let text = if words {
                texts("text", column(|item| cut(&item.text).to_owned()))
            } else {
                let data = part.iter().map(|item| json!({ "text": cut(&item.text) }));
                jsons("data", data.collect())
            };
            let metadata = part.iter().map(|item| Value::Object(item.metadata.clone()));
            let upsert = wire::Upsert {
                db_name: self.database.clone(),
                collection_name: name.clone(),
                fields_data: vec![
                    texts("id", column(|item| item.id.clone())),
                    FieldData {
                        data_type: FLOAT_VECTOR,
                        field_name: "vector".into(),
                        field: Some(Column::Vectors(vectors)),
                    },
                    text,
                    jsons("metadata", metadata.collect()),
                ],
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
        if is_hopeless(filter) {
            return Ok(self.has(collection).await?.then(Vec::new));
        }
        let found = self
            .hits(
                collection,
                "vector",
                &placeholders(vector),
                expression(filter),
                limit,
            )
            .await?;
        let hit = |(entry, score): (Entry, f64)| Hit {
            entry,
            score: (score + 1.0) / 2.0,
        };
        Ok(found.map(|found| found.into_iter().map(hit).collect()))
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        if is_hopeless(filter) {
            return Ok(self.has(collection).await?.then(Vec::new));
        }
        let wanted = limit.unwrap_or(usize::MAX);
        let own = expression(filter);
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            // Pages follow the ids: the server counts from the start only so far.
            let mut parts = Vec::new();
            parts.extend((!own.is_empty()).then(|| own.clone()));
            let last = entries.last().map(|entry| entry.id.as_str()).unwrap_or_default();
            parts.push(format!("id > {}", json!(last)));
            let room = (wanted - entries.len()).min(ROWS);
            let query = wire::Query {
                db_name: self.database.clone(),
                collection_name: name_of(collection),
                expr: parts.join(" and "),
                output_fields: outputs(),
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
            let is_last = page.len() < room;
            entries.extend(page);
            if is_last || entries.len() >= wanted {
                return Ok(Some(entries));
            }
        }
    }

    async fn text_search(
        &self,
        collection: &str,
        text: &str,
        limit: usize,
        enriched: bool,
    ) -> Result<Option<Vec<Hit>>> {
        let name = name_of(collection);
        if enriched || self.has_words(&name).await? != Some(true) {
            return Ok(None);
        }
        let sought = sought(VARCHAR, text.as_bytes().to_vec());
        let found = self
            .hits(collection, "sparse", &sought, String::new(), limit)
            .await?;
        let hit = |(entry, score): (Entry, f64)| Hit { entry, score };
        Ok(found.map(|found| found.into_iter().map(hit).collect()))
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
        if filter.is_empty() || is_hopeless(filter) {
            return Ok(());
        }
        self.delete_matching(collection, expression(filter)).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        let named = self.named(&name_of(collection));
        self.grpc.call::<wire::Status>("DropCollection", &named).await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let all: Option<wire::Names> = self.grpc.call("ShowCollections", &self.named("")).await?;
        for name in all.unwrap_or_default().collection_names {
            if name.starts_with(PREFIX) {
                let named = self.named(&name);
                self.grpc.call::<wire::Status>("DropCollection", &named).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
