//! `[sdp]`: the vendor's API and how the service logs in to it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Secret;

/// The vendor's API.
#[derive(Debug, Clone)]
pub struct Sdp {
    /// Origin (and perhaps a path in front of `/api/v1`) of the API. The token goes to this origin only.
    pub base_url: Url,
    /// Further trusted certificate authorities, PEM; for a proxy or a test system.
    pub ca_file: Option<PathBuf>,
    /// Deadline of one call: connect, headers and body.
    pub timeout: Duration,
    /// Most calls at once.
    pub max_concurrency: usize,
    /// Most calls a second; 0 means no limit.
    pub max_requests_per_second: u32,
    /// Largest answer that is read, in bytes.
    pub max_body_bytes: usize,
    /// `[sdp.auth]`. `None` when no credentials are set: then nothing is followed.
    pub auth: Option<SdpAuth>,
}

/// How the service logs in (vendor.md 3).
#[derive(Debug, Clone)]
pub struct SdpAuth {
    /// Who the token stands for.
    pub mode: AuthMode,
    /// Given by Suki.
    pub partner_id: String,
    /// What is exchanged for an SDP token.
    pub partner_token: PartnerToken,
}

/// The two ways of the vendor (vendor.md 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMode {
    /// The partner token names the user.
    Standard,
    /// One shared partner token; `provider_id` goes into the login body and the `sdp_provider_id` header.
    SingleAuthToken {
        /// The provider that is acted for.
        provider_id: String,
    },
}

/// Where the partner token comes from. A file or command is read again at each login.
#[derive(Debug, Clone)]
pub enum PartnerToken {
    /// Literal, file, environment or command.
    Given(Secret),
    /// Signed here with the partner's own key.
    SelfSigned(SigningKey),
}

/// What a self-signed partner token is made of (RS256; vendor.md 3.4).
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The RSA private key, PEM.
    pub key: Secret,
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`.
    pub audience: String,
    /// Claims `sub` and, where it is an address, `email`.
    pub subject: String,
    /// Header `kid`; empty for none.
    pub key_id: String,
}

impl Default for Sdp {
    fn default() -> Self {
        Self {
            base_url: Url::parse("https://sdp.suki.ai")
                .expect("the default address is well-formed"),
            ca_file: None,
            timeout: Duration::from_secs(30),
            max_concurrency: 16,
            max_requests_per_second: 0,
            max_body_bytes: 32 * 1024 * 1024,
            auth: None,
        }
    }
}
