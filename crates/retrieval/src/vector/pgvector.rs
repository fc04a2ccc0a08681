//! Vectors in PostgreSQL with the extension `vector`, or in openGauss, which has that type built in and speaks the same
//! protocol, in the table `document_chunk` that the reference keeps there. openGauss began as a PostgreSQL of many
//! years ago: its statements are plainer.

use oui_core::boxed;

use async_trait::async_trait;
use oui_config::Secret;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgPoolOptions, PgRow};
use sqlx::{Arguments, AssertSqlSafe, PgConnection, PgPool, Row};

use super::{Entry, Filter, Hit, Item, VectorStore};
use crate::error::{Error, Result};

/// Rows added by one statement.
const ROWS: usize = 200;

/// Whose statements are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Postgres,
    OpenGauss,
}

/// How the table is laid out in PostgreSQL.
#[derive(Debug, Default)]
pub struct PgLayout {
    /// Numbers of a vector.
    pub width: usize,
    /// Creates extensions that are missing.
    pub extensions: bool,
    /// Keeps numbers of 16 bits.
    pub half: bool,
    /// Key that texts and metadata are encrypted with.
    pub key: Option<Secret>,
}

/// The store.
pub struct PgVector {
    pool: PgPool,
    dialect: Dialect,
    /// Type of a vector.
    kind: &'static str,
    key: Option<Secret>,
    /// Numbers of a vector in the table; shorter ones are filled up with zeros, which changes no angle.
    width: usize,
}

fn bad(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Store(error.to_string())
}

impl PgVector {
    /// Connects to PostgreSQL and makes the table when it is missing.
    #[boxed]
    pub async fn open(url: &str, layout: PgLayout) -> Result<Self> {
        Self::connect(url, Dialect::Postgres, layout).await
    }

    /// Connects to openGauss and makes the table when it is missing. The address may begin as Python's libraries
    /// write it.
    #[boxed]
    pub async fn open_gauss(url: &str, width: usize) -> Result<Self> {
        let Some((_, rest)) = url.split_once("://") else {
            let text = "OPENGAUSS_DB_URL is not the address of a database (opengauss://user:password@host:5432/name)";
            return Err(Error::Settings(text.into()));
        };
        let url = format!("postgres://{rest}");
        let layout = PgLayout {
            width,
            ..PgLayout::default()
        };
        Self::connect(&url, Dialect::OpenGauss, layout).await
    }

    async fn connect(url: &str, dialect: Dialect, layout: PgLayout) -> Result<Self> {
        let width = layout.width;
        let kind = if layout.half { "halfvec" } else { "vector" };
        let pool = PgPoolOptions::new().max_connections(8).connect(url).await?;
        let wanted = [Some("vector"), layout.key.as_ref().map(|_| "pgcrypto")];
        for extension in wanted.into_iter().flatten().filter(|_| layout.extensions) {
            let known = sqlx::query("SELECT 1 FROM pg_extension WHERE extname = $1")
                .bind(extension)
                .fetch_optional(&pool)
                .await?;
            if known.is_none() {
                let create = format!("CREATE EXTENSION IF NOT EXISTS {extension}");
                sqlx::query(AssertSqlSafe(create)).execute(&pool).await?;
            }
        }
        let (text, metadata) = match layout.key {
            Some(_) => ("BYTEA", "BYTEA"),
            None => ("TEXT", "JSONB"),
        };
        let mut tx = pool.begin().await?;
        // Two servers that start together must not both make the table.
        sqlx::query("SELECT pg_advisory_xact_lock(7037230013)")
            .execute(&mut *tx)
            .await?;
        let table = format!(
            "CREATE TABLE IF NOT EXISTS document_chunk (id TEXT PRIMARY KEY, vector {kind}({width}), \
             collection_name TEXT NOT NULL, text {text}, vmetadata {metadata})"
        );
        sqlx::query(AssertSqlSafe(table)).execute(&mut *tx).await?;
        check_layout(&mut tx, kind, &layout).await?;
        let mut indexes = vec![
            "CREATE INDEX IF NOT EXISTS idx_document_chunk_collection_name ON document_chunk (collection_name)",
        ];
        if dialect == Dialect::Postgres && layout.key.is_none() {
            indexes.push(
                "CREATE INDEX IF NOT EXISTS idx_document_chunk_text_search ON document_chunk \
                 USING GIN (to_tsvector('simple', coalesce(text, '')))",
            );
        }
        for index in indexes {
            sqlx::query(index).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Self {
            pool,
            dialect,
            kind,
            key: layout.key,
            width,
        })
    }

