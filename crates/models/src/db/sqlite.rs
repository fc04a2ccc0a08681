//! Connections to SQLite, kept in a pool that trusts them. sqlx's own pool asks a connection whether it is alive
//! before and after each use; a file does not go away, and on SQLite each such question is a trip to the connection's
//! thread and back, as dear as the statement itself.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleResult, Timeouts, WeakPool,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::runtime::Handle;

/// How long a statement waits for a connection, in milliseconds; sqlx's default.
const WAIT: u64 = 30_000;
/// Connections that nobody has used for so long are closed, with the pages they hold; sqlx's default.
const IDLE: Duration = Duration::from_secs(600);
/// Pause between two looks for such connections.
const LOOK: Duration = Duration::from_secs(60);

/// Opens connections.
pub(crate) struct Opener(SqliteConnectOptions);

impl Manager for Opener {
    type Type = SqliteConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut SqliteConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// A connection in use.
pub(super) type Held = Object<Opener>;

/// A number of connections to one file.
pub(crate) struct SqlitePool(Pool<Opener>);

impl SqlitePool {
    /// A pool of at most `size` connections, one of them open, so that a file that can't be used is known at once.
    pub(super) async fn open(options: SqliteConnectOptions, size: usize) -> Result<Self, sqlx::Error> {
        // The connection used last has the most pages in memory.
        let config = PoolConfig {
            max_size: size,
            timeouts: Timeouts::wait_millis(WAIT),
            queue_mode: QueueMode::Lifo,
        };
        let pool = Pool::builder(Opener(options))
            .config(config)
            .runtime(Runtime::Tokio1)
            .build();
        let pool = Self(pool.map_err(|error| sqlx::Error::Configuration(error.into()))?);
        drop(pool.get().await?);
        tokio::spawn(close_idle(pool.0.weak()));
        Ok(pool)
    }

    pub(super) async fn get(&self) -> Result<Held, sqlx::Error> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => sqlx::Error::PoolClosed,
            _ => sqlx::Error::PoolTimedOut,
        })
    }

    /// Closes every connection after the statement it runs.
    pub(super) async fn close(&self) {
        let size = self.0.status().max_size;
        let mut all = Vec::with_capacity(size);
        while all.len() < size && self.0.status().size > all.len() {
            match self.get().await {
                Ok(held) => all.push(held),
                Err(_) => break,
            }
        }
        self.0.close();
        for held in all {
            if let Err(error) = Object::take(held).close().await {
                tracing::warn!(%error, "a connection to the database did not close cleanly");
            }
        }
    }
}

/// Closes what nobody uses any more, until the pool is gone.
async fn close_idle(pool: WeakPool<Opener>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) else {
            return;
        };
        pool.retain(|_, metrics| metrics.last_used() < IDLE);
    }
}

/// An open transaction that holds its connection. Dropped before it is committed, also in the midst of beginning or
/// committing, it is rolled back before anybody else gets the connection.
pub(super) struct SqliteTx {
    /// `None` once it is committed.
    held: Option<Held>,
}

impl SqliteTx {
    /// Takes the write lock at once, so that the transaction can not fail half-way for want of it.
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Self, sqlx::Error> {
        let mut tx = Self {
            held: Some(pool.get().await?),
        };
        sqlx::query("BEGIN IMMEDIATE").execute(tx.connection()?).await?;
        Ok(tx)
    }

    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.held.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(self.connection()?).await?;
        self.held = None;
        Ok(())
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            // Closing rolls back, too.
            drop(Object::take(held));
            return;
        };
        runtime.spawn(async move {
            // SQLite may have rolled back by itself, or never begun; then this says so, and there is nothing to do.
            if let Err(error) = sqlx::query("ROLLBACK").execute(&mut *held).await {
                tracing::debug!(%error, "nothing to roll back");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    async fn pool(folder: &tempfile::TempDir) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true);
        let pool = SqlitePool::open(options, 1).await.unwrap();
        sqlx::query("CREATE TABLE t (id INTEGER)")
            .execute(&mut *pool.get().await.unwrap())
            .await
            .unwrap();
        pool
    }

    async fn count(pool: &SqlitePool) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM t")
            .fetch_one(&mut *pool.get().await.unwrap())
            .await
            .unwrap()
    }

    async fn insert(tx: &mut SqliteTx) {
        sqlx::query("INSERT INTO t VALUES (1)")
            .execute(tx.connection().unwrap())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_is_not_committed_is_rolled_back_before_the_next_use() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(&folder).await;
        let mut tx = SqliteTx::begin(&pool).await.unwrap();
        insert(&mut tx).await;
        drop(tx);
        assert_eq!(count(&pool).await, 0);
        let mut tx = SqliteTx::begin(&pool).await.unwrap();
        insert(&mut tx).await;
        tx.commit().await.unwrap();
        assert_eq!(count(&pool).await, 1);
    }

    #[tokio::test]
    async fn a_beginning_that_is_given_up_leaves_no_open_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(&folder).await;
        for _ in 0..50 {
            // Polled once: the statement is on its way, mostly nobody waits for its answer.
            let mut beginning = Box::pin(SqliteTx::begin(&pool));
            std::future::poll_fn(|cx| {
                let _ = beginning.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            drop(beginning);
            let mut tx = SqliteTx::begin(&pool).await.unwrap();
            insert(&mut tx).await;
            tx.commit().await.unwrap();
        }
        assert_eq!(count(&pool).await, 50);
    }

    #[tokio::test]
    async fn a_closed_pool_gives_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(&folder).await;
        pool.close().await;
        assert!(matches!(pool.get().await, Err(sqlx::Error::PoolClosed)));
    }
}
