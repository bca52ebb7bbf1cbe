//! Identifiers. An event's id is made here (UUID v7, so it sorts by time); the ids of sessions and encounters are the
//! vendor's.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Identifies one stored event: the `id` in the 200, in the admin API and in the envelope that a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id, later than all made before it by this process.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id derived from this content: the same content has the same id (RFC 9562, version 8).
    pub fn of_content(content: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(content).into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The id's 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The vendor's session id: an opaque string, not always a UUID (docs/VENDOR.md, "Identifiers"). Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// The longest accepted session id; the vendor's are UUIDs or about as long.
    pub const MAX_BYTES: usize = 512;

    /// The id in `text`, or `None` if it is blank or too long.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.trim().is_empty() && text.len() <= Self::MAX_BYTES).then_some(Self(text))
    }

    /// The id as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The partner's encounter id: any string of up to 255 characters (docs/VENDOR.md, "Identifiers"). Percent-encode it in a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncounterId(String);

impl EncounterId {
    /// The id in `text`, or `None` if it is blank.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.trim().is_empty()).then_some(Self(text))
    }

    /// The id as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EncounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
