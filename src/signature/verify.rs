//! From received bytes to [`Verified`]. Looks at raw bytes only: nothing is parsed before the signature holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Claim, GENERATED_AT_HEADER, SIGNATURE_HEADER, Secrets};

/// A body whose signature holds.
#[derive(Clone)]
pub struct Verified {
    body: Bytes,
    generated_at: Timestamp,
    secret_id: Arc<str>,
}

/// A body as it came, and without its content coding where it came with one that could be decoded.
#[derive(Clone)]
pub struct SentBody {
    wire: Bytes,
    decoded: Option<Bytes>,
}

/// Why a request is not authentic. Safe to show to the sender; an attacker learns only what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No signature header.
    #[error(
        "the header {SIGNATURE_HEADER} is missing; it holds the hex HMAC-SHA-256 of generated-at, ':' and the body"
    )]
    NoSignature,
    /// No `generated-at` header.
    #[error(
        "the header {GENERATED_AT_HEADER} is missing; it holds the time of sending in Unix milliseconds"
    )]
    NoGeneratedAt,
    /// Not 64 hex digits.
    #[error("the header {SIGNATURE_HEADER} is not 64 hex digits")]
    NotHex,
    /// Not a decimal number of milliseconds.
    #[error("the header {GENERATED_AT_HEADER} is not a decimal number of Unix milliseconds")]
    NotANumber,
    /// No secret matches.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks what a request claims, under any of `secrets`, in constant time for each. One signature that holds is enough.
///
/// Whether the vendor signs before or after a content coding is put on is not documented, so both are tried. What is
/// verified is then the body without its coding.
///
/// # Errors
/// [`VerifyError`] where a header is missing or unreadable, or no secret matches.
pub fn verify(
    secrets: &Secrets,
    claim: &Claim<'_>,
    received: &SentBody,
) -> Result<Verified, VerifyError> {
    let signatures = claim.signatures()?;
    for sent in claim.times()? {
        for body in std::iter::once(&received.wire).chain(&received.decoded) {
            if let Some(id) = secrets.find(&[sent.text, b":", body], &signatures) {
                return Ok(Verified {
                    body: received.content().clone(),
                    generated_at: sent.time,
                    secret_id: Arc::clone(id),
                });
            }
        }
    }
    Err(VerifyError::Mismatch)
}

impl SentBody {
    /// A body that is what it says.
    pub fn plain(wire: Bytes) -> Self {
        Self {
            wire,
            decoded: None,
        }
    }

    /// A body that came with a content coding, and what it says.
    pub fn coded(wire: Bytes, decoded: Bytes) -> Self {
        Self {
            wire,
            decoded: Some(decoded),
        }
    }

    /// The bytes as they came.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    fn content(&self) -> &Bytes {
        self.decoded.as_ref().unwrap_or(&self.wire)
    }
}

impl Verified {
    /// The body as received, without its content coding.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// When the vendor says that it built the request.
    pub fn generated_at(&self) -> Timestamp {
        self.generated_at
    }

    /// Whether that is further than `tolerance` from its receipt, either way.
    pub fn is_stale(&self, received_at: Timestamp, tolerance: Duration) -> bool {
        received_at.duration_since(self.generated_at).unsigned_abs() > tolerance
    }

    /// The name of the secret that it was signed with.
    pub fn secret_id(&self) -> &Arc<str> {
        &self.secret_id
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("body", &"[redacted]")
            .field("generated_at", &self.generated_at)
            .finish()
    }
}

impl fmt::Debug for SentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentBody([redacted])")
    }
}
