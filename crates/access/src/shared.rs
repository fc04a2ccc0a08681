//! What several servers have to know together: tries of rate limits, and tokens that were signed out before their
//! end. One server alone remembers tries itself and lets tokens run out, as the reference does.

use async_trait::async_trait;

/// The memory that servers share. Failures are reported, so that callers can go on without it.
#[async_trait]
pub trait SharedState: Send + Sync {
    /// Counts a try of `key` in the bucket with this number, and answers the tries in the last `buckets` of them,
    /// this one included. A bucket is forgotten after `ttl` seconds.
    async fn count(&self, key: &str, bucket: i64, buckets: i64, ttl: i64) -> Result<u64, SharedError>;

    /// Whether the token with this id, made at `issued_at` (seconds) for a user, was signed out.
    async fn is_revoked(
        &self,
        token_id: Option<&str>,
        user_id: &str,
        issued_at: Option<i64>,
    ) -> Result<bool, SharedError>;

    /// Signs a token out; it is remembered for `ttl` seconds.
    async fn revoke(&self, token_id: &str, ttl: i64) -> Result<(), SharedError>;
}

/// The shared memory did not answer.
#[derive(Debug, thiserror::Error)]
#[error("shared state: {0}")]
pub struct SharedError(pub String);
