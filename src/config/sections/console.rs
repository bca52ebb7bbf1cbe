//! `[admin.console]`: the console's host names, how long a sign-in lasts, whether clinical content is shown on a
//! connection that is not encrypted, and the address of the traces' user interface.

use std::time::Duration;

use super::check;
use crate::config::reader::section::Section;

/// The placeholder for a trace's id in `trace_url`.
pub const TRACE_ID: &str = "{trace_id}";

/// The settings of the console.
#[derive(Debug, Clone)]
pub struct Console {
    /// The host names by which browsers may call the console, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Whether clinical content is shown over plain HTTP on an address other than loopback, because a proxy in front
    /// terminates TLS.
    pub insecure_reveal: bool,
    /// A sign-in ends after this time without a request.
    pub idle_timeout: Duration,
    /// A sign-in ends after this time in any case.
    pub max_session: Duration,
    /// The address at which an event's trace is shown, with `{trace_id}` as the placeholder for its id; empty for no
    /// link.
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
