//! The signing secrets that are valid now; several during a rotation.

use std::fmt;
use std::sync::Arc;

use hmac::Mac;

use super::claim::MAC_BYTES;
use super::sign::{HmacSha256, keyed, signature};

/// A secret's bytes and its name. The vendor's keys are used as they are, as UTF-8 (docs/VENDOR.md, "Signature").
pub struct SecretBytes<'a> {
    /// Its name in the configuration.
    pub id: &'a str,
    /// The key.
    pub key: &'a [u8],
}

/// The secrets as keyed MACs. Keying is done once and not for each request.
#[derive(Clone)]
pub struct Secrets(Vec<Keyed>);

#[derive(Clone)]
struct Keyed {
    id: Arc<str>,
    mac: HmacSha256,
}

impl Secrets {
    /// A set of these secrets, which are tried in this order.
    pub fn new<'a>(secrets: impl IntoIterator<Item = SecretBytes<'a>>) -> Self {
        Self(
            secrets
                .into_iter()
                .map(|secret| Keyed {
                    id: secret.id.into(),
                    mac: keyed(secret.key),
                })
                .collect(),
        )
    }

    /// Signs a body sent at `generated_at` as the vendor does, with the first secret. `None` when there is no secret.
    pub fn sign(&self, generated_at: &str, body: &[u8]) -> Option<String> {
        let mac = self.0.first()?.mac.clone();
        Some(signature(mac, generated_at, body))
    }

    /// The name of the secret under which the MAC of `parts` is one of `expected`. Each comparison takes constant time.
    pub(super) fn find(&self, parts: &[&[u8]], expected: &[[u8; MAC_BYTES]]) -> Option<&Arc<str>> {
        self.0
            .iter()
            .find(|keyed| {
                let mut mac = keyed.mac.clone();
                parts.iter().for_each(|part| mac.update(part));
                expected
                    .iter()
                    .any(|expected| mac.clone().verify_slice(expected).is_ok())
            })
            .map(|keyed| &keyed.id)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|keyed| &keyed.id))
            .finish()
    }
}
