//! Work that was claimed, or handed over at its receipt: the lease, and all that is needed to do it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Kept, Lease, LinkRecord, NewEvent, Task};
use crate::domain::{
    Clock, Document, EncounterId, EventId, Expectation, LinkState, Millis, Notification, Resource,
    Sequence, Session, SessionId, Source,
};

/// What to claim: of these kinds in their order, at most so many of each, and of all together.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What is due by then.
    pub now: Millis,
    /// Which tasks, those of a kind together, and at most how many of each kind.
    pub tasks: Vec<(Vec<Task>, usize)>,
    /// At most how many of all.
    pub limit: usize,
}

/// A piece of work.
#[derive(Debug)]
pub enum Claimed {
    /// An event to be retrieved or handed over.
    Event(Box<ClaimedEvent>),
    /// A delivery.
    Delivery(ClaimedDelivery),
    /// An event to ask for late content of.
    Late(Box<LateEvent>),
}

impl Claimed {
    /// The right to do it.
    pub fn lease(&self) -> &Lease {
        match self {
            Self::Event(event) => &event.lease,
            Self::Delivery(delivery) => &delivery.lease,
            Self::Late(late) => &late.lease,
        }
    }
}

/// What was received. It never changes.
#[derive(Clone)]
pub struct Receipt {
    /// The event's id.
    pub id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// How it came in.
    pub source: Source,
    /// Whether it was sent too long before.
    pub stale: bool,
    /// The session it is about.
    pub session_id: SessionId,
    /// The session's encounter.
    pub encounter_id: Option<EncounterId>,
    /// `status` as sent.
    pub status: Option<String>,
    /// The vendor's error code, for a failure.
    pub error_code: Option<String>,
    /// The notification as received; empty where there was none.
    pub body: Bytes,
    /// Which version of the event it is, from 1.
    pub revision: u32,
    /// The event that it replaces.
    pub replaces: Option<EventId>,
    /// What was expected of its session.
    pub expected: Option<Expectation>,
    /// Its place among the events of its session and of its encounter, where that was looked up.
    pub sequence: Option<Sequence>,
}

impl Receipt {
    /// The notification, read; what stands in its place where there was none. `None` where the bytes are none any more.
    pub(super) fn notification(&self, found: &Found) -> Option<Arc<Notification>> {
        if self.body.is_empty() {
            return Some(Arc::new(Notification::recovered(
                self.session_id.clone(),
                self.encounter_id.clone(),
                found.session.outcome,
                found.session.kind,
            )));
        }
        Notification::parse(self.body.clone()).ok().map(Arc::new)
    }

    /// Whether it is a notification that came after its session was recovered by asking.
    pub fn is_late(&self) -> bool {
        self.source == Source::Webhook && self.replaces.is_some()
    }

    /// What is to be delivered, with what was found.
    pub fn document(&self, found: &Found) -> Document {
        let mut document = Document {
            id: self.id,
            received_at: self.received_at,
            session_id: self.session_id.clone(),
            encounter_id: self.encounter_id.clone(),
            status: self.status.clone(),
            outcome: found.session.outcome,
            error_code: self.error_code.clone(),
            session_status: found.session.status.clone(),
            source: self.source,
            revision: self.revision,
            replaces: self.replaces,
            stale: self.stale,
            notification: (!self.body.is_empty()).then(|| self.body.clone()),
            expected: self.expected.clone(),
            sequence: self.sequence,
            resources: Vec::new(),
            missing: Vec::new(),
        };
        for Linked { link, body } in &found.links {
            let (group, href, reason) =
                (link.group.clone(), link.href.clone(), link.reason.clone());
            match (body, link.state) {
                (Some(body), LinkState::Fetched) => document.add_resource(
                    Resource {
                        group,
                        href,
                        http_status: link.http_status.unwrap_or_default(),
                        fetched_at: link.fetched_at.unwrap_or_default(),
                        body: body.clone(),
                    },
                    reason,
                ),
                (_, state) => document.add_unfetched(state, group, href, reason),
            }
        }
        document
    }
}

/// What is known of an event beyond its receipt.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is known of its session.
    pub session: Session,
    /// The links that were planned, with what was fetched; empty before the first attempt.
    pub links: Vec<Linked>,
}

