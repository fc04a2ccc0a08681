//! Where a request came from. Proxies in front of the server say it in a header, which is believed only from those
//! that the operator trusts.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap};

/// Address of the client as text. `trusted` are the proxies whose `X-Forwarded-For` counts; `*` is all.
pub fn client_ip(headers: &HeaderMap, extensions: &Extensions, trusted: &[String]) -> Option<String> {
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip().to_string());
    let trusts = |address: &str| trusted.iter().any(|entry| entry.trim() == address);
    let all = trusts("*");
    if !all && !peer.as_deref().is_some_and(trusts) {
        return peer;
    }
    let forwarded = headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|hop| !hop.is_empty())
        .collect();
    let client = if all {
        hops.first().copied()
    } else {
        // The last hop that is no trusted proxy; what stands before it could be made up.
        hops.iter()
            .rev()
            .find(|hop| !trusts(hop))
            .or(hops.first())
            .copied()
    };
    client.map(str::to_owned).or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(forwarded: &str, trusted: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 9))));
        let trusted: Vec<String> = trusted.iter().map(|entry| (*entry).to_owned()).collect();
        client_ip(&headers, &extensions, &trusted)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(ip("1.1.1.1, 2.2.2.2", &["*"]).as_deref(), Some("1.1.1.1"));
        assert_eq!(ip("1.1.1.1, 2.2.2.2", &["10.0.0.1"]).as_deref(), Some("2.2.2.2"));
        assert_eq!(ip("1.1.1.1, 2.2.2.2", &["10.0.0.9"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(ip("", &["*"]).as_deref(), Some("10.0.0.1"));
    }
}
