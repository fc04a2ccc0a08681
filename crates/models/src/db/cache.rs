//! A cache of rows by key with explicit invalidation. Made for rows that nearly every request
//! needs (users, effective permissions); nothing else should be cached this way.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::DbResult;

/// Rows by key, each for at most `ttl`. The limit guards against writers outside this process;
/// writers inside it invalidate.
pub struct RowCache<K, V> {
    rows: RwLock<HashMap<K, (Instant, V)>>,
    generation: AtomicU64,
    ttl: Duration,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> RowCache<K, V> {
    /// A cache of at most `capacity` rows.
    pub fn new(ttl: Duration, capacity: usize) -> Self {
        Self {
            rows: RwLock::default(),
            generation: AtomicU64::new(0),
            ttl,
            capacity,
        }
    }

    /// The cached row, or the loaded one. A row that was loaded while somebody invalidated is
    /// returned but not kept, since it may be the old one.
    pub async fn get_or_load<F>(&self, key: &K, load: F) -> DbResult<Option<V>>
    where
        F: Future<Output = DbResult<Option<V>>>,
    {
        if let Some(row) = self.get(key) {
            return Ok(Some(row));
        }
        let before = self.generation.load(Ordering::Acquire);
        let Some(row) = load.await? else { return Ok(None) };
        let mut rows = self.rows.write();
        if self.generation.load(Ordering::Acquire) == before {
            if rows.len() >= self.capacity {
                rows.retain(|_, (at, _)| at.elapsed() < self.ttl);
            }
            if rows.len() >= self.capacity {
                rows.clear();
            }
            rows.insert(key.clone(), (Instant::now(), row.clone()));
        }
        Ok(Some(row))
    }

    /// The cached row.
    pub fn get(&self, key: &K) -> Option<V> {
        let rows = self.rows.read();
        let (at, row) = rows.get(key)?;
        (at.elapsed() < self.ttl).then(|| row.clone())
    }

    /// Forgets one row; called after the write that changes it is committed.
    pub fn invalidate(&self, key: &K) {
        let mut rows = self.rows.write();
        self.generation.fetch_add(1, Ordering::AcqRel);
        rows.remove(key);
    }

    /// Forgets every row.
    pub fn clear(&self) {
        let mut rows = self.rows.write();
        self.generation.fetch_add(1, Ordering::AcqRel);
        rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_read_during_an_invalidation_is_not_kept() {
        let cache: RowCache<String, i64> = RowCache::new(Duration::from_secs(60), 10);
        let key = "a".to_owned();
        let read = cache
            .get_or_load(&key, async {
                cache.invalidate(&key);
                Ok(Some(1))
            })
            .await
            .unwrap();
        assert_eq!(read, Some(1));
        assert_eq!(cache.get(&key), None);
        cache.get_or_load(&key, async { Ok(Some(2)) }).await.unwrap();
        assert_eq!(cache.get(&key), Some(2));
        cache.invalidate(&key);
        assert_eq!(cache.get(&key), None);
    }
}
