//! The one source of time. Everything that stores or compares times asks a [`Clock`], so that
//! tests can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock, cheap to clone. `Clock::system()` in production, `Clock::fixed()` in tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Nanoseconds since the epoch when held still.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `seconds` until [`Clock::advance`] is called.
    pub fn fixed(seconds: i64) -> Self {
        Self {
            fixed: Some(Arc::new(AtomicI64::new(seconds * 1_000_000_000))),
        }
    }

    /// Moves a fixed clock on; the system clock ignores it.
    pub fn advance(&self, seconds: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
        }
    }

    /// Nanoseconds since the epoch (channels, notes, calendars).
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is sent to"
    )]
    pub fn nanos(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)),
        }
    }

    /// Milliseconds since the epoch (`timestamp` of a chat document).
    pub fn millis(&self) -> i64 {
        self.nanos() / 1_000_000
    }

    /// Seconds since the epoch (most tables).
    pub fn seconds(&self) -> i64 {
        self.nanos() / 1_000_000_000
    }

    /// Seconds with fraction.
    pub fn seconds_f64(&self) -> f64 {
        self.nanos() as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = Clock::fixed(100);
        assert_eq!((clock.seconds(), clock.millis()), (100, 100_000));
        clock.clone().advance(5);
        assert_eq!(clock.seconds(), 105);
    }
}
