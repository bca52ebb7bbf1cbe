//! `[admin.console]`: by which names the console is called, how long somebody who has signed in may stay, whether it
//! shows clinical content on a connection that is not encrypted, and where it leads to.

use std::time::Duration;

use super::check;
use crate::config::reader::section::Section;

/// What stands for the id of a trace in `trace_url`.
pub const TRACE_ID: &str = "{trace_id}";

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
    /// Where an event's trace is shown, with `{trace_id}` in the place of its id; empty for no link.
    pub trace_url: String,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            insecure_reveal: false,
            idle_timeout: Duration::from_secs(30 * 60),
            max_session: Duration::from_secs(12 * 3600),
            trace_url: String::new(),
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
            trace_url: section.checked("trace_url", default.trace_url, |url| trace_url(url)),
        }
    }
}

fn trace_url(template: &str) -> Result<(), String> {
    let is_http = template.starts_with("https://") || template.starts_with("http://");
    let names_trace = template.contains(TRACE_ID);
    check::ensure(template.is_empty() || (is_http && names_trace), || {
        format!(
            "expected an address with {TRACE_ID}, such as https://jaeger.example/trace/{TRACE_ID}"
        )
    })
}
