//! Redis and Socket.IO: what several processes share and how clients stay connected.

use std::time::Duration;

use super::spec::{
    Spec, flag, int, optional_fraction, optional_seconds, optional_secret, seconds, settings, text,
};
use crate::python;
use crate::secret::Secret;

settings! {
    "Redis";
    /// Redis for tasks, revoked sessions, caches and rate limits. No address means a single process without
    /// Redis.
    pub struct Redis {
        /// Address of Redis.
        REDIS_URL => pub url: Option<Secret> = optional_secret();
        /// Redis is a cluster.
        REDIS_CLUSTER => pub cluster: bool = flag("false");
        /// Begins the name of every Redis key.
        REDIS_KEY_PREFIX => pub key_prefix: String = text("open-webui");
        /// Seconds an unfinished answer is kept.
        REDIS_RESPONSE_STREAM_TTL => pub response_ttl: Duration = seconds("3600");
        /// Seconds a task lives without a sign of life, at least 60; 0 keeps it.
        REDIS_TASK_TTL => pub task_ttl: Option<Duration> =
            Spec::new("0 or at least 60 seconds", "300", task_ttl);
        /// Sentinel hosts, separated by commas.
        REDIS_SENTINEL_HOSTS => pub sentinel_hosts: Vec<String> = super::spec::list("");
        /// Port of the sentinels.
        REDIS_SENTINEL_PORT => pub sentinel_port: u16 = int("26379");
        /// Attempts after a sentinel has switched.
        REDIS_SENTINEL_MAX_RETRY_COUNT => pub sentinel_retries: u32 =
            Spec::new("a whole number above zero", "2", above_zero);
        /// Seconds to wait for a connection; empty leaves it to the client.
        REDIS_SOCKET_CONNECT_TIMEOUT => pub connect_timeout: Option<Duration> = optional_fraction("");
        /// Seconds to wait for an answer; empty leaves it to the client.
        REDIS_SOCKET_TIMEOUT => pub timeout: Option<Duration> = optional_fraction("");
        /// Keeps idle connections alive.
        REDIS_SOCKET_KEEPALIVE => pub keepalive: bool = flag("false");
        /// Seconds after which an idle connection is tested; empty tests none.
        REDIS_HEALTH_CHECK_INTERVAL => pub health_check: Option<Duration> = optional_seconds("");
        /// Seconds between two attempts to connect; empty leaves it to the client.
        REDIS_RECONNECT_DELAY => pub reconnect_delay: Option<Duration> = optional_fraction("");
    }
}

settings! {
    "Socket.IO";
    /// The connection that clients keep open.
    pub struct Websocket {
        /// Clients use WebSocket; off makes them poll.
        ENABLE_WEBSOCKET_SUPPORT => pub enabled: bool = flag("true");
        /// `redis` shares rooms between several processes; empty is for a single one.
        WEBSOCKET_MANAGER => pub manager: String = text("");
        /// Address of Redis for Socket.IO.
        WEBSOCKET_REDIS_URL => pub redis_url: Option<Secret> = optional_secret().or(&["REDIS_URL"]);
        /// This Redis is a cluster.
        WEBSOCKET_REDIS_CLUSTER => pub redis_cluster: bool = flag("false").or(&["REDIS_CLUSTER"]);
        /// More options of the Redis client, as a JSON object.
        WEBSOCKET_REDIS_OPTIONS => pub redis_options: serde_json::Value = super::spec::object();
        /// One Redis channel per room instead of one for all; the same in all processes.
        WEBSOCKET_REDIS_ROOM_CHANNELS => pub room_channels: bool = flag("true");
        /// Seconds a lock in Redis is held.
        WEBSOCKET_REDIS_LOCK_TIMEOUT => pub lock_timeout: Duration = seconds("60");
        /// Sentinel hosts for Socket.IO, separated by commas.
        WEBSOCKET_SENTINEL_HOSTS => pub sentinel_hosts: Vec<String> = super::spec::list("");
        /// Port of these sentinels.
        WEBSOCKET_SENTINEL_PORT => pub sentinel_port: u16 = int("26379");
        /// Seconds between two pings to a client.
        WEBSOCKET_SERVER_PING_INTERVAL => pub ping_interval: Duration = seconds("25");
        /// Seconds to wait for the answer to a ping.
        WEBSOCKET_SERVER_PING_TIMEOUT => pub ping_timeout: Duration = seconds("20");
        /// Seconds between two signs of life of a client, 5 to 90; empty leaves it to the client.
        WEBSOCKET_HEARTBEAT_INTERVAL => pub heartbeat: Option<u64> =
            Spec::new("a number of seconds", "", heartbeat).wrong_is("30");
        /// Seconds to wait for a client's answer to a question of the server; empty waits without limit.
        WEBSOCKET_EVENT_CALLER_TIMEOUT => pub call_timeout: Option<Duration> =
            optional_seconds("").wrong_is("300");
    }
}

impl Websocket {
    /// Whether rooms are shared through Redis.
    pub fn uses_redis(&self) -> bool {
        self.manager == "redis"
    }
}

/// Zero is none; below a minute a task could end between two signs of life.
fn task_ttl(text: &str) -> Option<Option<Duration>> {
    match python::int(text)? {
        0 => Some(None),
        seconds => u64::try_from(seconds)
            .ok()
            .filter(|n| *n >= 60)
            .map(|n| Some(Duration::from_secs(n))),
    }
}

fn above_zero(text: &str) -> Option<u32> {
    python::int(text)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
}

fn heartbeat(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    python::int(text).map(|seconds| u64::try_from(seconds.clamp(5, 90)).ok())
}
