//! Every statement on the file.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use crate::error::{Error, Result};
use crate::fulltext::{self, IndexedText};
use crate::vector::matrix::Matrix;
use crate::vector::{Entry, Filter, Item};

/// Values bound in one statement at most.
const BOUND: usize = 500;

/// Changes given to the index of words at once.
const CHANGES: i64 = 5000;

/// A collection.
pub(super) struct Collection {
    pub(super) id: i64,
    pub(super) width: usize,
}

const COLLECTION: &str = "SELECT id, width FROM collection WHERE name = ?";

fn collection_of(row: Option<(i64, i64)>) -> Option<Collection> {
    row.map(|(id, width)| Collection {
        id,
        width: usize::try_from(width).unwrap_or(0),
    })
}

pub(super) async fn collection(pool: &SqlitePool, name: &str) -> Result<Option<Collection>> {
    let row = sqlx::query_as(COLLECTION).bind(name).fetch_optional(pool).await?;
    Ok(collection_of(row))
}

pub(super) async fn collection_in(tx: &mut SqliteConnection, name: &str) -> Result<Option<Collection>> {
    let row = sqlx::query_as(COLLECTION).bind(name).fetch_optional(tx).await?;
    Ok(collection_of(row))
}

pub(super) async fn make_collection(
    tx: &mut SqliteConnection,
    name: &str,
    width: usize,
) -> Result<Collection> {
    let id = sqlx::query_scalar("INSERT INTO collection (name, width) VALUES (?, ?) RETURNING id")
        .bind(name)
        .bind(i64::try_from(width).unwrap_or(0))
        .fetch_one(tx)
        .await?;
    Ok(Collection { id, width })
}

/// A condition on table `entry`, with its values.
fn condition(collection: i64, filter: &Filter, ids: Option<&[String]>) -> Result<(String, SqliteArguments)> {
    let mut args = SqliteArguments::default();
    let bad = |error: Box<dyn std::error::Error + Send + Sync>| Error::Store(error.to_string());
    let mut text = String::from("collection = ?");
    args.add(collection).map_err(bad)?;
    if let Some(ids) = ids {
        text.push_str(&format!(" AND key IN ({})", marks(ids.len())));
        for id in ids {
            args.add(id.as_str()).map_err(bad)?;
        }
    }
    for (name, values) in &filter.fields {
        let name = name.replace(['"', '\'', '\\'], "");
        text.push_str(&format!(
            " AND json_extract(metadata, '$.\"{name}\"') IN ({})",
            marks(values.len())
        ));
        for value in values {
            match value {
                Value::String(text) => args.add(text.as_str()),
                Value::Bool(flag) => args.add(i64::from(*flag)),
                Value::Number(number) => match number.as_i64() {
                    Some(whole) => args.add(whole),
                    None => args.add(number.as_f64().unwrap_or(f64::NAN)),
                },
                other => args.add(other.to_string()),
            }
            .map_err(bad)?;
        }
    }
    Ok((text, args))
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// Runs a statement with the condition for the whole filter: once, or once for each part of a long list of ids.
fn conditions(collection: i64, filter: &Filter) -> Result<Vec<(String, SqliteArguments)>> {
    match &filter.ids {
        None => Ok(vec![condition(collection, filter, None)?]),
        Some(ids) => ids
            .chunks(BOUND)
            .map(|part| condition(collection, filter, Some(part)))
            .collect(),
    }
}

/// Entries that the filter matches, oldest first.
pub(super) async fn matching(
    pool: &SqlitePool,
    collection: i64,
    filter: &Filter,
    limit: Option<usize>,
) -> Result<Vec<i64>> {
    let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
    let mut found = Vec::new();
    for (text, args) in conditions(collection, filter)? {
        let sql = format!("SELECT id FROM entry WHERE {text} ORDER BY id LIMIT {limit}");
        let rows = sqlx::query_with(AssertSqlSafe(sql), args).fetch_all(pool).await?;
        for row in rows {
            found.push(row.try_get(0)?);
        }
    }
    Ok(found)
}

/// Removes entries; the answer names them.
pub(super) async fn remove(tx: &mut SqliteConnection, collection: i64, filter: &Filter) -> Result<Vec<i64>> {
    let mut gone = Vec::new();
    for (text, args) in conditions(collection, filter)? {
        let sql = format!("DELETE FROM entry WHERE {text} RETURNING id");
        let rows = sqlx::query_with(AssertSqlSafe(sql), args)
            .fetch_all(&mut *tx)
            .await?;
        for row in rows {
            gone.push(row.try_get::<i64, _>(0)?);
        }
    }
    for part in gone.chunks(BOUND) {
        let mut vectors = QueryBuilder::<Sqlite>::new("DELETE FROM vector WHERE entry IN (");
        let mut list = vectors.separated(", ");
        for entry in part {
            list.push_bind(*entry);
        }
        vectors.push(")");
        vectors.build().execute(&mut *tx).await?;
        note(tx, part).await?;
    }
    Ok(gone)
}

async fn note(tx: &mut SqliteConnection, entries: &[i64]) -> Result<()> {
    let mut changes = QueryBuilder::<Sqlite>::new("INSERT INTO word_change (entry) ");
    changes.push_values(entries, |mut row, entry| {
        row.push_bind(*entry);
    });
    changes.build().execute(tx).await?;
    Ok(())
}

/// Adds items; the answer has the number of each.
pub(super) async fn add(tx: &mut SqliteConnection, collection: i64, items: &[Item]) -> Result<Vec<i64>> {
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        let metadata =
            serde_json::to_string(&item.metadata).map_err(|error| Error::Store(error.to_string()))?;
        let entry: i64 = sqlx::query_scalar(
            "INSERT INTO entry (collection, key, text, metadata) VALUES (?, ?, ?, ?) RETURNING id",
        )
        .bind(collection)
        .bind(&item.id)
        .bind(&item.text)
        .bind(metadata)
        .fetch_one(&mut *tx)
        .await?;
        let numbers: Vec<u8> = item
            .vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        sqlx::query("INSERT INTO vector (entry, collection, numbers) VALUES (?, ?, ?)")
            .bind(entry)
            .bind(collection)
            .bind(numbers)
            .execute(&mut *tx)
            .await?;
        entries.push(entry);
    }
    for part in entries.chunks(BOUND) {
        note(tx, part).await?;
    }
    Ok(entries)
}

