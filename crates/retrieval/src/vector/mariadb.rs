//! Vectors in MariaDB from 11.7 on, in the table `document_chunk` that the reference keeps there.

use oui_core::boxed;

use async_trait::async_trait;
use oui_config::settings::Vectors;
use serde_json::{Value, json};
use sqlx::mysql::{MySqlArguments, MySqlPoolOptions, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, MySqlConnection, MySqlPool, Row};

use super::pgvector::text_of;
use super::rows::Scale;
use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};

/// Rows added by one statement.
const ROWS: usize = 100;

/// The store.
pub struct MariaDb {
    pool: MySqlPool,
    /// Numbers of a vector in the table; shorter ones are filled up with zeros, which changes no angle.
    width: usize,
    cosine: bool,
}

fn bad(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Store(error.to_string())
}

/// The column of vectors of the table that is there: its type, as `vector(384)`.
const COLUMN: &str = "SELECT CAST(column_type AS CHAR) FROM information_schema.columns \
    WHERE table_schema = DATABASE() AND table_name = 'document_chunk' AND column_name = 'embedding'";

impl MariaDb {
    /// Connects to the server of the settings and makes the table when it is missing.
    #[boxed]
    pub async fn open(settings: &Vectors) -> Result<Self> {
        let url = settings.mariadb_url.as_ref().map(|url| url.expose().trim());
        // As Python's libraries write it, or without the name of theirs.
        let rest = url
            .and_then(|url| url.split_once("://"))
            .filter(|(scheme, _)| ["mariadb", "mysql"].iter().any(|name| scheme.starts_with(name)));
        let Some((_, rest)) = rest else {
            let text = "VECTOR_DB=mariadb-vector needs MARIADB_VECTOR_DB_URL \
                        (mariadb+mariadbconnector://user:password@host:3306/name)";
            return Err(Error::Settings(text.into()));
        };
        let cosine = match settings.mariadb_distance.trim().to_lowercase().as_str() {
            "" | "cosine" => true,
            "euclidean" => false,
            other => {
                return Err(Error::Settings(format!(
                    "MARIADB_VECTOR_DISTANCE_STRATEGY is {other:?}; it can be cosine or euclidean"
                )));
            }
        };
        let pool = MySqlPoolOptions::new()
            .max_connections(8)
            .connect(&format!("mysql://{rest}"))
            .await?;
        let width = settings.mariadb_width;
        let stored: Option<String> = sqlx::query_scalar(COLUMN).fetch_optional(&pool).await?;
        let Some(stored) = stored else {
            let distance = if cosine { "cosine" } else { "euclidean" };
            let m = settings.mariadb_index_m;
            // A key beside an index of vectors may have 256 bytes.
            let table = format!(
                "CREATE TABLE IF NOT EXISTS document_chunk (\
                 id VARCHAR(254) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, \
                 embedding VECTOR({width}) NOT NULL, collection_name VARCHAR(255) NOT NULL, \
                 text LONGTEXT NULL, vmetadata JSON NULL, VECTOR INDEX (embedding) M={m} DISTANCE={distance}, \
                 INDEX idx_document_chunk_collection_name (collection_name)) \
                 ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
            );
            sqlx::query(AssertSqlSafe(table)).execute(&pool).await?;
            return Ok(Self { pool, width, cosine });
        };
        let digits: String = stored.chars().filter(char::is_ascii_digit).collect();
        match digits.parse::<usize>() {
            Ok(stored) if stored != width => Err(Error::Settings(format!(
                "VECTOR_LENGTH {width} does not match existing vector column dimension {stored}. Cannot change vector \
                 size after initialization without migrating the data."
            ))),
            _ => Ok(Self { pool, width, cosine }),
        }
    }

