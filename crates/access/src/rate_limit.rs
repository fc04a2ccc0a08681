//! A sliding-window limit on tries, kept in memory in buckets as the reference does.

use std::collections::HashMap;

use oui_core::Clock;
use parking_lot::Mutex;

/// Seconds in one bucket.
const BUCKET_SECONDS: i64 = 60;

/// Allows `limit` tries per key in a window of `window` seconds.
pub struct RateLimiter {
    limit: u32,
    buckets: i64,
    clock: Clock,
    tries: Mutex<HashMap<i64, HashMap<String, u32>>>,
}

impl RateLimiter {
    /// A limiter with no tries so far.
    pub fn new(limit: u32, window: i64, clock: Clock) -> Self {
        Self {
            limit,
            buckets: (window / BUCKET_SECONDS).max(1),
            clock,
            tries: Mutex::default(),
        }
    }

    /// Counts a try and tells whether it is one too many. Keys are compared without case.
    pub fn is_limited(&self, key: &str) -> bool {
        let now = self.clock.seconds() / BUCKET_SECONDS;
        let key = key.to_lowercase();
        let mut tries = self.tries.lock();
        tries.retain(|bucket, _| *bucket > now - self.buckets);
        *tries.entry(now).or_default().entry(key.clone()).or_default() += 1;
        let total: u32 = tries.values().filter_map(|bucket| bucket.get(&key)).sum();
        total > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let clock = Clock::fixed(0);
        let limiter = RateLimiter::new(2, 180, clock.clone());
        assert!(!limiter.is_limited("A@b"));
        assert!(!limiter.is_limited("a@b"));
        assert!(limiter.is_limited("a@b"));
        assert!(!limiter.is_limited("other"));
        clock.advance(180);
        assert!(!limiter.is_limited("a@b"));
    }
}
