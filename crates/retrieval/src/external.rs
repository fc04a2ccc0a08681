//! Knowledge bases that lie elsewhere: on a Qdrant or Milvus server or in a PostgreSQL with vectors that others fill.
//! Connections and the places of texts in them are described by objects that administrators write.

use oui_core::boxed;
use std::time::Duration;

use oui_config::connections::EXTERNAL_KNOWLEDGE_CONNECTIONS;
use oui_models::knowledge::KnowledgeRow;
use oui_providers::CallContext;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Row};

use crate::embeddings::Purpose;
use crate::error::{Error, Result};
use crate::query::Found;
use crate::service::Retrieval;
use crate::vector::{Milvus, Server, Target};

/// Seconds that a server may take where the connection does not say.
const PATIENCE: u64 = 30;

/// What is asked: a connection, a collection there and for whom it stands.
pub struct ExternalQuery<'q> {
    /// `{provider, endpoint, auth_config, config, enabled, ...}`.
    pub connection: &'q Value,
    /// `{name, config}` of the collection.
    pub source: &'q Value,
    /// Id and name of the knowledge base.
    pub knowledge: (&'q str, &'q str),
    /// Questions.
    pub questions: &'q [String],
    /// Texts wanted over all questions.
    pub count: usize,
}

/// A setting that is there and not empty.
fn given<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object[name].as_str().filter(|text| !text.is_empty())
}

/// What a path of names joined by dots leads to.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, name| &value[name])
}

/// Where the parts of a text are in an answer.
struct Mapping<'m> {
    content: &'m str,
    metadata: &'m str,
    document_id: &'m str,
}

impl Mapping<'_> {
    /// A result as retrieval hands it on.
    fn read(&self, result: &Value, score: f64, knowledge: (&str, &str), found: &mut Found) {
        let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
        let (title, source) = (text(&result["title"]), text(&result["source"]));
        let mut metadata = match at(result, self.metadata) {
            Value::Object(members) => members.clone(),
            Value::Null => Map::new(),
            other => Map::from_iter([("external_metadata".to_owned(), other.clone())]),
        };
        let known = |metadata: &Map<String, Value>, name: &str| metadata.get(name).and_then(text);
        let place = source
            .or_else(|| title.clone())
            .or_else(|| known(&metadata, "source"))
            .or_else(|| known(&metadata, "name"))
            .unwrap_or_else(|| knowledge.1.to_owned());
        let name = title
            .or_else(|| known(&metadata, "name"))
            .unwrap_or_else(|| place.clone());
        for (member, value) in [
            ("name", json!(name)),
            ("source", json!(place)),
            ("url", result["url"].clone()),
            ("knowledge_id", json!(knowledge.0)),
            ("knowledge_name", json!(knowledge.1)),
            ("external", json!(true)),
        ] {
            metadata.insert(member.to_owned(), value);
        }
        // These are no files of ours, even when they have such a number.
        metadata.shift_remove("file_id");
        for (member, path) in [("page", "page"), ("document_id", self.document_id)] {
            let value = at(result, path);
            if !value.is_null() {
                metadata.insert(member.to_owned(), value.clone());
            }
        }
        found.scores.push(score);
        found
            .documents
            .push(at(result, self.content).as_str().unwrap_or_default().to_owned());
        found.metadatas.push(metadata);
    }
}

/// Whether this can stand as a name in a statement.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn identifier(name: &str, label: &str) -> Result<String> {
    if is_identifier(name) {
        Ok(format!("\"{name}\""))
    } else {
        Err(Error::Settings(format!("Invalid {label}")))
    }
}

impl Retrieval {
    /// Asks a knowledge base of ours that stands for one elsewhere: `external` is what its row says of it.
    pub(crate) async fn external_knowledge(
        &self,
        row: &KnowledgeRow,
        external: &Value,
        (questions, count): (&[String], usize),
        caller: &CallContext,
    ) -> Result<Found> {
        let id = given(external, "connection_id")
            .ok_or_else(|| Error::Settings("External knowledge connection is not configured".into()))?;
        let connections = self.config.get(&EXTERNAL_KNOWLEDGE_CONNECTIONS);
        let mut connection = connections.as_array().into_iter().flatten();
        let connection = connection
            .find(|connection| connection["id"] == id)
            .ok_or_else(|| Error::Settings("External knowledge connection not found".into()))?;
        let query = ExternalQuery {
            connection,
            source: &external["source"],
            knowledge: (&row.id, &row.name),
            questions,
            count,
        };
        self.external(&query, Some(caller)).await
    }

