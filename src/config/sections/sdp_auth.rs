//! How the service logs in to the vendor's API. `[sdp.auth]` and each of `[[sdp.identities]]` have the same keys.

use super::ProviderCommand;
use super::provider;
use crate::config::reader::Secret;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Word;

/// How the service logs in.
#[derive(Debug, Clone)]
pub struct SdpAuth {
    /// Whom the token represents.
    pub mode: AuthMode,
    /// The partner's id, given by Suki.
    pub partner_id: String,
    /// The partner token, which is exchanged for an SDP token.
    pub partner_token: PartnerToken,
}

/// The vendor's two authentication modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMode {
    /// The partner token names the user.
    Standard,
    /// One shared partner token; `provider_id` goes into the login body and the `sdp_provider_id` header.
    SingleAuthToken {
        /// The provider on whose behalf the service calls. `{provider}` stands for the session's provider.
        provider_id: String,
    },
}

/// The source of the partner token. A file or command is read again at each login.
#[derive(Debug, Clone)]
pub enum PartnerToken {
    /// A secret: literal, file, environment or command.
    Given(Secret),
    /// A command that prints the token for one provider.
    Command(ProviderCommand),
    /// Signed by this service with the partner's own key.
    SelfSigned(SigningKey),
}

/// The contents of a self-signed partner token (RS256).
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The RSA private key, PEM.
    pub key: Secret,
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
    /// The claim `sub`, and `email` if it is an e-mail address. `{provider}` stands for the session's provider.
    pub subject: String,
    /// The header `kid`; empty for none.
    pub key_id: String,
}

/// The names of [`AuthMode`] in the configuration.
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
    /// Reads `[sdp.auth]`: the partner's id, and how to log in if everything for that is set. With `has_identities` the
    /// id may be set alone, for those identities.
    pub(super) fn read(
        section: &mut Section<'_>,
        has_identities: bool,
    ) -> (Option<String>, Option<Self>) {
        let mode = AuthMode::read(section);
        let partner_id: Option<String> = section.get("partner_id", None);
        match (&partner_id, PartnerToken::is_set(section)) {
            (Some(_), false) if !has_identities => section.problem(
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
        let auth = partner_id.clone().zip(partner_token);
        let auth = auth.map(|(partner_id, partner_token)| Self {
            mode,
            partner_id,
            partner_token,
        });
        (partner_id, auth)
    }

    /// Reads the same keys in one of `[[sdp.identities]]`; `shared` is the partner's id from `[sdp.auth]`.
    pub(super) fn read_identity(section: &mut Section<'_>, shared: Option<&str>) -> Option<Self> {
        let mode = AuthMode::read(section);
        let partner_id: Option<String> = section.get("partner_id", None);
        let partner_id = partner_id.or_else(|| shared.map(str::to_owned));
        if partner_id.is_none() {
            section.problem("partner_id", "is missing; set it here or in [sdp.auth]");
        }
        if !PartnerToken::is_set(section) {
            section.problem("partner_token", "is missing; use { file = \"…\" }");
        }
        let partner_token = PartnerToken::read(section);
        Some(Self {
            mode,
            partner_id: partner_id?,
            partner_token: partner_token?,
        })
    }

    /// Whether the login depends on the provider.
    pub fn is_per_provider(&self) -> bool {
        let by_mode = match &self.mode {
            AuthMode::Standard => false,
            AuthMode::SingleAuthToken { provider_id } => provider::is_in(provider_id),
        };
        by_mode
            || match &self.partner_token {
                PartnerToken::Given(_) => false,
                PartnerToken::SelfSigned(key) => provider::is_in(&key.subject),
                PartnerToken::Command(_) => true,
            }
    }
}

impl AuthMode {
    fn read(section: &mut Section<'_>) -> Self {
        let mode = section.get("mode", Mode::Standard);
        let provider_id = section.checked("provider_id", None, |id: &Option<String>| {
            id.as_deref().map_or(Ok(()), provider::may_be_in)
        });
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
    const KEY: &'static str = "partner_token";
    const FILE_KEY: &'static str = "partner_token_file";

    fn is_set(section: &Section<'_>) -> bool {
        section.peek(Self::KEY).is_some() || section.peek(Self::FILE_KEY).is_some()
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let is_a_file = section.peek(Self::FILE_KEY).is_some();
        let is_self_signed = section
            .peek(Self::KEY)
            .is_some_and(|node| SigningKey::KEYS.iter().any(|key| node.has(key)));
        if is_self_signed && !is_a_file {
            section
                .section(Self::KEY, SigningKey::read)
                .map(Self::SelfSigned)
        } else if section.has_provider_command(Self::KEY) && !is_a_file {
            section.provider_command(Self::KEY).map(Self::Command)
        } else {
            section.secret(Self::KEY).map(Self::Given)
        }
    }
}

impl SigningKey {
    /// The keys by which its table is told from a secret's table.
    const KEYS: [&str; 5] = ["signing_key", "issuer", "audience", "subject", "key_id"];

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut claim = |key, hint, check: fn(&str) -> Result<(), String>| {
            section.required(key, hint, |claim: &String| check(claim))
        };
        let issuer = claim(
            "issuer",
            "it becomes the claim iss",
            provider::may_not_be_in,
        );
        let audience = claim(
            "audience",
            "it becomes the claim aud",
            provider::may_not_be_in,
        );
        let subject = claim("subject", "it becomes the claim sub", provider::may_be_in);
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
