//! `[[sdp.identities]]`: further identities with which the vendor's API is called, each with its providers.

use super::{ProviderPattern, SdpAuth, check};
use crate::config::reader::section::Section;

/// An identity with which the vendor's API is called.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The name in logs and metrics. It is unique and has letters, digits, `-` and `_`.
    pub name: String,
    /// How the identity logs in. If this depends on the provider, there is a separate identity for each of its
    /// providers.
    pub auth: SdpAuth,
    /// The providers for which the identity is used.
    pub matches: Vec<ProviderPattern>,
}

impl Identity {
    /// The name of the identity of `[sdp.auth]`.
    pub const DEFAULT: &'static str = "default";

    /// The identity of `[sdp.auth]`, for every provider that has no other.
    pub fn default_of(auth: SdpAuth) -> Self {
        Self {
            name: Self::DEFAULT.to_owned(),
            auth,
            matches: Vec::new(),
        }
    }

    /// Whether this is the identity of `[sdp.auth]`.
    pub fn is_default(&self) -> bool {
        self.name == Self::DEFAULT
    }

    /// The dotted key of the identity's table.
    pub fn key(&self) -> String {
        if self.is_default() {
            "sdp.auth".to_owned()
        } else {
            format!("sdp.identities.{}", self.name)
        }
    }

    /// Reads the list; `partner_id` is used for identities that have none of their own.
    pub(super) fn read_all(sdp: &mut Section<'_>, partner_id: Option<&str>) -> Vec<Self> {
        let identities = sdp.list("identities", |section| Self::read(section, partner_id));
        sdp.note_empty("identities", &identities);
        let names = identities.iter().map(|identity| identity.name.as_str());
        sdp.expect("identities", check::unique(names));
        identities
    }

    fn read(section: &mut Section<'_>, shared: Option<&str>) -> Option<Self> {
        let name = section.required("name", "use letters, digits, - and _", |name: &String| {
            identity_name(name)
        });
        let auth = SdpAuth::read_identity(section, shared);
        let own: Vec<_> = name
            .iter()
            .filter_map(|name| ProviderPattern::new(name).ok())
            .collect();
        let matches = section.checked("match", own.clone(), |matches| {
            check::ensure(!matches.is_empty(), || {
                "is empty; name a provider, or remove the key".to_owned()
            })
        });
        let (name, auth) = (name?, auth?);
        if auth.is_per_provider() && matches == own {
            let key = section.path_of("match");
            section.warn(format!(
                "{key} is not set: the identity takes the provider's name and is for the one provider '{name}'; name the \
                 providers, or all by [\"*\"]"
            ));
        }
        Some(Self {
            name,
            auth,
            matches,
        })
    }
}

fn identity_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    check::ensure(!name.is_empty() && name.chars().all(is_allowed), || {
        format!("invalid identity name '{name}'; expected letters, digits, - and _")
    })?;
    check::ensure(!name.eq_ignore_ascii_case(Identity::DEFAULT), || {
        "is the name of the identity of [sdp.auth]; use another".to_owned()
    })
}