    /// Asks a knowledge base that lies elsewhere.
    #[boxed]
    pub async fn external(&self, query: &ExternalQuery<'_>, caller: Option<&CallContext>) -> Result<Found> {
        let connection = query.connection;
        if connection["enabled"] == false {
            let text = "External knowledge connection is disabled";
            return Err(Error::Settings(text.into()));
        }
        let mut found = Found::default();
        for question in query.questions {
            let vector = self.embedder.embed_one(question, Purpose::Query, caller).await?;
            let provider = given(connection, "provider").unwrap_or_default();
            match provider.to_lowercase().as_str() {
                "qdrant" => self.ask_qdrant(query, &vector, &mut found).await?,
                "milvus" => self.ask_milvus(query, &vector, &mut found).await?,
                "pgvector" => ask_postgres(query, &vector, &mut found).await?,
                _ => {
                    return Err(Error::Settings(format!(
                        "Unsupported external knowledge provider: {provider}"
                    )));
                }
            }
        }
        found.scores.truncate(query.count);
        found.documents.truncate(query.count);
        found.metadatas.truncate(query.count);
        Ok(found)
    }

    async fn ask_qdrant(&self, query: &ExternalQuery<'_>, vector: &[f32], found: &mut Found) -> Result<()> {
        let (connection, config) = (query.connection, &query.source["config"]);
        let endpoint = given(connection, "endpoint").unwrap_or_default();
        let client = self.http.client().clone();
        let mut server =
            Server::new("Qdrant", client, endpoint, &["/status/error"]).timeout(patience(connection));
        if let Some(key) = given(&connection["auth_config"], "api_key") {
            server = server.header("api-key", key);
        }
        let mut body = json!({ "query": vector, "limit": query.count, "with_payload": true });
        if let Some(field) = given(config, "vector_field") {
            body["using"] = json!(field);
        }
        let name = collection_of(query)?;
        let path = format!("/collections/{name}/points/query");
        let answer = server.call(reqwest::Method::POST, &path, Some(body)).await?;
        let answer = answer.ok_or_else(|| Error::NoCollection(name.to_owned()))?;
        let mapping = Mapping {
            content: given(config, "content_field").unwrap_or("payload.text"),
            metadata: given(config, "metadata_field").unwrap_or("payload.metadata"),
            document_id: given(config, "document_id_field").unwrap_or("id"),
        };
        for point in answer["result"]["points"].as_array().into_iter().flatten() {
            let score = point["score"].as_f64().unwrap_or_default();
            mapping.read(point, score, query.knowledge, found);
        }
        Ok(())
    }

    async fn ask_milvus(&self, query: &ExternalQuery<'_>, vector: &[f32], found: &mut Found) -> Result<()> {
        let (connection, config) = (query.connection, &query.source["config"]);
        let auth = &connection["auth_config"];
        let target = Target {
            url: given(connection, "endpoint").unwrap_or_default(),
            token: given(auth, "api_key").or_else(|| given(auth, "token")),
            database: given(&connection["config"], "db_name").unwrap_or("default"),
        };
        let mapping = Mapping {
            content: given(config, "content_field").unwrap_or("data.text"),
            metadata: given(config, "metadata_field").unwrap_or("metadata"),
            document_id: given(config, "document_id_field").unwrap_or("id"),
        };
        let field = given(config, "vector_field").unwrap_or("vector");
        let mut wanted: Vec<String> = Vec::new();
        for path in [
            Some(mapping.content),
            Some(mapping.metadata),
            given(config, "document_id_field"),
        ] {
            let root = path.and_then(|path| path.split('.').next());
            if let Some(root) =
                root.filter(|root| *root != field && !wanted.iter().any(|known| known == root))
            {
                wanted.push(root.to_owned());
            }
        }
        let milvus = Milvus::at(self.http.client().clone(), self.plain_http2()?, &target)?;
        let name = collection_of(query)?;
        let hits = milvus.foreign(name, field, vector, query.count, wanted).await?;
        let hits = hits.ok_or_else(|| Error::NoCollection(name.to_owned()))?;
        for (row, score) in hits {
            mapping.read(&Value::Object(row), score, query.knowledge, found);
        }
        Ok(())
    }
}

fn patience(connection: &Value) -> Duration {
    let seconds = connection["config"]["timeout"]
        .as_u64()
        .filter(|seconds| *seconds > 0);
    Duration::from_secs(seconds.unwrap_or(PATIENCE))
}

fn collection_of<'q>(query: &ExternalQuery<'q>) -> Result<&'q str> {
    given(query.source, "name")
        .ok_or_else(|| Error::Settings("External source collection is not configured".into()))
}

