//! What is delivered: a notification with all that was fetched for it. Prints no clinical content.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use super::{EncounterId, EventId, LinkGroup, Outcome, SessionId};

/// One event, ready to be delivered.
#[derive(Clone)]
pub struct Document {
    /// The event; the idempotency key of its deliveries.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// The session it is about.
    pub session_id: SessionId,
    /// The session's encounter.
    pub encounter_id: Option<EncounterId>,
    /// `status` as sent.
    pub status: Option<String>,
    /// How the session ended.
    pub outcome: Outcome,
    /// The vendor's error code, for a failure.
    pub error_code: Option<String>,
    /// The session's state by the status endpoint, where it was asked.
    pub session_status: Option<String>,
    /// Whether `generated-at` was too far from the time of receipt.
    pub stale: bool,
    /// The notification's body as received.
    pub notification: Bytes,
    /// What was fetched, in the order of the links.
    pub resources: Vec<Resource>,
    /// What never came.
    pub missing: Vec<Missing>,
}

/// The fetched answer of one link.
#[derive(Clone)]
pub struct Resource {
    /// The link's group.
    pub group: LinkGroup,
    /// The link's address as sent.
    pub href: String,
    /// The status of the answer.
    pub http_status: u16,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// JSON, as answered.
    pub body: Bytes,
}

/// A link that was not fetched, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The link's group.
    pub group: LinkGroup,
    /// The link's address as sent.
    pub href: String,
    /// Why; says nothing of the content.
    pub reason: String,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("id", &self.id)
            .field("content", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("group", &self.group)
            .field("body", &"[redacted]")
            .finish_non_exhaustive()
    }
}