pub(super) async fn drop_collection(tx: &mut SqliteConnection, id: i64) -> Result<()> {
    for table in [
        "DELETE FROM vector WHERE collection = ?",
        "DELETE FROM entry WHERE collection = ?",
    ] {
        sqlx::query(table).bind(id).execute(&mut *tx).await?;
    }
    sqlx::query("DELETE FROM collection WHERE id = ?")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    note(tx, &[-id]).await
}

/// Empties all tables.
pub(super) async fn clear(pool: &SqlitePool) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("DELETE FROM vector; DELETE FROM entry; DELETE FROM collection; DELETE FROM word_change;")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// All vectors of a collection, in short form.
pub(super) async fn matrix(pool: &SqlitePool, collection: &Collection) -> Result<Matrix> {
    use futures::TryStreamExt;
    let mut matrix = Matrix::new(collection.width);
    let mut rows = sqlx::query("SELECT entry, numbers FROM vector WHERE collection = ?")
        .bind(collection.id)
        .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        matrix.push(row.try_get(0)?, &numbers(row.try_get(1)?));
    }
    Ok(matrix)
}

/// A statement over a list of entries, in parts.
async fn by_entry(pool: &SqlitePool, select: &str, entries: &[i64]) -> Result<Vec<SqliteRow>> {
    let mut all = Vec::with_capacity(entries.len());
    for part in entries.chunks(BOUND) {
        let mut query = QueryBuilder::<Sqlite>::new(select);
        let mut list = query.separated(", ");
        for entry in part {
            list.push_bind(*entry);
        }
        query.push(")");
        all.extend(query.build().fetch_all(pool).await?);
    }
    Ok(all)
}

/// Whole vectors of entries.
pub(super) async fn vectors(pool: &SqlitePool, entries: &[i64]) -> Result<Vec<(i64, Vec<f32>)>> {
    let rows = by_entry(
        pool,
        "SELECT entry, numbers FROM vector WHERE entry IN (",
        entries,
    )
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, numbers(row.try_get(1)?))))
        .collect()
}

