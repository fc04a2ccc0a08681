//! Which addresses may be fetched for a user: no private networks, no services of the cloud's own, nothing that the
//! operator forbids. Lists hold hosts, addresses and networks; an entry with `!` forbids, the others are the only ones
//! allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oui_config::Settings;
use oui_loaders::LoadError;
use reqwest::Url;

use crate::INVALID_URL;

/// Forbidden everywhere: services that clouds offer to their machines, and networks without hosts of the internet.
const FORBIDDEN: &[&str] = &[
    "!169.254.169.254",
    "!fd00:ec2::254",
    "!metadata.google.internal",
    "!metadata.azure.com",
    "!100.100.100.200",
    "!168.63.129.16",
    "!192.88.99.0/24",
    "!224.0.0.0/4",
    "!::ffff:0:0:0/96",
    "!64:ff9b:1::/48",
    "!100:0:0:1::/64",
    "!2001:1::1",
    "!2001:1::2",
    "!2001:20::/28",
    "!2001:30::/28",
    "!5f00::/16",
    "!fec0::/10",
    "!ff00::/8",
];

/// Networks that are not part of the internet, by the registries of special addresses.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::/127",
    "::ffff:0:0/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "fc00::/7",
    "fe80::/10",
];

/// Networks within these that are.
const GLOBAL: &[&str] = &[
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
];

/// Whether `ip` is in the network or is the address that the text names; none when the text names neither.
fn in_network(ip: IpAddr, network: &str) -> Option<bool> {
    let (base, length) = match network.split_once('/') {
        Some((base, length)) => (base, Some(length.parse::<u32>().ok()?)),
        None => (network, None),
    };
    let (ip, base, width) = match (ip, base.parse::<IpAddr>().ok()?) {
        (IpAddr::V4(ip), IpAddr::V4(base)) => (u128::from(u32::from(ip)), u128::from(u32::from(base)), 32),
        (IpAddr::V6(ip), IpAddr::V6(base)) => (u128::from(ip), u128::from(base), 128),
        _ => return Some(false),
    };
    let length = length.unwrap_or(width).min(width);
    let shift = width - length;
    Some(shift == 128 || ip >> shift == base >> shift)
}

