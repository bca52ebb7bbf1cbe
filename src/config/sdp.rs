//! `[sdp]`: the vendor's API and how the service logs in to it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::Section;
use super::setting::{ByteSize, Word};
use super::{Proxy, Secret, check};

/// The vendor's API.
#[derive(Debug, Clone)]
pub struct Sdp {
    /// Origin (and perhaps a path in front of `/api/v1`) of the API. The token goes to this origin only.
    pub base_url: Url,
    /// Further trusted certificate authorities, PEM; for a proxy or a test system.
    pub ca_file: Option<PathBuf>,
    /// The proxy through which it is reached.
    pub proxy: Proxy,
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

/// How the service logs in.
#[derive(Debug, Clone)]
pub struct SdpAuth {
    /// Who the token stands for.
    pub mode: AuthMode,
    /// Given by Suki.
    pub partner_id: String,
    /// What is exchanged for an SDP token.
    pub partner_token: PartnerToken,
}

/// The two ways of the vendor.
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

/// What a self-signed partner token is made of (RS256).
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
            proxy: Proxy::None,
            timeout: Duration::from_secs(30),
            max_concurrency: 64,
            max_requests_per_second: 0,
            max_body_bytes: 32 * 1024 * 1024,
            auth: None,
        }
    }
}

impl Sdp {
    pub(super) fn read(section: &mut Section<'_>, shared: &Proxy) -> Self {
        let default = Self::default();
        let max_body_bytes = ByteSize(default.max_body_bytes);
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
            auth: section.section("auth", SdpAuth::read),
        }
    }
}

/// Where the token may go.
fn base_url(url: &Url) -> Result<(), String> {
    check::http_url(url)?;
    check::ensure(url.query().is_none() && url.fragment().is_none(), || {
        "must not have a query or fragment".to_owned()
    })?;
    check::ensure(!check::is_in_the_clear(url), || {
        "is http to another machine, so the token would travel in the clear; use https".to_owned()
    })
}

/// The words for [`AuthMode`].
#[derive(Clone, Copy)]
enum Mode {
    Standard,
    SingleAuthToken,
}

impl Word for Mode {
    const ALL: &'static [Self] = &[Self::Standard, Self::SingleAuthToken];

    fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::SingleAuthToken => "single_auth_token",
        }
    }
}

impl SdpAuth {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let mode = AuthMode::read(section);
        let partner_id: Option<String> = section.get("partner_id", None);
        let is_token_set =
            section.peek("partner_token").is_some() || section.peek("partner_token_file").is_some();
        match (&partner_id, is_token_set) {
            (Some(_), false) => section.problem(
                "partner_token",
                "is missing; partner_id needs it, or set neither",
            ),
            (None, true) => section.problem(
                "partner_id",
                "is missing; partner_token needs it, or set neither",
            ),
            _ => {}
        }
        let partner_token = PartnerToken::read(section);
        Some(Self {
            mode,
            partner_id: partner_id?,
            partner_token: partner_token?,
        })
    }
}

impl AuthMode {
    fn read(section: &mut Section<'_>) -> Self {
        let mode = section.get("mode", Mode::Standard);
        let provider_id: Option<String> = section.get("provider_id", None);
        match (mode, provider_id) {
            (Mode::SingleAuthToken, Some(provider_id)) => Self::SingleAuthToken { provider_id },
            (Mode::SingleAuthToken, None) => {
                section.problem(
                    "provider_id",
                    "is missing; mode \"single_auth_token\" needs the provider that is acted for",
                );
                Self::Standard
            }
            (Mode::Standard, Some(_)) => {
                section.problem(
                    "provider_id",
                    "is not used in mode \"standard\"; remove it, or set mode = \"single_auth_token\"",
                );
                Self::Standard
            }
            (Mode::Standard, None) => Self::Standard,
        }
    }
}

impl PartnerToken {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        const KEY: &str = "partner_token";
        let is_self_signed = section.peek("partner_token_file").is_none()
            && section
                .peek(KEY)
                .is_some_and(|node| SigningKey::KEYS.iter().any(|key| node.has(key)));
        if is_self_signed {
            section.section(KEY, SigningKey::read).map(Self::SelfSigned)
        } else {
            section.secret(KEY).map(Self::Given)
        }
    }
}

impl SigningKey {
    /// What tells its table from that of a secret.
    const KEYS: [&str; 5] = ["signing_key", "issuer", "audience", "subject", "key_id"];

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut claim =
            |key, hint| section.required(key, hint, |claim: &String| check::not_empty(claim));
        let issuer = claim("issuer", "it becomes the claim iss");
        let audience = claim("audience", "it becomes the claim aud");
        let subject = claim("subject", "it becomes the claim sub");
        let key_id = section.get("key_id", String::new());
        let key = section.required_secret("signing_key");
        Some(Self {
            key: key?,
            issuer: issuer?,
            audience: audience?,
            subject: subject?,
            key_id,
        })
    }
}
