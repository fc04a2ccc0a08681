//! Calls to addresses that users give: webhooks, pages, pictures. A name that leads to a private network is refused,
//! both when the address is given and when the connection is made, so that a name server can not change its mind
//! in between.

use oui_core::boxed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::tls::{self, TlsVerify};

/// Hosts that are never fetched: where clouds keep the credentials of their machines.
const BLOCKED: &[&str] = &[
    "!169.254.169.254",
    "!fd00:ec2::254",
    "!metadata.google.internal",
    "!metadata.azure.com",
    "!100.100.100.200",
];
/// How long a guarded call may take.
const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 5;

/// The address is none that may be fetched.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("The URL you provided is invalid. Please double-check and try again.")]
pub struct Refused;

/// What may be fetched.
#[derive(Debug, Clone, Default)]
pub struct GuardOptions {
    /// Private addresses may (`ENABLE_LOCAL_WEB_FETCH`).
    pub private: bool,
    /// Hosts that may, or with a leading `!` may not (`WEB_FETCH_FILTER_LIST`).
    pub filter: Vec<String>,
    /// Redirects are followed.
    pub redirects: bool,
    /// Trust.
    pub tls: TlsVerify,
}

/// The rules.
#[derive(Debug)]
struct Rules {
    private: bool,
    filter: Vec<String>,
}

/// A client for addresses that users give. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Guarded {
    client: Client,
    rules: Arc<Rules>,
}

impl Guarded {
    /// A client under these rules.
    ///
    /// # Errors
    /// A text that says what is wrong with the certificates.
    pub fn new(options: GuardOptions) -> Result<Self, String> {
        let mut filter = options.filter;
        filter.extend(BLOCKED.iter().map(|host| (*host).to_owned()));
        let rules = Arc::new(Rules {
            private: options.private,
            filter,
        });
        let (resolver, judge) = (Arc::new(Resolver(rules.clone())), rules.clone());
        let redirects = options.redirects;
        let client = tls::build(&options.tls, move || {
            let judge = judge.clone();
            let policy = if redirects {
                Policy::custom(move |attempt| {
                    if attempt.previous().len() > MAX_REDIRECTS || !judge.may_ask(attempt.url()) {
                        attempt.error(Refused)
                    } else {
                        attempt.follow()
                    }
                })
            } else {
                Policy::none()
            };
            Client::builder()
                .timeout(TIMEOUT)
                .redirect(policy)
                .dns_resolver(resolver.clone())
                // A proxy would look the name up itself.
                .no_proxy()
        })?;
        Ok(Self { client, rules })
    }

    /// The client; addresses are checked again when it connects.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The address, if it may be fetched.
    ///
    /// # Errors
    /// It is no web address, is blocked, or leads to a private network.
    #[boxed]
    pub async fn check(&self, text: &str) -> Result<Url, Refused> {
        if text.contains(['\\', '\t', '\n', '\r', ' ']) {
            return Err(Refused);
        }
        let url = Url::parse(text).map_err(|_| Refused)?;
        if !self.rules.may_ask(&url) {
            return Err(Refused);
        }
        let host = url.host_str().ok_or(Refused)?;
        if literal(host).is_some() {
            return Ok(url);
        }
        let port = url.port_or_known_default().ok_or(Refused)?;
        let found = tokio::net::lookup_host((host, port)).await;
        let may = match found.map(Iterator::collect::<Vec<_>>) {
            Ok(found) => self.rules.allow_all(&found),
            // With private fetching on, names may be known to the network only.
            Err(_) => self.rules.private,
        };
        if may { Ok(url) } else { Err(Refused) }
    }
}