/// IPv4 addresses inside an IPv6 address: all the ways in which one is carried in the other.
fn embedded(ip: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(ip) = ip else {
        return Vec::new();
    };
    let b = ip.octets();
    let four = |a: u8, b: u8, c: u8, d: u8| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let mut found = Vec::new();
    let last = four(b[12], b[13], b[14], b[15]);
    let mapped = ip.to_ipv4_mapped().is_some();
    let compatible = b[..12].iter().all(|byte| *byte == 0);
    let translated = b[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    if mapped || compatible || translated {
        found.push(last);
    } else if b[..6] == [0, 0x64, 0xff, 0x9b, 0, 1] {
        found.push(four(b[6], b[7], b[9], b[10]));
    }
    if b[..2] == [0x20, 0x02] {
        found.push(four(b[2], b[3], b[4], b[5]));
    }
    if b[..4] == [0x20, 0x01, 0, 0] {
        // The client's address is stored inverted.
        found.push(four(b[4], b[5], b[6], b[7]));
        found.push(four(!b[12], !b[13], !b[14], !b[15]));
    }
    found
}

fn is_global(ip: IpAddr) -> bool {
    let within = |list: &[&str]| list.iter().any(|network| in_network(ip, network) == Some(true));
    !within(SPECIAL) || within(GLOBAL)
}

/// An entry without what people put around it.
fn clean(entry: &str) -> String {
    entry.trim().trim_end_matches('.').to_lowercase()
}

/// Whether the host is the entry, below it, or within its network.
fn matches(host: &str, entry: &str) -> bool {
    let (host, entry) = (clean(host), clean(entry));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || entry.is_empty() {
        return false;
    }
    let probe = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if in_network(probe, &entry).is_some() {
        return host.parse().is_ok_and(|ip| in_network(ip, &entry) == Some(true));
    }
    host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether a list lets a host through.
pub fn is_host_allowed(host: &str, list: &[String]) -> bool {
    let (forbidden, allowed): (Vec<&str>, Vec<&str>) = list
        .iter()
        .map(|entry| entry.trim())
        .filter(|entry| !entry.is_empty())
        .partition(|entry| entry.starts_with('!'));
    let allows = allowed.is_empty() || allowed.iter().any(|entry| matches(host, entry));
    allows && !forbidden.iter().any(|entry| matches(host, &entry[1..]))
}

/// Which addresses may be fetched for users.
#[derive(Debug, Clone)]
pub struct AddressRules {
    private: bool,
    list: Vec<String>,
}

impl AddressRules {
    /// As set by the operator.
    pub fn of(settings: &Settings) -> Self {
        Self::new(
            settings.upstream.private_web_fetch,
            &settings.upstream.web_fetch_filter,
        )
    }

    /// Rules with private networks open or not, and a list of the operator's.
    pub fn new(private: bool, list: &[String]) -> Self {
        let list = FORBIDDEN
            .iter()
            .map(|entry| (*entry).to_owned())
            .chain(list.iter().cloned());
        Self {
            private,
            list: list.collect(),
        }
    }

    /// Whether a connection to this address may be opened. An allowed host does not allow all it resolves to.
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        let mut all = embedded(ip);
        all.push(ip);
        all.into_iter().all(|ip| {
            let text = ip.to_string();
            let forbidden = self
                .list
                .iter()
                .filter_map(|entry| entry.trim().strip_prefix('!'))
                .any(|entry| matches(&text, entry));
            !forbidden && (self.private || is_global(ip))
        })
    }

    /// The address, if it is one of the web that may be asked. What its host resolves to is checked when connecting.
    ///
    /// # Errors
    /// [`INVALID_URL`] whatever is wrong, so that nothing is learned about the network.
    pub fn check(&self, address: &str) -> Result<Url, LoadError> {
        let invalid = || LoadError::new(INVALID_URL);
        // Programs disagree about what these mean.
        if address.contains(['\\', '\t', '\n', '\r']) {
            return Err(invalid());
        }
        let url = Url::parse(address).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid());
        }
        let host = url.host_str().ok_or_else(invalid)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse::<IpAddr>().ok();
        let dotted = ip.is_some() || bare.contains('.') || self.private;
        if !dotted || !is_host_allowed(bare, &self.list) || ip.is_some_and(|ip| !self.allows_ip(ip)) {
            tracing::warn!(%host, "an address was asked for that may not be fetched");
            return Err(invalid());
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[&str]) -> AddressRules {
        let list: Vec<String> = list.iter().map(|entry| (*entry).to_owned()).collect();
        AddressRules::new(false, &list)
    }

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for address in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://169.254.169.254/latest",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://localhost/",
            "http://metadata.google.internal/",
            "http://0.0.0.0/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://127.0.0.1\\@example.com/",
            "nonsense",
        ] {
            assert!(rules(&[]).check(address).is_err(), "{address}");
        }
        assert!(rules(&[]).check("https://example.com/a?b=c").is_ok());
        assert!(rules(&[]).check("http://93.184.216.34/").is_ok());
        assert!(
            AddressRules::new(true, &[])
                .check("http://localhost:8080/")
                .is_ok()
        );
        assert!(
            AddressRules::new(true, &[])
                .check("http://169.254.169.254/")
                .is_err()
        );
    }

    #[test]
    fn lists_allow_and_forbid() {
        let some = rules(&["example.com", "!secret.example.com"]);
        assert!(some.check("https://www.example.com/").is_ok());
        assert!(some.check("https://secret.example.com/").is_err());
        assert!(some.check("https://evilexample.com/").is_err());
        assert!(rules(&["!93.184.0.0/16"]).check("http://93.184.216.34/").is_err());
        // A name that is allowed does not allow every address it points to.
        assert!(!some.allows_ip("10.0.0.1".parse().unwrap()));
        assert!(some.allows_ip("93.184.216.34".parse().unwrap()));
        assert!(!rules(&[]).allows_ip("2001:0:ac10:1::1".parse().unwrap()));
        assert!(rules(&[]).allows_ip("2606:4700::1111".parse().unwrap()));
    }
}
