//! A sliding-window limit on tries, kept in buckets as the reference does: in the memory that servers share where
//! there is one, else in this process.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;

use oui_core::Clock;
use parking_lot::Mutex;

use crate::shared::SharedState;

/// Seconds in one bucket.
const BUCKET_SECONDS: i64 = 60;

/// Allows `limit` tries per key in a window of `window` seconds.
pub struct RateLimiter {
    limit: u64,
    window: i64,
    clock: Clock,
    tries: Mutex<HashMap<i64, HashMap<String, u64>>>,
    shared: Option<Arc<dyn SharedState>>,
}

impl RateLimiter {
    /// A limiter with no tries so far.
    pub fn new(limit: u32, window: i64, clock: Clock, shared: Option<Arc<dyn SharedState>>) -> Self {
        Self {
            limit: u64::from(limit),
            window,
            clock,
            tries: Mutex::default(),
            shared,
        }
    }

    fn buckets(&self) -> i64 {
        (self.window / BUCKET_SECONDS).max(1)
    }

    /// Counts a try and tells whether it is one too many. Keys are compared without case.
    #[boxed]
    pub async fn is_limited(&self, key: &str) -> bool {
        let now = self.clock.seconds() / BUCKET_SECONDS;
        let key = key.to_lowercase();
        if let Some(shared) = &self.shared {
            let ttl = self.window + BUCKET_SECONDS;
            match shared.count(&key, now, self.buckets() + 1, ttl).await {
                Ok(total) => return total > self.limit,
                Err(error) => tracing::warn!(%error, "tries are counted by this server alone"),
            }
        }
        self.count_here(now, &key) > self.limit
    }

    fn count_here(&self, now: i64, key: &str) -> u64 {
        let mut tries = self.tries.lock();
        tries.retain(|bucket, _| *bucket >= now - self.buckets());
        *tries.entry(now).or_default().entry(key.to_owned()).or_default() += 1;
        tries.values().filter_map(|bucket| bucket.get(key)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_window_slides() {
        let clock = Clock::fixed(0);
        let limiter = RateLimiter::new(2, 180, clock.clone(), None);
        assert!(!limiter.is_limited("A@b").await);
        assert!(!limiter.is_limited("a@b").await);
        assert!(limiter.is_limited("a@b").await);
        assert!(!limiter.is_limited("other").await);
        clock.advance(180);
        assert!(limiter.is_limited("a@b").await);
        clock.advance(240);
        assert!(!limiter.is_limited("a@b").await);
    }
}
