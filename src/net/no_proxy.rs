//! `NO_PROXY`: the hosts that are reached without the proxy.
//!
//! There is no standard for it. Every spelling that curl, Go, Python or Java accepts is accepted here with its one
//! sensible meaning.

use std::net::IpAddr;

use url::{Host, Url};

/// The entries of a `NO_PROXY`.
#[derive(Debug, Clone)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    hosts: Hosts,
    /// The only port for which the entry holds, if one is named.
    port: Option<u16>,
}

#[derive(Debug, Clone)]
enum Hosts {
    All,
    /// A network: the addresses that share this many leading bits with this one.
    Network(IpAddr, u8),
    /// A domain name, with all names below it, in lower case.
    Domain(String),
}

impl NoProxy {
    /// Parses a list whose entries are separated by commas, semicolons, bars or blanks. An entry is `*`, an address, a
    /// network such as `10.0.0.0/8`, or a name, which may begin with `.` or `*.`; a port may follow.
    pub(super) fn read(list: &str) -> Self {
        let entries = list.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|'));
        Self(entries.filter_map(Entry::read).collect())
    }

    /// Whether this address is reached without the proxy.
    pub(super) fn names(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let port = url.port_or_known_default();
        let is_of = |entry: &Entry| entry.port.is_none() || entry.port == port;
        let mut entries = self.0.iter().filter(|entry| is_of(entry));
        entries.any(|entry| entry.hosts.contain(&host))
    }
}

impl Entry {
    fn read(text: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::read(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            hosts: Hosts::read(host)?,
            port: Some(port.parse().ok()?),
        })
    }
}

impl Hosts {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(address).parse::<IpAddr>() {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self::Network(address, bits.unwrap_or(whole).min(whole)));
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        let name = name.trim_matches('.').to_ascii_lowercase();
        let is_name = !name.is_empty() && !name.contains([':', '/', '*', '[', ']']);
        is_name.then_some(Self::Domain(name))
    }

    fn contain(&self, host: &Host<&str>) -> bool {
        let address: Option<IpAddr> = match host {
            Host::Ipv4(address) => Some((*address).into()),
            Host::Ipv6(address) => Some((*address).into()),
            Host::Domain(_) => None,
        };
        match (self, host, address) {
            (Self::All, _, _) => true,
            (Self::Network(network, bits), _, Some(address)) => is_within(address, *network, *bits),
            (Self::Domain(name), Host::Domain(host), _) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Network(..) | Self::Domain(_), _, _) => false,
        }
    }
}

/// Whether an address is in a network. An IPv4 address that is written as an IPv6 address is treated as the IPv4
/// address.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros()
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros()
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differing >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_no_proxy_is_read() {
        for (list, direct, proxied) in [
            (
                "*",
                &[
                    "https://a.example",
                    "https://10.0.0.1",
                    "https://[::1]:8443",
                ][..],
                &[][..],
            ),
            (
                "sdp.suki.ai",
                &["https://sdp.suki.ai", "https://x.sdp.suki.ai"],
                &["https://suki.ai", "https://notsdp.suki.ai"],
            ),
            (
                ".Hospital.test",
                &["https://ehr.hospital.TEST", "https://hospital.test"],
                &["https://myhospital.test"],
            ),
            (
                "*.hospital.test",
                &["https://ehr.hospital.test"],
                &["https://myhospital.test"],
            ),
            (
                "hospital.test.",
                &["https://ehr.hospital.test", "https://ehr.hospital.test."],
                &["https://test"],
            ),
            (
                "ehr.test:8443",
                &["https://ehr.test:8443"],
                &["https://ehr.test", "https://ehr.test:9443"],
            ),
            (
                "ehr.test:443",
                &["https://ehr.test"],
                &["https://ehr.test:8443"],
            ),
            (
                " a.test,b.test  c.test;d.test|e.test,, ",
                &[
                    "https://a.test",
                    "https://b.test",
                    "https://c.test",
                    "https://d.test",
                    "https://e.test",
                ],
                &["https://f.test"],
            ),
            (
                "10.1.2.3",
                &["https://10.1.2.3"],
                &["https://10.1.2.4", "https://10.1.2.3.test"],
            ),
            (
                "10.1.2.3:8443",
                &["https://10.1.2.3:8443"],
                &["https://10.1.2.3"],
            ),
            (
                "10.1.2.3/8",
                &["https://10.200.0.1"],
                &["https://11.0.0.1", "https://[::1]"],
            ),
            ("0.0.0.0/0", &["https://8.8.8.8"], &["https://a.test"]),
            (
                "::1,[fd00::2]:8443,fd00:1::/32",
                &[
                    "https://[::1]",
                    "https://[fd00::2]:8443",
                    "https://[fd00:1:2::3]",
                ],
                &["https://[fd00::2]", "https://[fd00:2::1]"],
            ),
            ("", &[], &["https://a.test", "https://127.0.0.1"]),
            (
                "https://a.test,a.test/path,:443,10.0.0.0/x",
                &[],
                &["https://a.test", "https://10.0.0.1"],
            ),
        ] {
            let no_proxy = NoProxy::read(list);
            let names = |url: &str| no_proxy.names(&Url::parse(url).expect(url));
            direct
                .iter()
                .for_each(|url| assert!(names(url), "{list}: {url}"));
            proxied
                .iter()
                .for_each(|url| assert!(!names(url), "{list}: {url}"));
        }
    }
}