    fn literal(&self, vector: &[f32]) -> String {
        let mut numbers: Vec<String> = vector.iter().take(self.width).map(f32::to_string).collect();
        numbers.resize(self.width, "0".into());
        format!("[{}]", numbers.join(","))
    }

    /// Text and metadata of a row, the latter as JSON. An argument is the key, where they are encrypted.
    fn columns(&self, args: &mut PgArguments) -> Result<(String, String)> {
        let Some(key) = &self.key else {
            return Ok(("text".into(), "vmetadata".into()));
        };
        args.add(key.expose()).map_err(bad)?;
        let open = |column: &str| format!("pgp_sym_decrypt({column}, ${})", args.len());
        Ok((open("text"), format!("{}::jsonb", open("vmetadata"))))
    }

    /// Adds the filter on metadata at a place to a statement that has its arguments already.
    fn condition(&self, metadata: &str, filter: &Filter, args: &mut PgArguments) -> Result<String> {
        if self.dialect == Dialect::OpenGauss {
            return plain_condition(filter, args);
        }
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
                " AND {metadata} -> ${name} = ANY(${}::text[]::jsonb[])",
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
            let (_, metadata) = self.columns(&mut args)?;
            let condition = self.condition(&metadata, old, &mut args)?;
            let sql = format!("DELETE FROM document_chunk WHERE collection_name = $1{condition}");
            sqlx::query_with(AssertSqlSafe(sql), args)
                .execute(&mut *tx)
                .await?;
        }
        if self.dialect == Dialect::OpenGauss {
            self.write_plainly(collection, &items, &mut tx).await?;
            tx.commit().await?;
            return Ok(());
        }
        for part in items.chunks(ROWS) {
            let column = |of: fn(&Item) -> String| part.iter().map(of).collect::<Vec<String>>();
            let vectors: Vec<String> = part.iter().map(|item| self.literal(&item.vector)).collect();
            let (text, metadata) = match self.key {
                Some(_) => ("pgp_sym_encrypt(text, $6)", "pgp_sym_encrypt(vmetadata, $6)"),
                None => ("text", "vmetadata::jsonb"),
            };
            let sql = format!(
                "INSERT INTO document_chunk (id, vector, collection_name, text, vmetadata) \
                 SELECT id, vector::{}, $1, {text}, {metadata} \
                 FROM UNNEST($2::text[], $3::text[], $4::text[], $5::text[]) AS new (id, vector, text, vmetadata) \
                 ON CONFLICT (id) DO UPDATE SET vector = EXCLUDED.vector, collection_name = EXCLUDED.collection_name, \
                 text = EXCLUDED.text, vmetadata = EXCLUDED.vmetadata",
                self.kind
            );
            let insert = sqlx::query(AssertSqlSafe(sql))
                .bind(collection)
                .bind(column(|item| item.id.clone()))
                .bind(vectors)
                .bind(column(|item| item.text.replace('\0', "")))
                .bind(column(|item| Value::Object(item.metadata.clone()).to_string()));
            let insert = match &self.key {
                Some(key) => insert.bind(key.expose()),
                None => insert,
            };
            insert.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes rows with the same ids away and adds the new ones: openGauss has another word for doing both at once, and
    /// does not unfold several lists side by side.
    async fn write_plainly(&self, collection: &str, items: &[Item], tx: &mut PgConnection) -> Result<()> {
        for part in items.chunks(ROWS) {
            let mut args = PgArguments::default();
            let ids = part.iter().map(|item| item.id.clone());
            let same = plain_condition(&Filter::ids(ids), &mut args)?;
            let sql = format!("DELETE FROM document_chunk WHERE TRUE{same}");
            sqlx::query_with(AssertSqlSafe(sql), args)
                .execute(&mut *tx)
                .await?;
            let mut args = PgArguments::default();
            args.add(collection).map_err(bad)?;
            let mut rows = Vec::new();
            for item in part {
                let first = args.len() + 1;
                args.add(item.id.as_str()).map_err(bad)?;
                args.add(self.literal(&item.vector)).map_err(bad)?;
                args.add(item.text.replace('\0', "")).map_err(bad)?;
                args.add(Value::Object(item.metadata.clone()).to_string())
                    .map_err(bad)?;
                rows.push(format!(
                    "(${first}, CAST(${} AS vector), $1, ${}, CAST(${} AS jsonb))",
                    first + 1,
                    first + 2,
                    first + 3
                ));
            }
            let sql = format!(
                "INSERT INTO document_chunk (id, vector, collection_name, text, vmetadata) VALUES {}",
                rows.join(", ")
            );
            sqlx::query_with(AssertSqlSafe(sql), args)
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}

/// Whether a table that is there was made for these settings.
async fn check_layout(tx: &mut PgConnection, kind: &str, layout: &PgLayout) -> Result<()> {
    let stored: Vec<(String, String, i32)> = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, NULL), atttypmod FROM pg_attribute \
         WHERE attrelid = 'document_chunk'::regclass AND attname IN ('vector', 'text')",
    )
    .fetch_all(tx)
    .await?;
    for (column, stored, size) in stored {
        let encrypted = stored == "bytea";
        let problem = if column == "text" {
            (encrypted != layout.key.is_some()).then(|| {
                "document_chunk is not laid out as PGVECTOR_PGCRYPTO says: its texts are encrypted or not"
                    .to_owned()
            })
        } else if stored != kind {
            let text =
                format!("document_chunk keeps vectors as {stored}, PGVECTOR_USE_HALFVEC asks for {kind}");
            Some(text)
        } else {
            let stored = usize::try_from(size).ok().filter(|size| *size != layout.width);
            stored.map(|stored| {
                format!(
                    "VECTOR_LENGTH {} does not match existing vector column dimension {stored}. Cannot change vector \
                     size after initialization without migrating the data.",
                    layout.width
                )
            })
        };
        if let Some(problem) = problem {
            return Err(Error::Settings(problem));
        }
    }
    Ok(())
}

/// The filter in words that any PostgreSQL knows: values are compared as texts.
fn plain_condition(filter: &Filter, args: &mut PgArguments) -> Result<String> {
    if filter.is_hopeless() {
        return Ok(" AND FALSE".into());
    }
    let mut text = String::new();
    let mut among = |left: &str, values: &[String], args: &mut PgArguments| -> Result<()> {
        let mut places = Vec::new();
        for value in values {
            args.add(value.as_str()).map_err(bad)?;
            places.push(format!("${}", args.len()));
        }
        text.push_str(&format!(" AND {left} IN ({})", places.join(", ")));
        Ok(())
    };
    if let Some(ids) = &filter.ids {
        among("id", ids, args)?;
    }
    for (name, values) in &filter.fields {
        args.add(name.as_str()).map_err(bad)?;
        let left = format!("vmetadata ->> ${}", args.len());
        let values: Vec<String> = values.iter().map(text_of).collect();
        among(&left, &values, args)?;
    }
    Ok(text)
}

/// A value as databases give it out of JSON as a text.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[async_trait]
impl VectorStore for PgVector {
    fn name(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "pgvector",
            Dialect::OpenGauss => "opengauss",
        }
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
        let (text, metadata) = self.columns(&mut args)?;
        let condition = self.condition(&metadata, filter, &mut args)?;
        let kind = self.kind;
        let sql = format!(
            "SELECT id, {text}, {metadata}::text, 1 - (vector <=> $2::{kind}) / 2 AS likeness FROM document_chunk \
             WHERE collection_name = $1{condition} ORDER BY vector <=> $2::{kind}, id LIMIT $3"
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
        let (text, metadata) = self.columns(&mut args)?;
        let condition = self.condition(&metadata, filter, &mut args)?;
        args.add(limit.and_then(|limit| i64::try_from(limit).ok()))
            .map_err(bad)?;
        let sql = format!(
            "SELECT id, {text}, {metadata}::text FROM document_chunk WHERE collection_name = $1{condition} LIMIT ${}",
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
        if enriched || self.dialect == Dialect::OpenGauss || self.key.is_some() {
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
mod tests;
