//! `[canary]`: the synthetic notification by which the service tests its own way in.

use std::time::Duration;

use url::Url;

use super::check;
use crate::config::reader::section::Section;

/// The synthetic notification.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Whether one is sent.
    pub enabled: bool,
    /// Where to: the address that Suki was given. `None`: this service's own listener, which leaves the load balancer out.
    pub url: Option<Url>,
    /// How often.
    pub every: Duration,
    /// When it counts as not answered.
    pub timeout: Duration,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            enabled: false,
            url: None,
            every: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

impl Canary {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let url: Option<Url> = section.get("url", default.url);
        if let Some(url) = &url {
            section.expect("url", check::http_url(url));
        }
        Self {
            enabled: section.get("enabled", default.enabled),
            url,
            every: section.checked("every", default.every, check::not_zero),
            timeout: section.checked("timeout", default.timeout, check::not_zero),
        }
    }
}
