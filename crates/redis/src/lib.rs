//! What several servers share through Redis: tries of rate limits and signed-out tokens, under the reference's keys, so
//! that it may run beside it; and messages between servers ([`bus`]). What is shared is decided elsewhere; without
//! `REDIS_URL` nothing here is used.

mod bus;

use std::time::Duration;

use async_trait::async_trait;
use oui_access::{SharedError, SharedState};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client};

pub use bus::{Bus, Message, RoomChange, SessionInfo};

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// Address with credentials.
    pub url: String,
    /// Begins every key.
    pub prefix: String,
    /// How long to wait for a connection.
    pub connect_timeout: Option<Duration>,
    /// How long to wait for an answer.
    pub timeout: Option<Duration>,
}

/// A connection that mends itself. Clones share it.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    prefix: String,
}

fn failed(error: redis::RedisError) -> SharedError {
    SharedError(error.to_string())
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// The address is none, or nobody answers there.
    pub async fn connect(options: RedisOptions) -> Result<Self, SharedError> {
        // Another crate of the process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(options.url).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.connect_timeout.unwrap_or(Duration::from_secs(5))))
            .set_response_timeout(Some(options.timeout.unwrap_or(Duration::from_secs(5))));
        let connection = client
            .get_connection_manager_with_config(config)
            .await
            .map_err(failed)?;
        Ok(Self {
            client,
            connection,
            prefix: options.prefix,
        })
    }

    fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }
}

#[async_trait]
impl SharedState for Redis {
    async fn count(&self, key: &str, bucket: i64, buckets: i64, ttl: i64) -> Result<u64, SharedError> {
        let name = |bucket: i64| self.key(&format!("ratelimit:{key}:{bucket}"));
        let mut connection = self.connection.clone();
        let tries: i64 = connection.incr(name(bucket), 1).await.map_err(failed)?;
        if tries == 1 {
            let _: bool = connection.expire(name(bucket), ttl).await.map_err(failed)?;
        }
        let names: Vec<String> = (0..buckets).map(|back| name(bucket - back)).collect();
        let counts: Vec<Option<u64>> = connection.mget(names).await.map_err(failed)?;
        Ok(counts.into_iter().flatten().sum())
    }

    async fn is_revoked(
        &self,
        token_id: Option<&str>,
        user_id: &str,
        issued_at: Option<i64>,
    ) -> Result<bool, SharedError> {
        let user = self.key(&format!("auth:user:{user_id}:revoked_at"));
        let token = self.key(&format!("auth:token:{}:revoked", token_id.unwrap_or_default()));
        let mut connection = self.connection.clone();
        let found: Vec<Option<String>> = connection.mget(vec![token, user]).await.map_err(failed)?;
        let value = |at: usize| found.get(at).cloned().flatten().filter(|text| !text.is_empty());
        if token_id.is_some() && value(0).is_some() {
            return Ok(true);
        }
        let since = value(1).and_then(|text| text.parse::<i64>().ok());
        // Who does not say when it was made can not show that it is newer.
        Ok(since.is_some_and(|since| issued_at.is_none_or(|at| at <= since)))
    }

    async fn revoke(&self, token_id: &str, ttl: i64) -> Result<(), SharedError> {
        let key = self.key(&format!("auth:token:{token_id}:revoked"));
        let seconds = u64::try_from(ttl).unwrap_or(1).max(1);
        self.connection
            .clone()
            .set_ex(key, "1", seconds)
            .await
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection with keys of its own; `None` without a Redis for tests.
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the test run, not of the server"
    )]
    pub(crate) async fn redis(name: &str) -> Option<Redis> {
        let Ok(url) = std::env::var("OUI_TEST_REDIS_URL") else {
            eprintln!("left out: no OUI_TEST_REDIS_URL");
            return None;
        };
        let options = RedisOptions {
            url,
            prefix: format!("oui-test-{name}-{}", oui_core::ids::uuid()),
            connect_timeout: None,
            timeout: None,
        };
        Some(Redis::connect(options).await.unwrap())
    }

    #[tokio::test]
    async fn tries_are_counted_over_the_buckets() {
        let Some(redis) = redis("count").await else { return };
        assert_eq!(redis.count("a", 10, 4, 60).await.unwrap(), 1);
        assert_eq!(redis.clone().count("a", 12, 4, 60).await.unwrap(), 2);
        assert_eq!(redis.count("a", 14, 4, 60).await.unwrap(), 2);
        assert_eq!(redis.count("b", 14, 4, 60).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn signed_out_tokens_are_known() {
        let Some(redis) = redis("revoke").await else {
            return;
        };
        assert!(!redis.is_revoked(Some("t"), "u", Some(5)).await.unwrap());
        redis.revoke("t", 60).await.unwrap();
        assert!(redis.is_revoked(Some("t"), "u", Some(5)).await.unwrap());
        assert!(!redis.is_revoked(Some("other"), "u", Some(5)).await.unwrap());
        let key = redis.key("auth:user:u:revoked_at");
        let () = redis.connection.clone().set_ex(key, "7", 60).await.unwrap();
        assert!(redis.is_revoked(Some("other"), "u", Some(7)).await.unwrap());
        assert!(redis.is_revoked(None, "u", None).await.unwrap());
        assert!(!redis.is_revoked(Some("other"), "u", Some(8)).await.unwrap());
    }
}
