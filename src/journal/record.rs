//! What goes into the journal and what operators see of it: new events and views.
//!
//! Types with clinical content print `[redacted]`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::Lease;
use crate::domain::{
    Cause, DedupeKey, DeliveryState, EncounterId, EventId, EventState, Expectation, LinkCause,
    LinkGroup, LinkState, Malformed, Notification, Outcome, SessionId, SessionKind, Source,
};

/// An event to keep. Made by [`super::Journal`] alone, from bytes that were verified.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// When the vendor says that it was sent.
    pub generated_at: Option<Timestamp>,
    /// How it came in.
    pub source: Source,
    /// Whether `generated_at` was too far from `received_at`.
    pub stale: bool,
    /// What came.
    pub content: NewContent,
}

/// What came.
#[derive(Clone)]
pub enum NewContent {
    /// A notification.
    Notification(Arc<Notification>),
    /// Authentic bytes that are none.
    Malformed {
        /// The bytes as received.
        body: Bytes,
        /// Their key.
        dedupe: DedupeKey,
        /// Why they are none.
        malformed: Malformed,
    },
}

impl fmt::Debug for NewContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How an event was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is new.
    New(EventId),
    /// It was there already, under this id.
    Duplicate(EventId),
}

/// One link of an event as it stands: planned, refused, fetched or given up. What the vendor sent is a
/// [`crate::domain::Link`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// Its number within the event, from 0.
    pub n: u32,
    /// Its group.
    pub group: LinkGroup,
    /// Its address as sent.
    pub href: String,
    /// Where it stands.
    pub state: LinkState,
    /// The last answer's status.
    pub http_status: Option<u16>,
    /// Size of the stored body.
    pub bytes: Option<u64>,
    /// When it was fetched.
    pub fetched_at: Option<Timestamp>,
    /// How long the last call took.
    pub took: Option<Duration>,
    /// The instance that fetched it, where that was written down.
    pub instance: Option<String>,
    /// Why it is not fetched, for people.
    pub reason: Option<String>,
    /// Why it will not be, or what it lacks.
    pub cause: Option<LinkCause>,
}

impl LinkRecord {
    /// One that stands so, and of which nothing else is known.
    pub fn new(n: u32, group: LinkGroup, href: String, state: LinkState) -> Self {
        Self {
            n,
            group,
            href,
            state,
            http_status: None,
            bytes: None,
            fetched_at: None,
            took: None,
            instance: None,
            reason: None,
            cause: None,
        }
    }
}

/// A kept event, and the right to work on it where this instance holds it from its receipt on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// How it was kept.
    pub appended: Appended,
    /// The right.
    pub lease: Option<Lease>,
    /// What was expected of its session.
    pub expected: Option<Expectation>,
    /// The event that was recovered by asking before this notification came.
    pub amends: Option<EventId>,
}

impl Kept {
    /// Kept, and nobody expected it.
    pub(super) fn new(appended: Appended, lease: Option<Lease>) -> Self {
        Self {
            appended,
            lease,
            expected: None,
            amends: None,
        }
    }
}

/// An event without clinical content, as operators see it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the admin API's Event, field by field")]
pub struct Event {
    pub id: EventId,
    pub received_at: Timestamp,
    pub generated_at: Option<Timestamp>,
    pub source: Source,
    pub outcome: Outcome,
    pub status: Option<String>,
    pub session_id: Option<SessionId>,
    pub encounter_id: Option<EncounterId>,
    pub kind: SessionKind,
    pub session_status: Option<String>,
    pub state: EventState,
    pub stale: bool,
    pub attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub cause: Option<Cause>,
    pub error_code: Option<String>,
    pub content_purged: bool,
    pub same_as: Option<EventId>,
}

/// An event with its links, deliveries and the attempts that did not succeed.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct EventDetail {
    pub event: Event,
    pub links: Vec<LinkRecord>,
    pub deliveries: Vec<Delivery>,
    pub attempts: Vec<Attempt>,
}

