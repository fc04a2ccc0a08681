//! Vectors in PostgreSQL with the extension `vector`, in the table `document_chunk` that the reference keeps there.

use oui_core::boxed;
use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgPoolOptions, PgRow};
use sqlx::{Arguments, AssertSqlSafe, PgPool, Row};

use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};

/// Rows added by one statement.
const ROWS: usize = 200;

/// The store.
pub struct PgVector {
    pool: PgPool,
    /// Numbers of a vector in the table; shorter ones are filled up with zeros, which changes no angle.
    width: usize,
}

fn bad(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Store(error.to_string())
}

impl PgVector {
    /// Connects and makes the table when it is missing.
    #[boxed]
    pub async fn open(url: &str, width: usize, make_extension: bool) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(8).connect(url).await?;
        if make_extension {
            let known = sqlx::query("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
                .fetch_optional(&pool)
                .await?;
            if known.is_none() {
                sqlx::query("CREATE EXTENSION IF NOT EXISTS vector")
                    .execute(&pool)
                    .await?;
            }
        }
        let mut tx = pool.begin().await?;
        // Two servers that start together must not both make the table.
        sqlx::query("SELECT pg_advisory_xact_lock(7037230013)")
            .execute(&mut *tx)
            .await?;
        for statement in [
            format!(
                "CREATE TABLE IF NOT EXISTS document_chunk (id TEXT PRIMARY KEY, vector VECTOR({width}), \
                 collection_name TEXT NOT NULL, text TEXT, vmetadata JSONB)"
            ),
            "CREATE INDEX IF NOT EXISTS idx_document_chunk_collection_name ON document_chunk (collection_name)".into(),
            "CREATE INDEX IF NOT EXISTS idx_document_chunk_text_search ON document_chunk \
             USING GIN (to_tsvector('simple', coalesce(text, '')))"
                .into(),
        ] {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        let stored: Option<i32> = sqlx::query_scalar(
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'document_chunk'::regclass AND attname = 'vector'",
        )
        .fetch_optional(&pool)
        .await?;
        match stored.and_then(|stored| usize::try_from(stored).ok()) {
            Some(stored) if stored != width => Err(Error::Settings(format!(
                "VECTOR_LENGTH {width} does not match existing vector column dimension {stored}. Cannot change vector \
                 size after initialization without migrating the data."
            ))),
            _ => Ok(Self { pool, width }),
        }
    }

    fn literal(&self, vector: &[f32]) -> String {
        let mut numbers: Vec<String> = vector.iter().take(self.width).map(f32::to_string).collect();
        numbers.resize(self.width, "0".into());
        format!("[{}]", numbers.join(","))
    }

    /// Adds the filter to a statement that has its arguments already.
    fn condition(filter: &Filter, args: &mut PgArguments) -> Result<String> {
        let mut text = String::new();
        if let Some(ids) = &filter.ids {
            args.add(ids.clone()).map_err(bad)?;
            text.push_str(&format!(" AND id = ANY(${})", args.len()));
        }
        for (name, values) in &filter.fields {
            args.add(name.clone()).map_err(bad)?;
            let name = args.len();
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            args.add(values).map_err(bad)?;
            text.push_str(&format!(
                " AND vmetadata -> ${name} = ANY(${}::text[]::jsonb[])",
                args.len()
            ));
        }
        Ok(text)
    }

    fn entry(row: &PgRow) -> Result<Entry> {
        let metadata: Option<&str> = row.try_get(2)?;
        Ok(Entry {
            id: row.try_get(0)?,
            text: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            metadata: metadata
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
        })
    }

    async fn write(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        if !old.is_empty() {
            let mut args = PgArguments::default();
            args.add(collection).map_err(bad)?;
            let condition = Self::condition(old, &mut args)?;
            let sql = format!("DELETE FROM document_chunk WHERE collection_name = $1{condition}");
            sqlx::query_with(AssertSqlSafe(sql), args)
                .execute(&mut *tx)
                .await?;
        }
        for part in items.chunks(ROWS) {
            let column = |of: fn(&Item) -> String| part.iter().map(of).collect::<Vec<String>>();
            let vectors: Vec<String> = part.iter().map(|item| self.literal(&item.vector)).collect();
            sqlx::query(
                "INSERT INTO document_chunk (id, vector, collection_name, text, vmetadata) \
                 SELECT id, vector::vector, $1, text, vmetadata \
                 FROM UNNEST($2::text[], $3::text[], $4::text[], $5::text[]::jsonb[]) AS new (id, vector, text, vmetadata) \
                 ON CONFLICT (id) DO UPDATE SET vector = EXCLUDED.vector, collection_name = EXCLUDED.collection_name, \
                 text = EXCLUDED.text, vmetadata = EXCLUDED.vmetadata",
            )
            .bind(collection)
            .bind(column(|item| item.id.clone()))
            .bind(vectors)
            .bind(column(|item| item.text.replace('\0', "")))
            .bind(column(|item| Value::Object(item.metadata.clone()).to_string()))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[async_trait]
impl VectorStore for PgVector {
    fn name(&self) -> &'static str {
        "pgvector"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM document_chunk WHERE collection_name = $1 LIMIT 1")
            .bind(collection)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    async fn insert(&self, collection: &str, items: Vec<Item>) -> Result<()> {
        self.write(collection, &Filter::all(), items).await
    }

    async fn replace(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        self.write(collection, old, items).await
    }

    async fn search(
        &self,
        collection: &str,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Hit>>> {
        let mut args = PgArguments::default();
        args.add(collection).map_err(bad)?;
        args.add(self.literal(vector)).map_err(bad)?;
        args.add(i64::try_from(limit).unwrap_or(i64::MAX)).map_err(bad)?;
        let condition = Self::condition(filter, &mut args)?;
        let sql = format!(
            "SELECT id, text, vmetadata::text, 1 - (vector <=> $2::vector) / 2 AS likeness FROM document_chunk \
             WHERE collection_name = $1{condition} ORDER BY vector <=> $2::vector, id LIMIT $3"
        );
        let rows = sqlx::query_with(AssertSqlSafe(sql), args)
            .fetch_all(&self.pool)
            .await?;
        let hit = |row: &PgRow| {
            Ok(Hit {
                entry: Self::entry(row)?,
                score: row
                    .try_get::<Option<f64>, _>(3)?
                    .filter(|score| !score.is_nan())
                    .unwrap_or(0.5),
            })
        };
        rows.iter().map(hit).collect::<Result<_>>().map(Some)
    }

    async fn query(
        &self,
        collection: &str,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Result<Option<Vec<Entry>>> {
        let mut args = PgArguments::default();
        args.add(collection).map_err(bad)?;
        let condition = Self::condition(filter, &mut args)?;
        args.add(limit.and_then(|limit| i64::try_from(limit).ok()))
            .map_err(bad)?;
        let sql = format!(
            "SELECT id, text, vmetadata::text FROM document_chunk WHERE collection_name = $1{condition} LIMIT ${}",
            args.len()
        );
        let rows = sqlx::query_with(AssertSqlSafe(sql), args)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(Self::entry).collect::<Result<_>>().map(Some)
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
        // Any of the words is enough, as in every other engine.
        let rows = sqlx::query(
            "WITH words AS (SELECT to_tsquery('simple', string_agg(quote_literal(lexeme), ' | ')) AS query \
             FROM unnest(to_tsvector('simple', $2))) \
             SELECT id, text, vmetadata::text, ts_rank_cd(to_tsvector('simple', coalesce(text, '')), query)::float8 AS rank \
             FROM document_chunk, words WHERE collection_name = $1 \
             AND to_tsvector('simple', coalesce(text, '')) @@ query ORDER BY rank DESC, id LIMIT $3",
        )
        .bind(collection)
        .bind(text)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let hit = |row: &PgRow| {
            Ok(Hit {
                entry: Self::entry(row)?,
                score: row.try_get(3)?,
            })
        };
        rows.iter().map(hit).collect::<Result<_>>().map(Some)
    }

    async fn scores(
        &self,
        collection: &str,
        vector: &[f32],
        ids: &[String],
    ) -> Result<Option<HashMap<String, f64>>> {
        super::server::scores_by_search(self, collection, vector, ids).await
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        self.write(collection, filter, Vec::new()).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        sqlx::query("DELETE FROM document_chunk WHERE collection_name = $1")
            .bind(collection)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        sqlx::query("DELETE FROM document_chunk")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::conformance;

    /// The address of a PostgreSQL that may have the extension.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are pointed at their services by variables"
    )]
    fn server() -> Option<String> {
        let own = std::env::var("OUI_TEST_PGVECTOR_URL").ok();
        own.or_else(|| std::env::var("OUI_TEST_POSTGRES_URL").ok())
    }

    #[tokio::test]
    async fn it_does_what_every_engine_does() {
        let Some(url) = server() else {
            eprintln!("skipped: no PostgreSQL");
            return;
        };
        let admin = PgPool::connect(&url).await.unwrap();
        let known = sqlx::query("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
            .fetch_optional(&admin)
            .await
            .unwrap();
        if known.is_none() {
            eprintln!("skipped: PostgreSQL has no extension vector");
            return;
        }
        let name = format!("oui_vectors_{}", std::process::id());
        let make = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(make)).execute(&admin).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        let own = format!("{base}/{name}");
        let store = PgVector::open(&own, 8, true).await.unwrap();
        conformance::check(&store).await;
        let items = [
            "The hedgehog sleeps",
            "hedgehog hedgehog",
            "It's nothing & no | one",
        ]
        .iter()
        .zip(["a", "b", "c"])
        .map(|(text, id)| Item {
            id: id.into(),
            text: (*text).into(),
            vector: vec![1.0],
            metadata: super::super::Metadata::new(),
        });
        store.insert("words", items.collect()).await.unwrap();
        let hits = store
            .text_search("words", "a Hedgehog?", 5, false)
            .await
            .unwrap()
            .unwrap();
        let ids: Vec<&str> = hits.iter().map(|hit| hit.entry.id.as_str()).collect();
        assert_eq!(ids, ["b", "a"]);
        assert!(
            store
                .text_search("words", "!?", 5, false)
                .await
                .unwrap()
                .unwrap()
                .is_empty()
        );
        let error = PgVector::open(&own, 9, true).await.err().unwrap();
        assert!(
            error
                .to_string()
                .contains("does not match existing vector column dimension 8")
        );
        store.pool.close().await;
        let gone = format!("DROP DATABASE {name}");
        sqlx::query(AssertSqlSafe(gone)).execute(&admin).await.unwrap();
    }
}
