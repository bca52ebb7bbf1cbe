//! `[otel]`: where traces are sent. Without an address nothing is traced.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Proxy, check, headers};
use crate::config::reader::Secret;
use crate::config::reader::dump::quoted;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Ratio;

/// The settings of tracing.
#[derive(Clone)]
pub struct Otel {
    /// The full address to which spans are posted; it usually ends in `/v1/traces`. `None`: nothing is traced.
    pub endpoint: Option<Url>,
    /// The headers of each post; the values are secrets.
    pub headers: Vec<(String, Secret)>,
    /// The deadline of one post.
    pub timeout: Duration,
    /// The share of events whose trace is exported, from 0 to 1.
    pub sample: f64,
    /// The resource's `service.name`.
    pub service_name: String,
    /// Further attributes of the resource.
    pub attributes: Vec<(String, String)>,
    /// Further trusted certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// The proxy through which the collector is reached.
    pub proxy: Proxy,
}

impl Default for Otel {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(3),
            sample: 1.0,
            service_name: "suki-receiver".to_owned(),
            attributes: Vec::new(),
            ca_file: None,
            proxy: Proxy::None,
        }
    }
}

impl Otel {
    pub(super) fn read(section: &mut Section<'_>, proxy: &Proxy) -> Self {
        let default = Self::default();
        let endpoint: Option<Url> = section.get("endpoint", default.endpoint);
        if let Some(endpoint) = &endpoint {
            section.expect("endpoint", check::http_url(endpoint));
        }
        Self {
            endpoint,
            timeout: section.checked("timeout", default.timeout, check::not_zero),
            sample: section.get("sample", Ratio(default.sample)).0,
            service_name: section.checked("service_name", default.service_name, |name| {
                check::ensure(!name.trim().is_empty(), || "must not be empty".to_owned())
            }),
            ca_file: section.get("ca_file", default.ca_file),
            headers: section.section("headers", headers::read),
            attributes: section.section("attributes", attributes),
            proxy: proxy.clone(),
        }
    }
}

/// Reads the attributes: names are the operator's choice.
fn attributes(section: &mut Section<'_>) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    for (key, node) in section.take_rest() {
        match node.value.text().map(str::to_owned) {
            Ok(value) => {
                section.note(&key, quoted(&value), node.source, None);
                attributes.push((key, value));
            }
            Err(message) => section.problem_at(&key, Some(node.source), message),
        }
    }
    attributes
}

impl fmt::Debug for Otel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otel")
            .field("is_on", &self.endpoint.is_some())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
