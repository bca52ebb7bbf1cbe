//! When two notifications are the same.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 over session id, status and the canonical form of the body: keys sorted, no white space, numbers as written.
///
/// The same notification sent again has the same key, whatever its `generated-at`, white space or key order; another
/// content has another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DedupeKey([u8; 32]);

impl DedupeKey {
    /// The key of a notification. Where no canonical form of its body can be made (it is JSON that holds what cannot be
    /// read into values, such as half a surrogate pair), its bytes are the form.
    pub(super) fn of(session_id: &str, status: Option<&str>, body: &[u8]) -> Self {
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
            return Self::of_raw(body);
        };
        // Maps are sorted already unless some dependency turns serde_json's `preserve_order` on; this makes sure.
        value.sort_all_objects();
        let mut hash = Sha256::new();
        for part in [session_id, status.unwrap_or_default()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.update(value.to_string());
        Self(hash.finalize().into())
    }

    /// The key of bytes that cannot be parsed: their plain hash.
    pub fn of_raw(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// The 32 stored bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
