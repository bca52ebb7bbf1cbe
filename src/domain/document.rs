//! The document to deliver: a notification with everything that was fetched for it. Its `Debug` output has no clinical
//! content.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    EncounterId, EventId, Expectation, LinkGroup, LinkState, Outcome, SessionId, Source, json,
};

/// One event, ready to be delivered.
#[derive(Clone)]
pub struct Document {
    /// The event's id, which is the idempotency key of its deliveries.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// The session.
    pub session_id: SessionId,
    /// The encounter of the session.
    pub encounter_id: Option<EncounterId>,
    /// `status` as sent.
    pub status: Option<String>,
    /// The session's outcome.
    pub outcome: Outcome,
    /// The vendor's error code, for a failure.
    pub error_code: Option<String>,
    /// The session's status in the vendor's word, if the status endpoint was called.
    pub session_status: Option<String>,
    /// How the event entered the service.
    pub source: Source,
    /// The revision of the event, from 1.
    pub revision: u32,
    /// The event that this one replaces.
    pub replaces: Option<EventId>,
    /// Whether the notification was stale: `generated-at` was too far from its receipt.
    pub stale: bool,
    /// The notification's body as received. `None` for an event that was recovered by polling.
    pub notification: Option<Bytes>,
    /// The expectation that was registered for the session.
    pub expected: Option<Expectation>,
    /// Its place among the events of its session and of its encounter.
    pub sequence: Option<Sequence>,
    /// What was fetched, in the order of the links.
    pub resources: Vec<Resource>,
    /// What could not be fetched.
    pub missing: Vec<Missing>,
}

/// The place of an event among those of its session and of its encounter, each counted from 1 in order of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Among those of its session.
    pub session: u64,
    /// Among those of its encounter, if it has one.
    pub encounter: Option<u64>,
}

/// The fetched answer of one link.
#[derive(Clone)]
pub struct Resource {
    /// The link's group.
    pub group: LinkGroup,
    /// The link's address as sent.
    pub href: String,
    /// The HTTP status.
    pub http_status: u16,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The answer's body: JSON, perhaps not valid UTF-8, or empty.
    pub body: Bytes,
}

/// A link that was not fetched, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The link's group.
    pub group: LinkGroup,
    /// The link's address as sent.
    pub href: String,
    /// Why, without any content.
    pub reason: String,
}

impl Document {
    /// Adds a fetched answer. With a remark, it is also listed in `missing`; an answer without content is then listed
    /// only there.
    pub fn add_resource(&mut self, resource: Resource, remark: Option<String>) {
        let holds_nothing = remark.is_some() && json::is_nothing(&resource.body);
        if let Some(reason) = remark {
            self.missing.push(Missing {
                group: resource.group.clone(),
                href: resource.href.clone(),
                reason,
            });
        }
        if !holds_nothing {
            self.resources.push(resource);
        }
    }

    /// Adds a link that was not fetched. A link that is still pending is not listed as missing.
    pub fn add_unfetched(
        &mut self,
        state: LinkState,
        group: LinkGroup,
        href: String,
        reason: Option<String>,
    ) {
        if state != LinkState::Pending {
            self.missing.push(Missing {
                group,
                href,
                reason: reason.unwrap_or_default(),
            });
        }
    }
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
