//! Claimed work: the lease, and all the data that the work needs. Work comes from a claim, or from the intake at
//! receipt.

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

/// What to claim: the kinds of task in order of preference, with a limit for each and a limit for all together.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Claims what is due at this time.
    pub now: Millis,
    /// Groups of tasks, and the limit of each group.
    pub tasks: Vec<(Vec<Task>, usize)>,
    /// The limit for all groups together.
    pub limit: usize,
}

/// A claimed piece of work.
#[derive(Debug)]
pub enum Claimed {
    /// An event to retrieve, or to forward without retrieval.
    Event(Box<ClaimedEvent>),
    /// A delivery.
    Delivery(ClaimedDelivery),
    /// A delivered event whose late content is to be fetched.
    Late(Box<LateEvent>),
}

impl Claimed {
    /// The lease on this work.
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
    /// How the event entered the service.
    pub source: Source,
    /// Whether the notification was stale: `generated-at` was too far from its receipt.
    pub stale: bool,
    /// The session.
    pub session_id: SessionId,
    /// The encounter of the session.
    pub encounter_id: Option<EncounterId>,
    /// `status` as sent.
    pub status: Option<String>,
    /// The vendor's error code, for a failure.
    pub error_code: Option<String>,
    /// The notification's bytes as received; empty for an event that was recovered by polling.
    pub body: Bytes,
    /// The revision of the event, from 1.
    pub revision: u32,
    /// The event that this one replaces.
    pub replaces: Option<EventId>,
    /// The expectation that was registered for the session.
    pub expected: Option<Expectation>,
    /// Its place among the events of its session and of its encounter, if it was looked up.
    pub sequence: Option<Sequence>,
}

impl Receipt {
    /// The parsed notification, or a substitute for an event that was recovered by polling. `None` when the bytes no
    /// longer parse as a notification.
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

    /// Whether this notification came after its session had been recovered by polling.
    pub fn is_late(&self) -> bool {
        self.source == Source::Webhook && self.replaces.is_some()
    }

    /// The document to deliver, made from this receipt and from what was retrieved.
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

/// What was retrieved for an event.
#[derive(Debug, Clone)]
pub struct Found {
    /// The session's state.
    pub session: Session,
    /// The planned links, with what was fetched; empty before the first attempt.
    pub links: Vec<Linked>,
}

/// A link, with the answer that was fetched from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Linked {
    /// The link and its state.
    pub link: LinkRecord,
    /// The answer's body as received, if it was fetched.
    pub body: Option<Bytes>,
}

/// A claimed event, with all that is needed to resume where the last attempt stopped.
pub struct ClaimedEvent {
    /// The lease on the event.
    pub lease: Lease,
    /// When this run of attempts began; a replay begins a new run.
    pub started_at: Millis,
    /// How long this run has been trying, counting only time in which the vendor's API answered.
    pub tried_for: Duration,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// What was received.
    pub receipt: Receipt,
    /// The parsed notification. `None` when the bytes no longer parse as one.
    pub notification: Option<Arc<Notification>>,
    /// What has been retrieved so far.
    pub found: Found,
}

impl ClaimedEvent {
    /// A newly stored event.
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
                // A late notification amends the recovered event, which is the first revision.
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

/// A claimed delivery.
pub struct ClaimedDelivery {
    /// The lease on the delivery.
    pub lease: Lease,
    /// When this run of attempts began.
    pub started_at: Millis,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// What to deliver.
    pub document: Arc<Document>,
}

/// Which content of a delivered event is fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The content that was missing at its delivery.
    Missing,
    /// The missing content, and required content that was fetched well before this time, at which the vendor sent the
    /// same notification again.
    Repeated(Millis),
    /// All content, because somebody asked for it at this time.
    Asked(Millis),
}

impl Again {
    /// Decodes the stored cause and time.
    pub(super) fn of(cause: Option<&str>, noted_at: Option<Millis>) -> Self {
        match (cause, noted_at) {
            (Some("repeat"), Some(at)) => Self::Repeated(at),
            (Some("asked"), Some(at)) => Self::Asked(at),
            _ => Self::Missing,
        }
    }

    /// The stored form of the cause.
    pub(super) fn cause(self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Repeated(_) => Some("repeat"),
            Self::Asked(_) => Some("asked"),
        }
    }

    /// The time of the repeated notification or of the request for which content is fetched again.
    pub fn noted_at(self) -> Option<Millis> {
        match self {
            Self::Missing => None,
            Self::Repeated(at) | Self::Asked(at) => Some(at),
        }
    }
}

/// A delivered event that has content to fetch again.
pub struct LateEvent {
    /// The lease on this work.
    pub lease: Lease,
    /// The event's id.
    pub id: EventId,
    /// What was received.
    pub receipt: Receipt,
    /// Which content to fetch again.
    pub again: Again,
    /// When the event was retrieved.
    pub retrieved_at: Millis,
    /// What was retrieved.
    pub found: Found,
}

/// Implements `Debug` without clinical content.
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
