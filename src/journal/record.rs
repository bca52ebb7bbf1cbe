//! What goes into the journal and what comes out: receipts, claims, results and views.
//!
//! Types with clinical content print `[redacted]`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::{
    DedupeKey, DeliveryState, EncounterId, EventId, EventState, LinkGroup, LinkState, Millis,
    Notification, Outcome, SessionId, SessionKind, Source,
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
    Notification(Box<Notification>),
    /// Authentic bytes that are none.
    Junk {
        /// The bytes as received.
        body: Bytes,
        /// Their key.
        dedupe: DedupeKey,
        /// Why they are none.
        reason: String,
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

/// The right to work on an event until another claim or a replay takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLease {
    pub(super) event: i64,
    pub(super) fence: i64,
}

impl EventLease {
    /// Whether it is the event's first, so that nothing was written of it before.
    pub fn is_first(self) -> bool {
        self.fence == 1
    }
}

/// The right to deliver an event to one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLease {
    pub(super) event: i64,
    pub(super) sink: String,
    pub(super) fence: i64,
}

/// Which due events to claim, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// What is due by then is claimed.
    pub now: Millis,
    /// The lease ends then.
    pub until: Millis,
    /// Most to claim.
    pub limit: usize,
}

/// A claimed event, with all that is needed to go on where the last attempt stopped.
pub struct ClaimedEvent {
    /// The right to work on it.
    pub lease: EventLease,
    /// Whether the vendor's API has to be asked before it can be delivered.
    pub needs_sdp: bool,
    /// Its id.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// When this run of attempts began; a replay begins a new one.
    pub started_at: Millis,
    /// For how long this run has been tried while the vendor's API answered.
    pub tried_for: Duration,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How it came in.
    pub source: Source,
    /// The vendor's error code, for a failure.
    pub error_code: Option<String>,
    /// The outcome so far: as the notification says, or as settled since.
    pub outcome: Outcome,
    /// The kind of session so far.
    pub kind: SessionKind,
    /// The session's state, where the status endpoint was asked.
    pub session_status: Option<String>,
    /// The notification as received.
    pub body: Bytes,
    /// The session it is about.
    pub session_id: String,
    /// The session's encounter.
    pub encounter_id: Option<String>,
    /// `status` as sent.
    pub status: Option<String>,
    /// The links planned so far, with their state; empty at the first attempt.
    pub links: Vec<Link>,
}

impl fmt::Debug for ClaimedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedEvent")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// One link as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
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
    /// Why it is not fetched.
    pub reason: Option<String>,
}

/// A link's new standing, with the body where it was fetched.
#[derive(Clone)]
pub struct LinkUpdate {
    /// Its new standing.
    pub link: Link,
    /// The answer as it came.
    pub body: Option<Bytes>,
}

impl fmt::Debug for LinkUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkUpdate")
            .field("link", &self.link)
            .field("body", &"[redacted]")
            .finish()
    }
}

/// How an attempt at retrieving ended.
#[derive(Debug, Clone)]
pub enum Retrieval {
    /// What there is, is there: hand it to these sinks.
    Deliver {
        /// The outcome as settled.
        outcome: Outcome,
        /// The kind of session as found.
        kind: SessionKind,
        /// The session's state, where it was asked.
        session_status: Option<String>,
        /// The sinks that want it.
        sinks: Vec<String>,
        /// From when on they may have it.
        at: Millis,
        /// When what is missing is asked for again.
        refresh_at: Option<Millis>,
    },
    /// Try again later; what was settled so far is kept.
    Retry {
        /// The outcome so far.
        outcome: Outcome,
        /// The kind so far.
        kind: SessionKind,
        /// The session's state so far.
        session_status: Option<String>,
        /// When.
        at: Millis,
        /// For how long it will have been tried by then, counting only while the vendor's API answers.
        tried_for: Duration,
        /// Why.
        reason: String,
        /// Sinks that want the notification alone and did not have it yet, since how the session ended was not known.
        sinks: Vec<String>,
    },
    /// Not tried: these sinks have it at once, and retrieving is due again. The attempt does not count.
    Announced {
        /// The sinks that want the notification alone.
        sinks: Vec<String>,
        /// From when on.
        at: Millis,
    },
    /// Given up.
    Dead {
        /// Why.
        reason: String,
        /// The sinks that want the notification alone, and have it all the same.
        sinks: Vec<String>,
        /// From when on.
        at: Millis,
    },
}

/// Whether the lease still stood when its result was written. A lost one means that someone else has the event now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It stood, and the result is kept.
    Kept,
    /// It did not, and nothing was written.
    Lost,
}

/// A claimed delivery.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The right to deliver it.
    pub lease: DeliveryLease,
    /// The event.
    pub id: EventId,
    /// When this run of attempts began.
    pub started_at: Millis,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// How a delivery attempt ended.
#[derive(Debug, Clone)]
pub enum DeliveryEnd {
    /// The sink has it.
    Delivered {
        /// Since when.
        at: Timestamp,
    },
    /// Try again later.
    Retry {
        /// When.
        at: Millis,
        /// Why.
        reason: String,
    },
    /// Rejected or given up.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Whether a delivery's end was kept, and whether the event ended with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Kept; other sinks are still pending, or this one is.
    NotYet,
    /// Kept, and it was the last: the event is now `done` or `dead`.
    Event(EventState),
    /// Someone else has it; nothing was written.
    Lost,
}

/// An event without clinical content, as operators see it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the contract's Event, field by field")]
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
    pub error_code: Option<String>,
    pub content_purged: bool,
}

/// An event with its links, deliveries and the attempts that did not succeed.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct EventDetail {
    pub event: Event,
    pub links: Vec<Link>,
    pub deliveries: Vec<Delivery>,
    pub attempts: Vec<Attempt>,
}

/// One sink's standing for one event.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the contract's delivery, field by field")]
pub struct Delivery {
    pub sink: String,
    pub state: DeliveryState,
    pub attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub last_error: Option<String>,
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
}

/// What to list. An empty filter lists all.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the contract's query, field by field")]
pub struct Filter {
    pub state: Option<EventState>,
    pub outcome: Option<Outcome>,
    pub session_id: Option<String>,
    pub encounter_id: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page starts, when there is one.
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

/// How many events stand where.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// By state.
    pub events: Vec<(EventState, u64)>,
    /// When the oldest one in progress was received.
    pub oldest_pending: Option<Timestamp>,
    /// Requests that were refused as not authentic and are kept.
    pub unauthentic: u64,
}

impl Stats {
    /// How many are in this state.
    pub fn count(&self, state: EventState) -> u64 {
        let of_it = self.events.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
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
}
