//! `[signature]`: the secrets with which notifications are signed, and what to do with stale notifications.

use std::time::Duration;

use super::secret_keys::ENV_NAME;
use super::{check, odd};
use crate::config::reader::NamedSecret;
use crate::config::reader::section::Section;
use crate::config::reader::setting::{ByteSize, Word};

/// How notifications are verified.
#[derive(Debug, Clone)]
pub struct Signature {
    /// All secrets that are valid now: at least one, several during a rotation.
    pub secrets: Vec<NamedSecret>,
    /// How far `generated-at` may be from now before a notification counts as stale.
    pub tolerance: Duration,
    /// What happens to a stale notification.
    pub on_stale: OnStale,
    /// The limit of kept requests that no secret matches; 0 keeps none.
    pub keep_unauthentic: usize,
    /// The limit of bytes of their bodies together.
    pub keep_unauthentic_bytes: usize,
}

/// What happens to an authentic notification whose `generated-at` is too far from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStale {
    /// It is kept and marked, and answered 200.
    Keep,
    /// It is answered 401 and not kept. It is then lost, since the vendor does not send it again.
    Reject,
}

impl Default for Signature {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            tolerance: Duration::from_secs(5 * 60),
            on_stale: OnStale::Keep,
            keep_unauthentic: 1000,
            keep_unauthentic_bytes: 64 << 20,
        }
    }
}

impl Word for OnStale {
    const ALL: &'static [Self] = &[Self::Keep, Self::Reject];

    fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reject => "reject",
        }
    }
}

impl Signature {
    /// Reads the section. A secret is required if there is a webhook.
    pub(super) fn read(section: &mut Section<'_>, has_webhook: bool) -> Self {
        let default = Self::default();
        let tolerance = section.checked("tolerance", default.tolerance, check::not_zero);
        let on_stale = section.get("on_stale", default.on_stale);
        let keep_unauthentic = section.get("keep_unauthentic", default.keep_unauthentic);
        let bytes = ByteSize(default.keep_unauthentic_bytes);
        let keep_unauthentic_bytes = section.get("keep_unauthentic_bytes", bytes).0;
        let problems = section.problem_count();
        let mut secrets = section.named_secrets("secrets");
        if let Some(found) = section.env_secret("secret") {
            secrets.push(NamedSecret {
                id: ENV_NAME.to_owned(),
                secret: section.note_as_item("secrets", &[("id", ENV_NAME)], found),
            });
        }
        if has_webhook && secrets.is_empty() && section.problem_count() == problems {
            section.problem(
                "secrets",
                "is missing; give the secret that Suki signs with, as secrets = [{ id = \"…\", file = \"…\" }] or in SUKI_RECEIVER__SIGNATURE__SECRET",
            );
        }
        let signature = Self {
            secrets,
            tolerance,
            on_stale,
            keep_unauthentic,
            keep_unauthentic_bytes,
        };
        signature.check(section);
        signature
    }

    fn check(&self, section: &mut Section<'_>) {
        odd::warn_of_signing(section, &self.secrets);
        let ids = self.secrets.iter().map(|secret| secret.id.as_str());
        section.expect("secrets", check::unique(ids));
        if self.tolerance < Duration::from_secs(60) {
            section.warn(
                "signature.tolerance is below 1m: clocks that differ a little make notifications stale",
            );
        }
        if self.on_stale == OnStale::Reject {
            section.warn(
                "signature.on_stale is \"reject\": a late notification is lost for good, since Suki does not send again",
            );
        }
    }
}
