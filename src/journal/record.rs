//! What is written into the journal and what operators read from it: new events and views.
//!
//! The `Debug` output of types with clinical content is `[redacted]`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::Lease;
use crate::domain::{
    Cause, DedupeKey, DeliveryState, EncounterId, EventId, EventState, Expectation, LinkCause,
    LinkGroup, LinkState, Malformed, Notification, Outcome, SessionId, SessionKind, Source, worded,
};

/// An event to store. For a webhook only [`super::Received::read`] makes one, from verified bytes. The spool makes one
/// when it reads back what it stored, and polling makes one for a session that has ended without a notification.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// When the vendor says that the notification was sent.
    pub generated_at: Option<Timestamp>,
    /// How it entered the service.
    pub source: Source,
    /// Whether `generated_at` was too far from `received_at`.
    pub stale: bool,
    /// The content.
    pub content: NewContent,
}

/// The content of a new event.
#[derive(Clone)]
pub enum NewContent {
    /// A notification.
    Notification(Arc<Notification>),
    /// Authentic bytes that are not a notification.
    Malformed {
        /// The bytes as received.
        body: Bytes,
        /// Their deduplication key.
        dedupe: DedupeKey,
        /// Why they are not a notification.
        malformed: Malformed,
    },
}

impl fmt::Debug for NewContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whether an event was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is new.
    New(EventId),
    /// It was stored before, under this id.
    Duplicate(EventId),
}

/// One link of an event, with its state: planned, refused, fetched or given up. The link as the vendor sent it is a
/// [`crate::domain::Link`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// Its number within the event, from 0.
    pub n: u32,
    /// Its group.
    pub group: LinkGroup,
    /// The address as sent.
    pub href: String,
    /// Its state.
    pub state: LinkState,
    /// The HTTP status of the last answer.
    pub http_status: Option<u16>,
    /// Size of the stored body.
    pub bytes: Option<u64>,
    /// When it was fetched.
    pub fetched_at: Option<Timestamp>,
    /// How long the last call took.
    pub took: Option<Duration>,
    /// The instance that fetched it, if that was recorded.
    pub instance: Option<String>,
    /// Why it is not fetched, in words for people.
    pub reason: Option<String>,
    /// Why it will not be fetched, or what its content lacks.
    pub cause: Option<LinkCause>,
}

impl LinkRecord {
    /// A link in this state, with all other fields unset.
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

/// A stored event, with its lease if this instance works on it from its receipt on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whether the event was new.
    pub appended: Appended,
    /// The lease.
    pub lease: Option<Lease>,
    /// The expectation that was registered for its session.
    pub expected: Option<Expectation>,
    /// The event that had been recovered by polling before this notification came.
    pub amends: Option<EventId>,
}

impl Kept {
    /// A stored event whose session was not expected.
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

/// An event with its links, its deliveries and its failed attempts.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct EventDetail {
    pub event: Event,
    pub links: Vec<LinkRecord>,
    pub deliveries: Vec<Delivery>,
    pub attempts: Vec<Attempt>,
}

impl EventDetail {
    /// All sinks that have a delivery of this event, in any state.
    pub fn sinks(&self) -> Vec<String> {
        let deliveries = self.deliveries.iter();
        deliveries.map(|delivery| delivery.sink.clone()).collect()
    }
}

/// The state of an event's delivery to one sink.
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

/// One entry of an event's history that no other column holds: a failed attempt, a replay, a purge.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// One of `retrieve`, `deliver to SINK`, `replay`, `purge`.
    pub what: String,
    /// How it ended, or who did it.
    pub detail: String,
    /// The cause of the failure, if it failed.
    pub cause: Option<Cause>,
    /// The HTTP status, if there was an HTTP answer.
    pub http_status: Option<u16>,
    /// How long it took.
    pub took: Option<Duration>,
    /// The instance that made the attempt; `None` for an operator's action.
    pub instance: Option<String>,
}

/// A page of a list. It may have fewer events than were asked for, or none, without being the last: one query searches
/// only a limited number of events.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// The cursor of the next page, if there are more events to search.
    pub next: Option<i64>,
}

worded! {
    /// The stage at which a replay starts.
    ReplayFrom, "start" {
        /// Fetch everything again, then deliver.
        Retrieve = "retrieve",
        /// Deliver what was fetched before.
        Deliver = "deliver",
    }
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The event is due now.
    Scheduled,
    /// There is no such event.
    NotFound,
    /// Its content is purged, or it is not a notification.
    NoContent,
    /// It was never retrieved; replay it from retrieval.
    NotRetrieved,
}

/// Deliveries that wait for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The sink.
    pub sink: String,
    /// How many there are.
    pub count: u64,
    /// When the oldest of their events was received.
    pub since: Timestamp,
}

/// The size of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// The size of the store itself, in bytes.
    pub bytes: u64,
    /// The size of the write-ahead log in bytes, if it is a separate file.
    pub wal_bytes: Option<u64>,
}

/// The result of a confirmation that an event was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Recorded; repeating it changes nothing.
    Noted,
    /// There is no such event.
    NotFound,
    /// The event was not delivered to the sink.
    NotDelivered,
}

/// The number of events by state.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The number of events in each state.
    pub events: Vec<(EventState, u64)>,
    /// When the oldest event in progress was received.
    pub oldest_pending: Option<Timestamp>,
    /// The number of stored requests that were rejected as not authentic.
    pub rejected: u64,
}

impl Stats {
    /// The number of events in this state.
    pub fn count(&self, state: EventState) -> u64 {
        let of_it = self.events.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
    }

    /// Counts `begun` events as retrieving, not as received: they are being worked on for the first time.
    pub(super) fn show_begun(&mut self, begun: u64) {
        for (state, n) in &mut self.events {
            match state {
                EventState::Received => *n = n.saturating_sub(begun),
                EventState::Retrieving => *n += begun,
                _ => {}
            }
        }
    }

    /// Counts these events as purged, not in the state that they had before.
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

    /// The number of events in all states.
    pub fn total(&self) -> u64 {
        self.events.iter().map(|(_, count)| count).sum()
    }
}

/// An access to clinical content, or a change that an operator made.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub event: Option<EventId>,
    pub reason: Option<String>,
}

/// Filters the audit log. An empty filter lists all entries.
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
    /// The cursor of the next page, if there is one.
    pub next: Option<i64>,
}
