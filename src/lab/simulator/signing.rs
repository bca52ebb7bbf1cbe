//! A message to send, and the ways to sign it: correctly, as the vendor does, and in every wrong way that must be
//! refused.
//!
//! This file sends nothing.

use bytes::Bytes;

use crate::domain::Millis;
use crate::signature::{GENERATED_AT_HEADER, SIGNATURE_HEADER, sign};

/// The age of a stale message: a day, which is beyond any tolerance.
const STALE_BY: Millis = 24 * 60 * 60 * 1000;

/// A message to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The body.
    pub body: Bytes,
    /// How it is signed when it is sent.
    pub signing: Signing,
}

/// How a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signing {
    /// As the vendor does.
    Right,
    /// Correctly, in upper-case hex.
    UpperCase,
    /// Correctly, with a time long past.
    Stale,
    /// With another secret.
    WrongSecret,
    /// For another body.
    OtherBody,
    /// With a signature that is not hex.
    NotHex,
    /// Without the signature.
    NoSignature,
    /// Without the header with the signed time.
    NoGeneratedAt,
}

impl Message {
    /// A message signed as the vendor does.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            signing: Signing::Right,
        }
    }

    /// Sets how the message is signed.
    #[must_use]
    pub fn signed(self, signing: Signing) -> Self {
        Self { signing, ..self }
    }

    /// The vendor's two headers, or their wrong substitutes, for sending at `now`.
    pub fn headers(&self, secret: &[u8], now: Millis) -> Vec<(&'static str, String)> {
        let sent_at = match self.signing {
            Signing::Stale => now - STALE_BY,
            _ => now,
        };
        let generated_at = sent_at.to_string();
        let signature = match self.signing {
            Signing::WrongSecret => sign(&[secret, b"?"].concat(), &generated_at, &self.body),
            Signing::OtherBody => sign(secret, &generated_at, &[&self.body[..], b"\n"].concat()),
            Signing::NotHex => "not a signature".to_owned(),
            Signing::UpperCase => sign(secret, &generated_at, &self.body).to_ascii_uppercase(),
            _ => sign(secret, &generated_at, &self.body),
        };
        let mut headers = vec![
            (SIGNATURE_HEADER, signature),
            (GENERATED_AT_HEADER, generated_at),
        ];
        headers.retain(|(name, _)| match self.signing {
            Signing::NoSignature => *name != SIGNATURE_HEADER,
            Signing::NoGeneratedAt => *name != GENERATED_AT_HEADER,
            _ => true,
        });
        headers
    }
}

impl Signing {
    /// The ways that must be refused.
    pub const WRONG: [Self; 5] = [
        Self::WrongSecret,
        Self::OtherBody,
        Self::NotHex,
        Self::NoSignature,
        Self::NoGeneratedAt,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Claim, SecretBytes, Secrets, SentBody, verify};

    #[test]
    fn the_receiver_verifies_what_is_signed_rightly_and_nothing_else() {
        let secrets = Secrets::new([SecretBytes {
            id: "a",
            key: b"secret",
        }]);
        let verifies = |signing| {
            let message = Message::new("{}").signed(signing);
            let headers = message.headers(b"secret", 1_765_977_748_432);
            let header = |name| {
                let found = headers.iter().find(|(header, _)| *header == name);
                found.map(|(_, value)| value.as_bytes())
            };
            let (signature, generated_at) = (header(SIGNATURE_HEADER), header(GENERATED_AT_HEADER));
            verify(
                &secrets,
                &Claim::of(signature, generated_at),
                &SentBody::plain(message.body.clone()),
            )
            .is_ok()
        };
        for right in [Signing::Right, Signing::UpperCase, Signing::Stale] {
            assert!(verifies(right), "{right:?}");
        }
        for wrong in Signing::WRONG {
            assert!(!verifies(wrong), "{wrong:?}");
        }
    }
}
