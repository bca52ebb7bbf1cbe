//! Requests that were rejected because no secret matched. They are stored within limits, so that a wrong secret after a
//! rotation does not lose the notifications that arrive meanwhile.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

/// A rejected request, with all that is needed to verify it again.
#[derive(Clone, PartialEq, Eq)]
pub struct RejectedRequest {
    /// When it was received.
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

/// The limits on stored rejected requests. The oldest is removed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most requests.
    pub requests: usize,
    /// The most bytes of all bodies together.
    pub bytes: usize,
}
