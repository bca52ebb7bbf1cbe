//! From received bytes to [`Verified`]. Looks at raw bytes only: nothing is parsed before the signature holds.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{GENERATED_AT_HEADER, SIGNATURE_HEADER, Secrets};

const MAC_BYTES: usize = 32;
/// Most digits of a time; none that there is has as many.
const DIGITS: usize = 20;

/// A body whose signature holds, as received.
#[derive(Clone)]
pub struct Verified {
    body: Bytes,
    generated_at: Timestamp,
    secret_id: String,
}

/// Why a request is not authentic. Safe to show to the sender; an attacker learns only what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
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

/// Checks the signature of `body` under any of `secrets`, in constant time for each.
///
/// # Errors
/// [`Rejection`] where a header is missing or unreadable, or no secret matches.
pub fn verify(
    secrets: &Secrets,
    signature: Option<&[u8]>,
    generated_at: Option<&[u8]>,
    body: Bytes,
) -> Result<Verified, Rejection> {
    let signature = signature.ok_or(Rejection::NoSignature)?;
    let generated_at = generated_at.ok_or(Rejection::NoGeneratedAt)?;
    let mut expected = [0; MAC_BYTES];
    hex::decode_to_slice(signature, &mut expected).map_err(|_| Rejection::NotHex)?;
    let time = milliseconds(generated_at).ok_or(Rejection::NotANumber)?;
    let secret_id = secrets
        .find(&[generated_at, b":", &body], &expected)
        .ok_or(Rejection::Mismatch)?;
    Ok(Verified {
        body,
        generated_at: time,
        secret_id: secret_id.to_owned(),
    })
}

impl Verified {
    /// The body as received.
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
    pub fn secret_id(&self) -> &str {
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

/// A decimal number of milliseconds that is a time. Digits only, and not without end: no sign, no white space.
fn milliseconds(text: &[u8]) -> Option<Timestamp> {
    if text.is_empty() || text.len() > DIGITS || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Timestamp::from_millisecond(number).ok()
}