/// Whole vectors of entries of a collection by their ids.
pub(super) async fn vectors_by_key(
    pool: &SqlitePool,
    collection: i64,
    keys: &[String],
) -> Result<Vec<(String, Vec<f32>)>> {
    let mut all = Vec::with_capacity(keys.len());
    for part in keys.chunks(BOUND) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT entry.key, vector.numbers FROM entry JOIN vector ON vector.entry = entry.id \
             WHERE entry.collection = ",
        );
        query.push_bind(collection).push(" AND entry.key IN (");
        let mut list = query.separated(", ");
        for key in part {
            list.push_bind(key.as_str());
        }
        query.push(")");
        for row in query.build().fetch_all(pool).await? {
            all.push((row.try_get(0)?, numbers(row.try_get(1)?)));
        }
    }
    Ok(all)
}

/// Entries by their numbers.
pub(super) async fn entries(pool: &SqlitePool, ids: &[i64]) -> Result<HashMap<i64, Entry>> {
    let rows = by_entry(
        pool,
        "SELECT id, key, text, metadata FROM entry WHERE id IN (",
        ids,
    )
    .await?;
    rows.iter()
        .map(|row| {
            let metadata: &str = row.try_get(3)?;
            let metadata = serde_json::from_str(metadata).map_err(|error| Error::Store(error.to_string()))?;
            let entry = Entry {
                id: row.try_get(1)?,
                text: row.try_get(2)?,
                metadata,
            };
            Ok((row.try_get(0)?, entry))
        })
        .collect()
}

/// What the index of words has to do next.
#[derive(Default)]
pub(super) struct Changes {
    /// Number of the last change in here; none when there is nothing to do.
    pub(super) last: Option<i64>,
    /// Entries that are to be taken out first.
    pub(super) gone: Vec<i64>,
    /// Collections that are to be taken out.
    pub(super) dropped: Vec<i64>,
    /// Entries to be put in.
    pub(super) texts: Vec<IndexedText>,
}

/// Whether there are changes that the index of words has not seen.
pub(super) async fn is_behind(pool: &SqlitePool) -> Result<bool> {
    let first: Option<i64> = sqlx::query_scalar("SELECT id FROM word_change LIMIT 1")
        .fetch_optional(pool)
        .await?;
    Ok(first.is_some())
}

pub(super) async fn pending(pool: &SqlitePool) -> Result<Changes> {
    let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT id, entry FROM word_change ORDER BY id LIMIT ?")
        .bind(CHANGES)
        .fetch_all(pool)
        .await?;
    let mut changes = Changes {
        last: rows.last().map(|(id, _)| *id),
        ..Changes::default()
    };
    for (_, entry) in rows {
        if entry < 0 {
            changes.dropped.push(-entry);
        } else {
            changes.gone.push(entry);
        }
    }
    changes.gone.sort_unstable();
    changes.gone.dedup();
    let select = "SELECT id, collection, text, metadata FROM entry WHERE id IN (";
    for row in by_entry(pool, select, &changes.gone).await? {
        let metadata = serde_json::from_str(row.try_get(3)?).unwrap_or_default();
        changes.texts.push(IndexedText {
            entry: row.try_get(0)?,
            collection: row.try_get(1)?,
            text: row.try_get(2)?,
            names: fulltext::enriched(&metadata),
        });
    }
    Ok(changes)
}

/// Forgets changes that the index of words has seen.
pub(super) async fn settle(pool: &SqlitePool, last: i64) -> Result<()> {
    sqlx::query("DELETE FROM word_change WHERE id <= ?")
        .bind(last)
        .execute(pool)
        .await?;
    Ok(())
}

/// Makes the index of words begin anew.
pub(super) async fn queue_all(pool: &SqlitePool) -> Result<()> {
    sqlx::query("DELETE FROM word_change").execute(pool).await?;
    sqlx::query("INSERT INTO word_change (entry) SELECT id FROM entry")
        .execute(pool)
        .await?;
    Ok(())
}
