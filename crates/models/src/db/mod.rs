//! The database as the rest of this crate sees it: one small layer over sqlx's SQLite and
//! PostgreSQL drivers. SQL is written once with `?` placeholders in the dialect both share;
//! what differs (placeholders, JSON and date binding, storage classes) is settled here and in
//! [`arg`] and [`row`]. Statements live in the table modules, not here.
//!
//! Why not an ORM: `json` columns must be bound as `json` on PostgreSQL (a detour through `jsonb`
//! reorders keys and refuses NUL escapes) and read in any storage class on SQLite, and a
//! statement is measurably cheaper without one.

mod arg;
mod cache;
mod pools;
mod row;
mod sqlite;
mod table;

use oui_core::boxed;
use std::borrow::Cow;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Postgres, Transaction};

pub use arg::{Arg, Date};
pub use cache::RowCache;
pub use pools::Connect;
pub(crate) use pools::Pools;
pub use row::{Column, Json, Row};
pub use table::{Changes, FromRow};

use crate::caches::Caches;
use sqlite::SqliteTx;

/// A failed statement.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The driver's error.
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// A stored value that is not what its column holds.
    #[error("column {column}: {problem}")]
    Decode {
        /// Name or position of the column.
        column: String,
        /// What was wrong with the value.
        problem: String,
    },
}

impl DbError {
    /// Whether a unique constraint refused the statement.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, DbError::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

impl From<DbError> for oui_core::ApiError {
    fn from(error: DbError) -> Self {
        oui_core::ApiError::internal(error)
    }
}

/// Result of a statement.
pub type DbResult<T> = Result<T, DbError>;

/// Which SQL dialect is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// Handle on the database: pools and row caches. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Pools,
    caches: Caches,
    clock: oui_core::Clock,
}

impl Db {
    /// Opens the pools. The schema must have been prepared by the migrations crate.
    #[boxed]
    pub async fn connect(connect: Connect, clock: oui_core::Clock) -> DbResult<Self> {
        let pools = Pools::open(connect).await?;
        let caches = Caches::new(pools.dialect());
        Ok(Self {
            inner: Arc::new(Inner { pools, caches, clock }),
        })
    }

    /// The dialect, for the few statements that are written twice.
    pub fn dialect(&self) -> Dialect {
        self.inner.pools.dialect()
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &oui_core::Clock {
        &self.inner.clock
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.inner.clock.seconds()
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.inner.caches
    }

    /// Begins a transaction. On SQLite it takes the write lock at once, so that it can not fail half-way
    /// for want of it.
    #[boxed]
    pub async fn begin(&self) -> DbResult<Tx> {
        let inner = match &self.inner.pools {
            Pools::Sqlite { write, .. } => TxInner::Sqlite(SqliteTx::begin(write).await?),
            Pools::Postgres(pool) => TxInner::Postgres(pool.begin().await?),
        };
        Ok(Tx {
            inner,
            db: self.clone(),
        })
    }

    /// Closes the pools after running statements have ended.
    #[boxed]
    pub async fn close(&self) {
        self.inner.pools.close().await;
    }
}

/// An open transaction; dropped without [`Tx::commit`] it is rolled back.
pub struct Tx {
    inner: TxInner,
    db: Db,
}

enum TxInner {
    Sqlite(SqliteTx),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Makes everything done in it permanent.
    #[boxed]
    pub async fn commit(self) -> DbResult<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await?,
            TxInner::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// The handle it was begun on.
    pub fn db(&self) -> &Db {
        &self.db
    }
}

/// Where a statement runs: on the pools or in a transaction. Functions of the table modules take
/// `impl Into<Conn<'_>>`, so that `&db` and `&mut tx` both do.
pub enum Conn<'a> {
    /// Any free connection.
    Db(&'a Db),
    /// Inside a transaction.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Db> for Conn<'a> {
    fn from(db: &'a Db) -> Self {
        Conn::Db(db)
    }
}

impl<'a> From<&'a mut Tx> for Conn<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Conn::Tx(tx)
    }
}

/// A statement with its arguments.
pub struct Query<'q> {
    sql: Cow<'q, str>,
    args: Vec<Arg>,
}

/// A statement from SQL with `?` placeholders.
pub fn sql<'q>(sql: impl Into<Cow<'q, str>>, args: Vec<Arg>) -> Query<'q> {
    Query {
        sql: sql.into(),
        args,
    }
}

impl Query<'_> {
    fn for_sqlite(self) -> DbResult<(String, SqliteArguments)> {
        let mut bound = SqliteArguments::default();
        for arg in self.args {
            arg.bind_sqlite(&mut bound)?;
        }
        Ok((self.sql.into_owned(), bound))
    }

    fn for_postgres(self) -> DbResult<(String, PgArguments)> {
        let mut bound = PgArguments::default();
        for arg in self.args {
            arg.bind_postgres(&mut bound)?;
        }
        Ok((numbered(&self.sql), bound))
    }
}