    fn bytes(&self, vector: &[f32]) -> Vec<u8> {
        let mut numbers = vector.to_vec();
        numbers.resize(self.width, 0.0);
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn score(&self, distance: Option<f64>) -> f64 {
        match distance.filter(|distance| distance.is_finite()) {
            Some(distance) if self.cosine => Scale::Distance.score(distance),
            Some(distance) => 1.0 / (1.0 + distance.max(0.0)),
            None => 0.5,
        }
    }

    /// Adds the filter to a statement that has its arguments already. Values are compared as texts.
    fn condition(filter: &Filter, args: &mut MySqlArguments) -> Result<String> {
        if filter.is_hopeless() {
            return Ok(" AND FALSE".into());
        }
        let mut text = String::new();
        let mut among = |left: &str, values: &[String], args: &mut MySqlArguments| -> Result<()> {
            for value in values {
                args.add(value.as_str()).map_err(bad)?;
            }
            text.push_str(&format!(
                " AND {left} IN ({})",
                vec!["?"; values.len()].join(", ")
            ));
            Ok(())
        };
        if let Some(ids) = &filter.ids {
            among("id", ids, args)?;
        }
        for (name, values) in &filter.fields {
            args.add(format!("$.{}", json!(name))).map_err(bad)?;
            let values: Vec<String> = values.iter().map(text_of).collect();
            let left = "JSON_UNQUOTE(JSON_EXTRACT(vmetadata, ?)) COLLATE utf8mb4_bin";
            among(left, &values, args)?;
        }
        Ok(text)
    }

    fn entry(row: &MySqlRow) -> Result<Entry> {
        let metadata: Option<String> = row.try_get(2)?;
        Ok(Entry {
            id: row.try_get(0)?,
            text: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            metadata: metadata
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
        })
    }

    async fn write(&self, collection: &str, old: &Filter, items: Vec<Item>) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        if !old.is_empty() {
            let mut args = MySqlArguments::default();
            args.add(collection).map_err(bad)?;
            let condition = Self::condition(old, &mut args)?;
            let sql = format!("DELETE FROM document_chunk WHERE collection_name = ?{condition}");
            sqlx::query_with(AssertSqlSafe(sql), args)
                .execute(&mut *tx)
                .await?;
        }
        for part in items.chunks(ROWS) {
            self.add(collection, part, &mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn add(&self, collection: &str, part: &[Item], tx: &mut MySqlConnection) -> Result<()> {
        let mut args = MySqlArguments::default();
        for item in part {
            args.add(item.id.as_str()).map_err(bad)?;
            args.add(self.bytes(&item.vector)).map_err(bad)?;
            args.add(collection).map_err(bad)?;
            args.add(item.text.as_str()).map_err(bad)?;
            args.add(Value::Object(item.metadata.clone()).to_string())
                .map_err(bad)?;
        }
        let sql = format!(
            "INSERT INTO document_chunk (id, embedding, collection_name, text, vmetadata) VALUES {} \
             ON DUPLICATE KEY UPDATE embedding = VALUES(embedding), collection_name = VALUES(collection_name), \
             text = VALUES(text), vmetadata = VALUES(vmetadata)",
            vec!["(?, ?, ?, ?, ?)"; part.len()].join(", ")
        );
        sqlx::query_with(AssertSqlSafe(sql), args).execute(tx).await?;
        Ok(())
    }
}

#[async_trait]
impl VectorStore for MariaDb {
    fn name(&self) -> &'static str {
        "mariadb-vector"
    }

    async fn has(&self, collection: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM document_chunk WHERE collection_name = ? LIMIT 1")
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
        let mut args = MySqlArguments::default();
        args.add(self.bytes(vector)).map_err(bad)?;
        args.add(collection).map_err(bad)?;
        let condition = Self::condition(filter, &mut args)?;
        args.add(i64::try_from(limit).unwrap_or(i64::MAX)).map_err(bad)?;
        let distance = if self.cosine {
            "VEC_DISTANCE_COSINE"
        } else {
            "VEC_DISTANCE_EUCLIDEAN"
        };
        // Ordered by nothing else, so that the index of vectors can be used.
        let sql = format!(
            "SELECT id, text, CAST(vmetadata AS CHAR), {distance}(embedding, ?) AS distance FROM document_chunk \
             WHERE collection_name = ?{condition} ORDER BY distance LIMIT ?"
        );
        let rows = sqlx::query_with(AssertSqlSafe(sql), args)
            .fetch_all(&self.pool)
            .await?;
        let hit = |row: &MySqlRow| {
            Ok(Hit {
                entry: Self::entry(row)?,
                score: self.score(row.try_get(3)?),
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
        let mut args = MySqlArguments::default();
        args.add(collection).map_err(bad)?;
        let condition = Self::condition(filter, &mut args)?;
        let limit = limit.and_then(|limit| i64::try_from(limit).ok());
        args.add(limit.unwrap_or(i64::MAX)).map_err(bad)?;
        let sql = format!(
            "SELECT id, text, CAST(vmetadata AS CHAR) FROM document_chunk WHERE collection_name = ?{condition} LIMIT ?"
        );
        let rows = sqlx::query_with(AssertSqlSafe(sql), args)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(Self::entry).collect::<Result<_>>().map(Some)
    }

    async fn delete(&self, collection: &str, filter: &Filter) -> Result<()> {
        if filter.is_empty() {
            return Ok(());
        }
        self.write(collection, filter, Vec::new()).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        sqlx::query("DELETE FROM document_chunk WHERE collection_name = ?")
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
mod tests;
