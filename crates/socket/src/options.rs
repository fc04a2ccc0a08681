//! Settings of the socket server, with the reference's defaults. Reading them from the
//! environment is the application's business.

use std::time::Duration;

/// How much may wait for one connection that reads slowly before it is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Number of waiting packets.
    pub packets: usize,
    /// Bytes of waiting packets. One packet larger than this is still sent when nothing else waits.
    pub bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            packets: 8192,
            bytes: 16 * 1024 * 1024,
        }
    }
}

/// Settings of a [`crate::SocketServer`].
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// `ENABLE_WEBSOCKET_SUPPORT`: WebSocket only when set, long polling only otherwise.
    pub websocket: bool,
    /// `WEBSOCKET_SERVER_PING_INTERVAL`: pause between a pong and the next ping.
    pub ping_interval: Duration,
    /// `WEBSOCKET_SERVER_PING_TIMEOUT`: how long a pong may take.
    pub ping_timeout: Duration,
    /// Largest message accepted from a client, in bytes; announced as `maxPayload`.
    pub max_payload: usize,
    /// `CORS_ALLOW_ORIGIN`: origins that may connect; `*` admits every origin.
    pub allowed_origins: Vec<String>,
    /// `WEBSOCKET_HEARTBEAT_INTERVAL`: how often clients are told to send `heartbeat`.
    pub heartbeat_interval: Option<Duration>,
    /// What may wait for a slow reader.
    pub outbox: OutboxLimits,
    /// How often the token of every connected socket is checked again.
    pub revalidation_interval: Duration,
    /// How long a `usage` event counts, and how often stale ones are looked for.
    pub usage_lifetime: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            websocket: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 16 * 1024 * 1024,
            allowed_origins: vec!["*".to_owned()],
            heartbeat_interval: None,
            outbox: OutboxLimits::default(),
            revalidation_interval: Duration::from_secs(30),
            usage_lifetime: Duration::from_secs(3),
        }
    }
}

impl SocketOptions {
    /// How long a session counts without a heartbeat: four heartbeats, at least 120 s.
    pub fn session_lifetime(&self) -> Duration {
        let least = Duration::from_secs(120);
        self.heartbeat_interval
            .map_or(least, |interval| (interval * 4).max(least))
    }

    pub(crate) fn origin_allowed(&self, origin: &str) -> bool {
        self.allowed_origins
            .iter()
            .any(|allowed| allowed == "*" || allowed == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_live_for_four_heartbeats_but_never_less_than_two_minutes() {
        let lifetime = |seconds: Option<u64>| {
            SocketOptions {
                heartbeat_interval: seconds.map(Duration::from_secs),
                ..SocketOptions::default()
            }
            .session_lifetime()
            .as_secs()
        };
        assert_eq!(
            (lifetime(None), lifetime(Some(10)), lifetime(Some(45))),
            (120, 120, 180)
        );
    }

    #[test]
    fn origins() {
        let only = SocketOptions {
            allowed_origins: vec!["https://a".into()],
            ..SocketOptions::default()
        };
        assert!(SocketOptions::default().origin_allowed("https://anything"));
        assert!(only.origin_allowed("https://a"));
        assert!(!only.origin_allowed("https://b"));
    }
}
