//! `[canary]`: the synthetic notification with which the service tests that notifications reach it.

use std::time::Duration;

use url::Url;

use super::check;
use crate::config::reader::section::Section;

/// The settings of the synthetic notification.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Whether synthetic notifications are sent.
    pub enabled: bool,
    /// The address to send to: the one that Suki was given. `None` for this service's own listener, which does not test
    /// the load balancer.
    pub url: Option<Url>,
    /// The interval.
    pub every: Duration,
    /// The time after which it counts as not answered.
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
