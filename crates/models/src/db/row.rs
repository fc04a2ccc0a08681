//! Rows of either driver and how columns are read from them.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, ValueRef};

use super::{Date, DbError, DbResult};

/// One row of a result.
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// The column at `index`, counted from 0 in the order of the SELECT list.
    pub fn at<T: Column>(&self, index: usize) -> DbResult<T> {
        T::read(self, index)
    }

    fn is_null(&self, index: usize) -> DbResult<bool> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get_raw(index)?.is_null(),
            Row::Postgres(row) => row.try_get_raw(index)?.is_null(),
        })
    }

    /// Text of the value: JSON columns come as text in every storage class.
    fn text(&self, index: usize) -> DbResult<String> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get_unchecked(index)?,
            Row::Postgres(row) => row.try_get_unchecked(index)?,
        })
    }
}

fn wrong(index: usize, problem: impl std::fmt::Display) -> DbError {
    DbError::Decode {
        column: format!("#{index}"),
        problem: problem.to_string(),
    }
}

/// A Rust type that a column can be read as.
pub trait Column: Sized {
    /// Reads column `index` of `row`.
    fn read(row: &Row, index: usize) -> DbResult<Self>;
}

impl Column for String {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        row.text(index)
    }
}

impl Column for i64 {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get_unchecked(index)?,
            Row::Postgres(row) => match row.try_get::<i64, _>(index) {
                Ok(value) => value,
                // COUNT(*) is bigint, but a few expressions are integer.
                Err(_) => i64::from(row.try_get::<i32, _>(index)?),
            },
        })
    }
}

impl Column for bool {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get_unchecked(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }
}

impl Column for f64 {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get_unchecked(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }
}

impl Column for Value {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        serde_json::from_str(&row.text(index)?).map_err(|error| wrong(index, error))
    }
}

/// A JSON column read into a type of its own, without a detour through [`Value`].
pub struct Json<T>(pub T);

impl<T: serde::de::DeserializeOwned> Column for Json<T> {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        serde_json::from_str(&row.text(index)?)
            .map(Json)
            .map_err(|error| wrong(index, error))
    }
}

impl Column for Date {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        match row {
            Row::Sqlite(_) => {
                let text = row.text(index)?;
                Date::parse(&text).ok_or_else(|| wrong(index, format!("'{text}' is no date")))
            }
            Row::Postgres(row) => Ok(Date(row.try_get_unchecked(index)?)),
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn read(row: &Row, index: usize) -> DbResult<Self> {
        if row.is_null(index)? {
            Ok(None)
        } else {
            T::read(row, index).map(Some)
        }
    }
}
