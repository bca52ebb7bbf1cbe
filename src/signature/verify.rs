//! Verifies received bytes and returns a [`Verified`]. Nothing is parsed before the signature is verified.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Claim, GENERATED_AT_HEADER, SIGNATURE_HEADER, Secrets};

/// A body whose signature was verified.
#[derive(Clone)]
pub struct Verified {
    body: Bytes,
    generated_at: Timestamp,
    secret_id: Arc<str>,
}

/// A body as received, and also decoded if it came with a content coding that could be decoded.
#[derive(Clone)]
pub struct SentBody {
    wire: Bytes,
    decoded: Option<Bytes>,
}

/// Why a request is not authentic. Safe to show to the sender: it tells an attacker only what the request contained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature header.
    #[error(
        "the header {SIGNATURE_HEADER} is missing; it holds the hex HMAC-SHA-256 of generated-at, ':' and the body"
    )]
    NoSignature,
    /// There is no `generated-at` header.
    #[error(
        "the header {GENERATED_AT_HEADER} is missing; it holds the time of sending in Unix milliseconds"
    )]
    NoGeneratedAt,
    /// The signature is not 64 hex digits.
    #[error("the header {SIGNATURE_HEADER} is not 64 hex digits")]
    NotHex,
    /// `generated-at` is not a decimal number of milliseconds.
    #[error("the header {GENERATED_AT_HEADER} is not a decimal number of Unix milliseconds")]
    NotANumber,
    /// The signature matches no secret.
    #[error("the signature does not match")]
    Mismatch,
}

/// Verifies a request's claim against each of `secrets`, in constant time for each. One matching signature is enough.
///
/// The vendor does not document whether it signs before or after applying a content coding, so both are tried. In
/// either case the verified body is the decoded one.
///
/// # Errors
/// [`VerifyError`] if a header is missing or unreadable, or no secret matches.
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
    /// A body without a content coding.
    pub fn plain(wire: Bytes) -> Self {
        Self {
            wire,
            decoded: None,
        }
    }

    /// A body with a content coding, and the same body decoded.
    pub fn coded(wire: Bytes, decoded: Bytes) -> Self {
        Self {
            wire,
            decoded: Some(decoded),
        }
    }

    /// The bytes as received.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    fn content(&self) -> &Bytes {
        self.decoded.as_ref().unwrap_or(&self.wire)
    }
}

impl Verified {
    /// The body as received, or decoded if it came with a content coding.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// When the vendor says that it built the request.
    pub fn generated_at(&self) -> Timestamp {
        self.generated_at
    }

    /// Whether that differs from the time of receipt by more than `tolerance`, in either direction.
    pub fn is_stale(&self, received_at: Timestamp, tolerance: Duration) -> bool {
        received_at.duration_since(self.generated_at).unsigned_abs() > tolerance
    }

    /// The name of the secret that matched.
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
