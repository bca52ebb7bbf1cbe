//! `[sdp]`: the vendor's API, and the identities with which it is called.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Identity, Proxy, SdpAuth, check};
use crate::config::reader::section::Section;
use crate::config::reader::setting::ByteSize;

/// The settings of the vendor's API.
#[derive(Debug, Clone)]
pub struct Sdp {
    /// The origin of the API, with an optional path before `/api/v1`. The token is sent only to this origin.
    pub base_url: Url,
    /// Further trusted certificate authorities, PEM; for a proxy or a test system.
    pub ca_file: Option<PathBuf>,
    /// The proxy through which the API is reached.
    pub proxy: Proxy,
    /// Deadline of one call: connect, headers and body.
    pub timeout: Duration,
    /// The limit of concurrent calls.
    pub max_concurrency: usize,
    /// The limit of calls per second; 0 means no limit.
    pub max_requests_per_second: u32,
    /// The largest answer that is read, in bytes.
    pub max_body_bytes: usize,
    /// `[sdp.auth]`: the default identity, if it is set.
    pub auth: Option<SdpAuth>,
    /// `[[sdp.identities]]`: further identities. Without any identity no link is followed.
    pub identities: Vec<Identity>,
}

impl Default for Sdp {
    fn default() -> Self {
        Self {
            base_url: Url::parse("https://sdp.suki.ai")
                .expect("the default address is well-formed"),
            ca_file: None,
            proxy: Proxy::None,
            timeout: Duration::from_secs(30),
            max_concurrency: 64,
            max_requests_per_second: 0,
            max_body_bytes: 32 * 1024 * 1024,
            auth: None,
            identities: Vec::new(),
        }
    }
}

impl Sdp {
    pub(super) fn read(section: &mut Section<'_>, shared: &Proxy) -> Self {
        let default = Self::default();
        let max_body_bytes = ByteSize(default.max_body_bytes);
        let has_identities = section.peek("identities").is_some();
        let partner_id;
        Self {
            base_url: section.checked("base_url", default.base_url, base_url),
            ca_file: section.get("ca_file", default.ca_file),
            proxy: Proxy::read(section, shared),
            timeout: section.checked("timeout", default.timeout, check::not_zero),
            max_concurrency: section.checked(
                "max_concurrency",
                default.max_concurrency,
                check::count,
            ),
            max_requests_per_second: section
                .get("max_requests_per_second", default.max_requests_per_second),
            max_body_bytes: section
                .checked("max_body_bytes", max_body_bytes, check::size)
                .0,
            auth: {
                let auth;
                (partner_id, auth) =
                    section.section("auth", |auth| SdpAuth::read(auth, has_identities));
                auth
            },
            identities: Identity::read_all(section, partner_id.as_deref()),
        }
    }

    /// All identities, the one of `[sdp.auth]` first.
    pub fn all_identities(&self) -> Vec<Identity> {
        let default = self.auth.clone().map(Identity::default_of);
        default.into_iter().chain(self.identities.clone()).collect()
    }

    /// Whether there is any identity; without one no link is followed.
    pub fn has_credentials(&self) -> bool {
        self.auth.is_some() || !self.identities.is_empty()
    }
}

/// Checks the address to which the token is sent.
fn base_url(url: &Url) -> Result<(), String> {
    check::http_url(url)?;
    check::ensure(url.query().is_none() && url.fragment().is_none(), || {
        "must not have a query or fragment".to_owned()
    })?;
    check::ensure(!check::is_in_the_clear(url), || {
        "is http to another machine, so the token would travel in the clear; use https".to_owned()
    })
}
