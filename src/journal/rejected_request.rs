//! Requests that were refused because no secret matched: kept within bounds, so that a wrong secret after a rotation
//! does not cost the notifications that came meanwhile.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

/// A refused request, with all that is needed to verify it again.
#[derive(Clone, PartialEq, Eq)]
pub struct RejectedRequest {
    /// When it came.
    pub received_at: Timestamp,
    /// Its header `generated-at`, as sent: digits.
    pub generated_at: String,
    /// Its signature, as sent: hex.
    pub signature: String,
    /// Its body.
    pub body: Bytes,
}

impl fmt::Debug for RejectedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RejectedRequest([redacted])")
    }
}

/// How much is kept of what was refused. The oldest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most requests.
    pub requests: usize,
    /// Most bytes of their bodies together.
    pub bytes: usize,
}