/// A link with what it led to.
#[derive(Clone, PartialEq, Eq)]
pub struct Linked {
    /// Where it stands.
    pub link: LinkRecord,
    /// The answer as it came, where it was fetched.
    pub body: Option<Bytes>,
}

/// An event to be worked on, with all that is needed to go on where the last attempt stopped.
pub struct ClaimedEvent {
    /// The right to work on it.
    pub lease: Lease,
    /// When this run of attempts began; a replay begins a new one.
    pub started_at: Millis,
    /// For how long this run has been tried while the vendor's API answered.
    pub tried_for: Duration,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What was received.
    pub receipt: Receipt,
    /// The same, read. `None` where the bytes are none any more.
    pub notification: Option<Arc<Notification>>,
    /// What is known so far.
    pub found: Found,
}

impl ClaimedEvent {
    /// An event that was kept just now.
    pub(super) fn new(
        event: &NewEvent,
        notification: &Arc<Notification>,
        kept: &Kept,
        lease: &Lease,
        clock: Clock,
    ) -> Self {
        Self {
            lease: lease.clone(),
            started_at: clock.monotonic(),
            tried_for: Duration::ZERO,
            attempt: 1,
            receipt: Receipt {
                id: event.id,
                received_at: event.received_at,
                source: event.source,
                stale: event.stale,
                session_id: notification.session_id.clone(),
                encounter_id: notification.encounter_id.clone(),
                status: notification.status().map(str::to_owned),
                error_code: notification.error_code().map(str::to_owned),
                body: notification.body.clone(),
                // The store counts revisions where there are any.
                revision: if kept.amends.is_some() { 2 } else { 1 },
                replaces: kept.amends,
                expected: kept.expected.clone(),
                sequence: None,
            },
            notification: Some(Arc::clone(notification)),
            found: Found {
                session: Session {
                    outcome: notification.outcome(),
                    kind: notification.kind(),
                    status: None,
                },
                links: Vec::new(),
            },
        }
    }
}

/// A delivery to be made.
pub struct ClaimedDelivery {
    /// The right to make it.
    pub lease: Lease,
    /// When this run of attempts began.
    pub started_at: Millis,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What is to be delivered.
    pub document: Arc<Document>,
}

/// What of an event is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// What it was delivered without.
    Missing,
    /// That, and what it must have where it was fetched well before: the vendor told of the event again, at this time.
    Repeated(Millis),
    /// All of it: somebody asked for that, at this time.
    Asked(Millis),
}

impl Again {
    /// From the stored word and time.
    pub(super) fn of(cause: Option<&str>, noted_at: Option<Millis>) -> Self {
        match (cause, noted_at) {
            (Some("repeat"), Some(at)) => Self::Repeated(at),
            (Some("asked"), Some(at)) => Self::Asked(at),
            _ => Self::Missing,
        }
    }

    /// Up to when the vendor, or somebody, has told of another note.
    pub fn noted_at(self) -> Option<Millis> {
        match self {
            Self::Missing => None,
            Self::Repeated(at) | Self::Asked(at) => Some(at),
        }
    }
}

/// An event that was delivered, to ask for something of it again.
pub struct LateEvent {
    /// The right to do so.
    pub lease: Lease,
    /// Its id.
    pub id: EventId,
    /// What it was received as.
    pub receipt: Receipt,
    /// What is asked for.
    pub again: Again,
    /// When it was retrieved.
    pub retrieved_at: Millis,
    /// What was found.
    pub found: Found,
}

/// Prints no clinical content.
macro_rules! redacted {
    ($($name:ident: $id:expr),+ $(,)?) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let id: fn(&Self) -> EventId = $id;
                f.debug_struct(stringify!($name))
                    .field("id", &id(self))
                    .field("content", &"[redacted]")
                    .finish_non_exhaustive()
            }
        }
    )+};
}

redacted! {
    Receipt: |it| it.id,
    ClaimedEvent: |it| it.receipt.id,
    ClaimedDelivery: |it| it.document.id,
    LateEvent: |it| it.id,
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("link", &self.link)
            .field("body", &"[redacted]")
            .finish()
    }
}
