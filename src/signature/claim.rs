//! The two headers of a request that claim its authenticity, before verification.
//!
//! Gateways add a key of their own next to the signature, in a second header of the same name or after a comma. So
//! every value is tried, up to a limit.

use std::borrow::Cow;

use jiff::Timestamp;

use super::VerifyError;

/// The length of a signature.
pub(super) const MAC_BYTES: usize = 32;
/// The most signatures, and the most times of sending, that are tried.
const MOST_SIGNATURES: usize = 8;
const MOST_TIMES: usize = 2;
/// The most digits of a time; every valid time has fewer.
const DIGITS: usize = 20;

/// The two headers of a request, as sent. The values of a header that was sent several times are joined by commas, as
/// RFC 9110, section 5.3 specifies.
#[derive(Debug, Clone, Default)]
pub struct Claim<'a> {
    signature: Option<Cow<'a, [u8]>>,
    generated_at: Option<Cow<'a, [u8]>>,
}

/// A time of sending: the text, which is what was signed, and the time that it means.
pub(super) struct SentAt<'a> {
    pub(super) text: &'a [u8],
    pub(super) time: Timestamp,
}

impl<'a> Claim<'a> {
    /// The claim made by these header values.
    pub fn of(
        signatures: impl IntoIterator<Item = &'a [u8]>,
        generated_at: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            signature: join(signatures),
            generated_at: join(generated_at),
        }
    }

    /// The signature header as sent.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// The `generated-at` header as sent.
    pub fn generated_at(&self) -> Option<&[u8]> {
        self.generated_at.as_deref()
    }

    /// Whether both headers are present and hold a value that can be checked.
    pub fn is_well_formed(&self) -> bool {
        self.signatures().is_ok() && self.times().is_ok()
    }

    /// Every value that can be a signature, up to the limit.
    pub(super) fn signatures(&self) -> Result<Vec<[u8; MAC_BYTES]>, VerifyError> {
        let header = self.signature().ok_or(VerifyError::NoSignature)?;
        let found: Vec<_> = values(header)
            .filter_map(|value| {
                let mut mac = [0; MAC_BYTES];
                hex::decode_to_slice(value, &mut mac).ok().map(|()| mac)
            })
            .take(MOST_SIGNATURES)
            .collect();
        if found.is_empty() {
            return Err(VerifyError::NotHex);
        }
        Ok(found)
    }

    /// Every distinct value that can be a time of sending, up to the limit.
    pub(super) fn times(&self) -> Result<Vec<SentAt<'_>>, VerifyError> {
        let header = self.generated_at().ok_or(VerifyError::NoGeneratedAt)?;
        let mut found: Vec<SentAt<'_>> = Vec::with_capacity(1);
        for text in values(header) {
            if found.len() < MOST_TIMES
                && found.iter().all(|other| other.text != text)
                && let Some(time) = milliseconds(text)
            {
                found.push(SentAt { text, time });
            }
        }
        if found.is_empty() {
            return Err(VerifyError::NotANumber);
        }
        Ok(found)
    }
}

fn join<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut values = values.into_iter();
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |joined, value| {
        Cow::Owned([&joined[..], b", ", value].concat())
    }))
}

fn values(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Parses a time in decimal milliseconds. Only digits are accepted, up to `DIGITS` of them: no sign, no white space.
fn milliseconds(text: &[u8]) -> Option<Timestamp> {
    if text.is_empty() || text.len() > DIGITS || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Timestamp::from_millisecond(number).ok()
}
