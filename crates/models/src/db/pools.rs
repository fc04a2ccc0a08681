//! Connection pools. SQLite gets one writing connection and several reading ones: WAL lets them
//! work side by side, and a single writer can never find the database locked by another of ours.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;

use super::sqlite::SqlitePool;
use super::{DbResult, Dialect};

/// What to connect to.
pub enum Connect {
    /// A file, with the number of reading connections.
    Sqlite {
        /// Path and pragmas.
        options: Box<SqliteConnectOptions>,
        /// Reading connections.
        readers: usize,
    },
    /// A server, with the size of the pool.
    Postgres {
        /// Address, credentials and search path.
        options: Box<PgConnectOptions>,
        /// Connections at most.
        size: u32,
    },
}

/// Connections used so recently are not asked whether they still stand: that is a round trip for each statement.
const SURELY_THERE: Duration = Duration::from_secs(1);

/// Whether a connection can be given out.
async fn still_there(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for > SURELY_THERE {
        connection.ping().await?;
    }
    Ok(true)
}

/// The open pools.
pub(crate) enum Pools {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(PgPool),
}

impl Pools {
    pub(super) async fn open(connect: Connect) -> DbResult<Self> {
        match connect {
            Connect::Sqlite { options, readers } => {
                let write = SqlitePool::open((*options).clone(), 1).await?;
                let read = SqlitePool::open(*options, readers.max(1)).await?;
                Ok(Pools::Sqlite { read, write })
            }
            Connect::Postgres { options, size } => Ok(Pools::Postgres(
                PgPoolOptions::new()
                    .max_connections(size.max(2))
                    .test_before_acquire(false)
                    .before_acquire(|connection, meta| Box::pin(still_there(connection, meta.idle_for)))
                    .connect_with(*options)
                    .await?,
            )),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}
