//! `[admin.console]`: by which names the console is called, how long somebody who has signed in may stay, and whether it
//! shows clinical content on a connection that is not encrypted.

use std::time::Duration;

use super::check;
use super::reader::Section;

/// The console.
#[derive(Debug, Clone)]
pub struct Console {
    /// The names that a browser calls it by, beside `localhost` and any address.
    pub hosts: Vec<String>,
    /// Whether clinical content is shown on plain HTTP off loopback: something in front ends TLS.
    pub insecure_reveal: bool,
    /// After so long without a request it ends.
    pub idle_timeout: Duration,
    /// After so long it ends in any case.
    pub max_session: Duration,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            insecure_reveal: false,
            idle_timeout: Duration::from_secs(30 * 60),
            max_session: Duration::from_secs(12 * 3600),
        }
    }
}

impl Console {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            hosts: section.checked("hosts", default.hosts, |hosts| check::host_names(hosts)),
            insecure_reveal: section.get("insecure_reveal", default.insecure_reveal),
            idle_timeout: section.checked("idle_timeout", default.idle_timeout, check::not_zero),
            max_session: section.checked("max_session", default.max_session, check::not_zero),
        }
    }
}