impl EventDetail {
    /// The sinks that it was, is or failed to be delivered to.
    pub fn sinks(&self) -> Vec<String> {
        let deliveries = self.deliveries.iter();
        deliveries.map(|delivery| delivery.sink.clone()).collect()
    }
}

/// One sink's standing for one event.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the admin API's delivery, field by field")]
pub struct Delivery {
    pub sink: String,
    pub state: DeliveryState,
    pub attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub applied_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub cause: Option<Cause>,
    pub http_status: Option<u16>,
    pub took: Option<Duration>,
    pub instance: Option<String>,
}

/// One line of an event's history that no other column tells: a failed attempt, a replay, a purge.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What: `retrieve`, `deliver to SINK`, `replay`, `purge`.
    pub what: String,
    /// How it ended or who did it.
    pub detail: String,
    /// Of which sort it is, where it did not succeed.
    pub cause: Option<Cause>,
    /// The status of the answer, when it was an HTTP answer.
    pub http_status: Option<u16>,
    /// How long it took.
    pub took: Option<Duration>,
    /// The instance that made it; none of what somebody did.
    pub instance: Option<String>,
}

/// A page of a list. It may have fewer events than were asked for, or none, and still not be the last: a look goes through
/// so many events and no more.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page starts, when there is more to look through.
    pub next: Option<i64>,
}

/// Where a replay starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Fetch everything anew, then deliver.
    Retrieve,
    /// Deliver what was fetched.
    Deliver,
}

impl ReplayFrom {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Retrieve, Self::Deliver];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retrieve => "retrieve",
            Self::Deliver => "deliver",
        }
    }

    /// The one of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|from| from.as_str() == word)
    }
}

/// What came of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is due now.
    Scheduled,
    /// There is no such event.
    NotFound,
    /// Its content is purged, or it is no notification.
    NoContent,
    /// It was never retrieved; replay it from there.
    NotRetrieved,
}

/// Deliveries that wait for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The sink.
    pub sink: String,
    /// How many there are.
    pub count: u64,
    /// When the event of the oldest was received.
    pub since: Timestamp,
}

/// How large a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// The store itself, in bytes.
    pub bytes: u64,
    /// Its write-ahead log, in bytes, where that is a file beside it.
    pub wal_bytes: Option<u64>,
}

/// What came of a confirmation that an event was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is written down; a second time it stays as it is.
    Noted,
    /// There is no such event.
    NotFound,
    /// The sink does not have it.
    NotDelivered,
}

/// How many events stand where.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// By state.
    pub events: Vec<(EventState, u64)>,
    /// When the oldest one in progress was received.
    pub oldest_pending: Option<Timestamp>,
    /// Requests that were refused as not authentic and are kept.
    pub rejected: u64,
}

impl Stats {
    /// How many are in this state.
    pub fn count(&self, state: EventState) -> u64 {
        let of_it = self.events.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
    }

    /// Shows those as retrieving that are being worked on, though nobody has looked at them before.
    pub(super) fn show_begun(&mut self, begun: u64) {
        for (state, n) in &mut self.events {
            match state {
                EventState::Received => *n = n.saturating_sub(begun),
                EventState::Retrieving => *n += begun,
                _ => {}
            }
        }
    }

    /// Shows those as purged that were, in place of the state that they had.
    pub(super) fn show_purged(&mut self, purged: &[(EventState, u64)]) {
        let mut all = 0;
        for (state, count) in purged {
            for (known, n) in &mut self.events {
                if known == state {
                    *n = n.saturating_sub(*count);
                }
            }
            all += count;
        }
        self.events.push((EventState::Purged, all));
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.events.iter().map(|(_, count)| count).sum()
    }
}

/// One read of clinical content, or one change by an operator.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub event: Option<EventId>,
    pub reason: Option<String>,
}

/// Which audit entries to list. An empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the admin API's query, field by field")]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub event: Option<EventId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// A page of the audit log, newest first.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where the next page starts, when there is one.
    pub next: Option<i64>,
}
