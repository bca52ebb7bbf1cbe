//! Checks of well-formed values that several sections share.

use std::collections::HashSet;
use std::time::Duration;

use url::{Host, Url};

use crate::config::reader::setting::ByteSize;

/// Checks a limit of concurrent things.
pub(super) fn count(count: &usize) -> Result<(), String> {
    /// A higher value is a mistake, and the code that counts with it has limits of its own.
    const MOST: usize = 1_000_000;
    ensure((1..=MOST).contains(count), || {
        format!("{count} is out of range; use 1 to {MOST}")
    })
}

/// Checks that a size limit is not zero.
pub(super) fn size(size: &ByteSize) -> Result<(), String> {
    ensure(size.0 > 0, || "must be more than 0 bytes".to_owned())
}

/// Checks that a time limit or an interval is not zero.
pub(super) fn not_zero(duration: &Duration) -> Result<(), String> {
    ensure(!duration.is_zero(), || "must be longer than 0s".to_owned())
}

/// Checks that a text is not empty.
pub(super) fn not_empty(text: &str) -> Result<(), String> {
    ensure(!text.is_empty(), || "must not be empty".to_owned())
}

/// Checks that host names have the form in which they are compared: lower case, no scheme, no port.
pub(super) fn host_names(hosts: &[String]) -> Result<(), String> {
    let is_host = |host: &str| match Host::parse(host) {
        Ok(parsed) => parsed.to_string() == host && !host.contains('*'),
        Err(_) => false,
    };
    match hosts.iter().find(|host| !is_host(host)) {
        Some(host) => Err(format!(
            "invalid host name '{host}'; expected a name in lower case without scheme, port or *, such as files.example.com"
        )),
        None => Ok(()),
    }
}

/// Checks an address for HTTP calls. It must not contain credentials, which would appear in logs and in the effective
/// configuration.
pub(super) fn http_url(url: &Url) -> Result<(), String> {
    ensure(matches!(url.scheme(), "http" | "https"), || {
        format!("unknown scheme '{}:'; expected http or https", url.scheme())
    })?;
    ensure(
        url.username().is_empty() && url.password().is_none(),
        || "must not hold credentials; they belong into a secret key".to_owned(),
    )
}

/// Whether calls to this address are not encrypted and leave this machine.
pub(super) fn is_in_the_clear(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}

/// Checks that no name occurs twice.
pub(super) fn unique<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<(), String> {
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("'{name}' is used twice; use another name")),
        None => Ok(()),
    }
}

/// `Ok` when `holds`, else the message.
pub(super) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