async fn ask_postgres(query: &ExternalQuery<'_>, vector: &[f32], found: &mut Found) -> Result<()> {
    let (connection, config) = (query.connection, &query.source["config"]);
    let field =
        |name: &str, default: &str, label: &str| identifier(given(config, name).unwrap_or(default), label);
    let table = given(config, "table_name").unwrap_or("document_chunk").split('.');
    let table: Vec<String> = table
        .map(|part| identifier(part, "table name"))
        .collect::<Result<_>>()?;
    let sql = format!(
        "SELECT to_json({id})::text, {content}::text, to_jsonb({metadata})::text, ({vector} <=> $1::vector)::float8 \
         AS distance FROM {table} WHERE {collection} = $2 ORDER BY distance LIMIT $3",
        id = field("document_id_field", "id", "document id field")?,
        content = field("content_field", "text", "content field")?,
        metadata = field("metadata_field", "vmetadata", "metadata field")?,
        vector = field("vector_field", "vector", "vector field")?,
        collection = field("collection_field", "collection_name", "collection field")?,
        table = table.join("."),
    );
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(patience(connection))
        .connect(given(connection, "endpoint").unwrap_or_default())
        .await?;
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(json!(vector).to_string())
        .bind(collection_of(query)?)
        .bind(i64::try_from(query.count).unwrap_or(i64::MAX))
        .fetch_all(&pool)
        .await;
    pool.close().await;
    let mapping = Mapping {
        content: "content",
        metadata: "metadata",
        document_id: "id",
    };
    for row in rows? {
        let parsed = |text: Option<&str>| {
            text.and_then(|text| serde_json::from_str::<Value>(text).ok())
                .unwrap_or_default()
        };
        let result = json!({
            "id": parsed(row.try_get(0)?),
            "content": row.try_get::<Option<String>, _>(1)?,
            "metadata": parsed(row.try_get(2)?),
        });
        let distance = row.try_get::<Option<f64>, _>(3)?.unwrap_or_default();
        mapping.read(&result, distance, query.knowledge, found);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_where_they_are_from() {
        let mapping = Mapping {
            content: "payload.text",
            metadata: "payload.metadata",
            document_id: "id",
        };
        let mut found = Found::default();
        let point = json!({ "id": 7, "payload": { "text": "A fox", "metadata": { "file_id": "f", "name": "foxes.md" } } });
        mapping.read(&point, 0.5, ("k", "Animals"), &mut found);
        let bare = json!({ "id": "x", "payload": { "text": "A cat", "metadata": "scan" }, "title": "Cats", "page": 3 });
        mapping.read(&bare, 0.25, ("k", "Animals"), &mut found);
        assert_eq!(found.documents, ["A fox", "A cat"]);
        assert_eq!(found.scores, [0.5, 0.25]);
        assert_eq!(
            Value::Object(found.metadatas[0].clone()),
            json!({
                "name": "foxes.md", "source": "foxes.md", "url": null, "knowledge_id": "k",
                "knowledge_name": "Animals", "external": true, "document_id": 7,
            })
        );
        assert_eq!(
            Value::Object(found.metadatas[1].clone()),
            json!({
                "external_metadata": "scan", "name": "Cats", "source": "Cats", "url": null, "knowledge_id": "k",
                "knowledge_name": "Animals", "external": true, "page": 3, "document_id": "x",
            })
        );
    }

    #[test]
    fn names_in_statements_are_checked() {
        assert_eq!(identifier("a_1", "x").unwrap(), "\"a_1\"");
        for bad in ["", "1a", "a\"b", "a b", "a;--"] {
            let error = identifier(bad, "table name").unwrap_err();
            assert_eq!(error.to_string(), "Invalid table name");
        }
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are pointed at their services by variables"
    )]
    async fn a_foreign_table_is_asked() {
        let Ok(url) = std::env::var("OUI_TEST_PGVECTOR_URL") else {
            eprintln!("skipped: no PostgreSQL with vectors");
            return;
        };
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        let schema = format!("foreign_{}", std::process::id());
        for statement in [
            "CREATE EXTENSION IF NOT EXISTS vector".to_owned(),
            format!("CREATE SCHEMA {schema}"),
            format!(
                "CREATE TABLE {schema}.notes (nr int, body text, place vector(2), kind text, extra jsonb)"
            ),
            format!(
                "INSERT INTO {schema}.notes VALUES (1, 'A fox', '[1,0]', 'a', '{{\"source\": \"foxes.md\"}}'), \
                 (2, 'A cat', '[0,1]', 'a', NULL), (3, 'A dog', '[1,0]', 'b', NULL)"
            ),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&pool)
                .await
                .unwrap();
        }
        let source = json!({ "name": "a", "config": {
            "table_name": format!("{schema}.notes"), "content_field": "body", "vector_field": "place",
            "collection_field": "kind", "document_id_field": "nr", "metadata_field": "extra",
        } });
        let query = ExternalQuery {
            connection: &json!({ "endpoint": url }),
            source: &source,
            knowledge: ("k", "Animals"),
            questions: &[],
            count: 5,
        };
        let mut found = Found::default();
        ask_postgres(&query, &[1.0, 0.0], &mut found).await.unwrap();
        assert_eq!(found.documents, ["A fox", "A cat"]);
        assert_eq!(found.scores, [0.0, 1.0]);
        assert_eq!(found.metadatas[0]["source"], "foxes.md");
        assert_eq!(found.metadatas[0]["document_id"], 1);
        assert_eq!(found.metadatas[1]["source"], "Animals");
        let gone = format!("DROP SCHEMA {schema} CASCADE");
        sqlx::query(AssertSqlSafe(gone)).execute(&pool).await.unwrap();
    }
}