/// Host of a URL as an address, brackets taken off.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl Rules {
    /// Whether the address may be asked, as far as it can be told without a name server.
    fn may_ask(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        if !matches!(url.scheme(), "http" | "https") {
            return false;
        }
        match literal(host) {
            Some(address) => self.allows_host(host) && self.allows(address),
            None => (self.private || host.contains('.')) && self.allows_host(host),
        }
    }

    fn allows_host(&self, host: &str) -> bool {
        let is = |entry: &str| {
            let entry = entry.trim().to_lowercase();
            host == entry
                || host
                    .strip_suffix(entry.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        let blocked = self.filter.iter().filter_map(|entry| entry.strip_prefix('!'));
        let mut allowed = self
            .filter
            .iter()
            .filter(|entry| !entry.starts_with('!'))
            .peekable();
        !blocked.into_iter().any(is) && (allowed.peek().is_none() || allowed.any(|entry| is(entry)))
    }

    fn allows(&self, address: IpAddr) -> bool {
        let blocked = self.filter.iter().filter_map(|entry| entry.strip_prefix('!'));
        let mut blocked = blocked.filter_map(|entry| entry.trim().parse::<IpAddr>().ok());
        let spellings = spellings(address);
        let is_blocked = blocked.any(|entry| spellings.contains(&entry));
        !is_blocked && (self.private || spellings.iter().all(|address| is_public(*address)))
    }

    fn allow_all(&self, found: &[SocketAddr]) -> bool {
        !found.is_empty() && found.iter().all(|address| self.allows(address.ip()))
    }
}

/// Looks names up and keeps to the rules.
struct Resolver(Arc<Rules>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !rules.allow_all(&found) {
                return Err(Refused.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The address and the IPv4 addresses that it carries inside.
fn spellings(address: IpAddr) -> Vec<IpAddr> {
    let mut all = vec![address];
    if let IpAddr::V6(v6) = address {
        let b = v6.octets();
        let v4 = |at: usize| IpAddr::from(Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]));
        let mapped = b[..10] == [0; 10] && b[10..12] == [0xff, 0xff];
        let compatible = b[..12] == [0; 12] && !v6.is_loopback() && !v6.is_unspecified();
        let nat64 = b[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
        if mapped || compatible || nat64 {
            all.push(v4(12));
        }
        if b[..2] == [0x20, 0x02] {
            all.push(v4(2));
        }
        if b[..4] == [0x20, 0x01, 0, 0] {
            all.push(v4(4));
            all.push(IpAddr::from(Ipv4Addr::new(!b[12], !b[13], !b[14], !b[15])));
        }
    }
    // The mapped form itself is judged by what it carries.
    if all.len() > 1 {
        all.retain(|address| !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()));
    }
    all
}

/// Whether an address is of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let reserved = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !(reserved
        || v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast())
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    let documentation = v6.segments()[..2] == [0x2001, 0xdb8];
    !(v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || documentation
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(private: bool, filter: &[&str]) -> Guarded {
        let filter = filter.iter().map(|entry| (*entry).to_owned()).collect();
        Guarded::new(GuardOptions {
            private,
            filter,
            ..GuardOptions::default()
        })
        .unwrap()
    }

    #[tokio::test]
    async fn private_addresses_are_refused_in_every_spelling() {
        let guard = guarded(false, &[]);
        for bad in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://10.1.2.3/x",
            "http://[::1]/",
            "http://[::ffff:192.168.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://169.254.169.254/latest",
            "http://localhost/",
            "ftp://93.184.216.34/",
            "http://93.184.216.34\\@127.0.0.1/",
            "nonsense",
        ] {
            assert_eq!(guard.check(bad).await, Err(Refused), "{bad}");
        }
        assert!(guard.check("https://93.184.216.34/hook").await.is_ok());
        assert!(guard.check("https://[2606:2800:220:1::1]/").await.is_ok());
    }

    #[tokio::test]
    async fn filters_hold_where_private_addresses_are_allowed() {
        let guard = guarded(true, &["!10.0.0.1"]);
        assert!(guard.check("http://127.0.0.1:9/").await.is_ok());
        assert_eq!(guard.check("http://10.0.0.1/").await, Err(Refused));
        assert_eq!(guard.check("http://169.254.169.254/").await, Err(Refused));
        let only = guarded(true, &["example.org"]);
        assert_eq!(only.check("http://127.0.0.1/").await, Err(Refused));
        assert!(only.rules.allows_host("www.example.org") && !only.rules.allows_host("badexample.org"));
    }

    #[tokio::test]
    async fn a_private_name_is_refused_when_connecting_too() {
        let error = guarded(false, &[])
            .client()
            .get("http://localhost:9/")
            .send()
            .await
            .unwrap_err();
        assert!(format!("{error:?}").contains("Refused"), "{error:?}");
    }
}
