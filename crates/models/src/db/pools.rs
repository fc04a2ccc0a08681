//! Connection pools. SQLite gets one writing connection and several reading ones: WAL lets them
//! work side by side, and a single writer can never find the database locked by another of ours.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{DbResult, Dialect};

/// What to connect to.
pub enum Connect {
    /// A file, with the number of reading connections.
    Sqlite {
        /// Path and pragmas.
        options: Box<SqliteConnectOptions>,
        /// Reading connections.
        readers: u32,
    },
    /// A server, with the size of the pool.
    Postgres {
        /// Address, credentials and search path.
        options: Box<PgConnectOptions>,
        /// Connections at most.
        size: u32,
    },
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
                let write = SqlitePoolOptions::new()
                    .max_connections(1)
                    .connect_with((*options).clone())
                    .await?;
                let read = SqlitePoolOptions::new()
                    .max_connections(readers.max(1))
                    .min_connections(1)
                    .connect_with(*options)
                    .await?;
                Ok(Pools::Sqlite { read, write })
            }
            Connect::Postgres { options, size } => Ok(Pools::Postgres(
                PgPoolOptions::new()
                    .max_connections(size.max(2))
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
