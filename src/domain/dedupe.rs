//! The deduplication key, which tells when two notifications are the same.

use std::fmt;

use sha2::{Digest, Sha256};

use super::tree::Tree;

/// SHA-256 over session id, status and the canonical form of the body: keys sorted, no white space, numbers as written
/// except for the form of an exponent.
///
/// A notification that is sent again has the same key, whatever its `generated-at`, white space or key order. Different
/// content has a different key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DedupeKey([u8; 32]);

impl DedupeKey {
    /// The key of a notification. If its body has no canonical form, for instance because it contains half a surrogate
    /// pair, the body's bytes are used instead.
    pub(super) fn of(session_id: &str, status: Option<&str>, body: &[u8], tree: &Tree<'_>) -> Self {
        let mut form = Vec::with_capacity(body.len());
        if tree.write_canonical(&mut form).is_err() {
            return Self::of_raw(body);
        }
        let mut hash = Sha256::new();
        for part in [session_id, status.unwrap_or_default()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.update(form);
        Self(hash.finalize().into())
    }

    /// The key of bytes that cannot be parsed: the hash of the bytes.
    pub fn of_raw(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
