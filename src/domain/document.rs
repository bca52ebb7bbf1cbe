//! What is delivered: a notification with all that was fetched for it. Prints no clinical content.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    EncounterId, EventId, Expectation, LinkGroup, LinkState, Outcome, SessionId, Source, json,
};

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
    /// How the event came in.
    pub source: Source,
    /// Which version of the event this is, from 1.
    pub revision: u32,
    /// The event that it replaces.
    pub replaces: Option<EventId>,
    /// Whether `generated-at` was too far from the time of receipt.
    pub stale: bool,
    /// The notification's body as received. `None` where the session's end was found by asking.
    pub notification: Option<Bytes>,
    /// What was expected of the session.
    pub expected: Option<Expectation>,
    /// Its place among the events of its session and of its encounter.
    pub sequence: Option<Sequence>,
    /// What was fetched, in the order of the links.
    pub resources: Vec<Resource>,
    /// What never came.
    pub missing: Vec<Missing>,
}

/// The place of an event among those of its session and of its encounter, each from 1, in the order of their receipt.
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
    /// The status of the answer.
    pub http_status: u16,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// As answered: JSON, but perhaps not UTF-8; nothing at all where the answer was empty.
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

impl Document {
    /// Adds what was fetched. A remark names it in `missing` as well; of an answer that held nothing only that is left.
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

    /// Adds a link that was not fetched. One that still may be is not missing.
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