/// Turns `?` into `$1`, `$2`, ... outside quotes.
fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut count, mut quoted) = (0, false);
    for ch in sql.chars() {
        match ch {
            '\'' => {
                quoted = !quoted;
                out.push(ch);
            }
            '?' if !quoted => {
                count += 1;
                out.push('$');
                out.push_str(&count.to_string());
            }
            _ => out.push(ch),
        }
    }
    out
}

/// Runs one of sqlx's fetch methods on whichever driver and executor applies.
macro_rules! run {
    ($conn:expr, $query:expr, $pool:ident, $method:ident, $wrap:expr) => {
        match $conn {
            Conn::Db(db) => match &db.inner.pools {
                Pools::Sqlite { $pool, .. } => {
                    let (sql, args) = $query.for_sqlite()?;
                    let mut held = $pool.get().await?;
                    $wrap.sqlite(
                        sqlx::query_with(AssertSqlSafe(sql), args)
                            .$method(&mut *held)
                            .await?,
                    )
                }
                Pools::Postgres(pool) => {
                    let (sql, args) = $query.for_postgres()?;
                    $wrap.postgres(sqlx::query_with(AssertSqlSafe(sql), args).$method(pool).await?)
                }
            },
            Conn::Tx(tx) => match &mut tx.inner {
                TxInner::Sqlite(tx) => {
                    let (sql, args) = $query.for_sqlite()?;
                    $wrap.sqlite(
                        sqlx::query_with(AssertSqlSafe(sql), args)
                            .$method(tx.connection()?)
                            .await?,
                    )
                }
                TxInner::Postgres(tx) => {
                    let (sql, args) = $query.for_postgres()?;
                    $wrap.postgres(
                        sqlx::query_with(AssertSqlSafe(sql), args)
                            .$method(&mut **tx)
                            .await?,
                    )
                }
            },
        }
    };
}

struct All;
impl All {
    fn sqlite(&self, rows: Vec<sqlx::sqlite::SqliteRow>) -> Vec<Row> {
        rows.into_iter().map(Row::Sqlite).collect()
    }
    fn postgres(&self, rows: Vec<sqlx::postgres::PgRow>) -> Vec<Row> {
        rows.into_iter().map(Row::Postgres).collect()
    }
}

struct Maybe;
impl Maybe {
    fn sqlite(&self, row: Option<sqlx::sqlite::SqliteRow>) -> Option<Row> {
        row.map(Row::Sqlite)
    }
    fn postgres(&self, row: Option<sqlx::postgres::PgRow>) -> Option<Row> {
        row.map(Row::Postgres)
    }
}

struct Affected;
impl Affected {
    fn sqlite(&self, done: sqlx::sqlite::SqliteQueryResult) -> u64 {
        done.rows_affected()
    }
    fn postgres(&self, done: sqlx::postgres::PgQueryResult) -> u64 {
        done.rows_affected()
    }
}

impl<'q> Query<'q> {
    /// All rows of a reading statement.
    #[boxed]
    pub async fn all(self, conn: impl Into<Conn<'_>>) -> DbResult<Vec<Row>>
    where
        'q: 'fut,
    {
        Ok(run!(conn, self, read, fetch_all, All))
    }

    /// The first row of a reading statement, if there is one.
    #[boxed]
    pub async fn first(self, conn: impl Into<Conn<'_>>) -> DbResult<Option<Row>>
    where
        'q: 'fut,
    {
        Ok(run!(conn, self, read, fetch_optional, Maybe))
    }

    /// Rows of a writing statement with `RETURNING`.
    #[boxed]
    pub async fn returning(self, conn: impl Into<Conn<'_>>) -> DbResult<Vec<Row>>
    where
        'q: 'fut,
    {
        Ok(run!(conn, self, write, fetch_all, All))
    }

    /// Runs a writing statement; the answer is the number of rows it touched.
    #[boxed]
    pub async fn execute(self, conn: impl Into<Conn<'_>>) -> DbResult<u64>
    where
        'q: 'fut,
    {
        Ok(run!(conn, self, write, execute, Affected))
    }

    /// First column of the first row.
    pub async fn scalar<T: Column>(self, conn: impl Into<Conn<'_>>) -> DbResult<Option<T>> {
        match self.first(conn).await? {
            Some(row) => Ok(Some(row.at(0)?)),
            None => Ok(None),
        }
    }
}

/// `?, ?, ?` for `count` arguments of an `IN (...)`.
pub fn placeholders(count: usize) -> String {
    let mut out = String::with_capacity(count * 3);
    for index in 0..count {
        out.push_str(if index == 0 { "?" } else { ", ?" });
    }
    out
}

/// Builds an argument list: `args![id, 3, None::<String>]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Arg::from($value)),*] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_outside_quotes() {
        assert_eq!(
            numbered("a = ? AND b = '?' AND c = ?"),
            "a = $1 AND b = '?' AND c = $2"
        );
        assert_eq!(placeholders(3), "?, ?, ?");
    }
}
