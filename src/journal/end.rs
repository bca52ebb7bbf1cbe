//! How a piece of work ended, and the result of recording that.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Found, Lease};
use crate::domain::{EventId, EventState, Millis, Reason, Sequence};

/// The end of a piece of work.
#[derive(Debug, Clone)]
pub struct End {
    /// The lease under which the work was done.
    pub lease: Lease,
    /// How it ended.
    pub how: How,
    /// How long it took.
    pub took: Duration,
    /// The name of the instance that did the work.
    pub instance: Arc<str>,
}

/// How a piece of work ended.
#[derive(Debug, Clone)]
pub enum How {
    /// An attempt to retrieve an event, or to forward it without retrieval.
    Retrieval(Box<Retrieval>),
    /// A delivery attempt.
    Delivery(DeliveryEnd),
    /// A refresh: another fetch, for late or changed content. The next one is at `next`, for the amended event if there
    /// is one; it is immediate if the vendor has sent the notification again since `noted_at`.
    Refresh {
        /// When to refresh again.
        next: Option<Millis>,
        /// The time of the last repeated notification that this refresh took into account.
        noted_at: Option<Millis>,
        /// When to try again what could not be fetched.
        retry_at: Option<Millis>,
        /// What the refresh found.
        seen: Seen,
    },
    /// Not done: the work is due again at once, and this does not count as an attempt.
    GivenBack,
}

/// The result of a refresh.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Nothing to record.
    Nothing,
    /// The content is the same as before; only the time of the fetch is new.
    Same(Box<Found>),
    /// The content differs, and is delivered as an amendment.
    Amended(Box<Amendment>),
}

/// How an attempt to retrieve an event ended.
#[derive(Debug, Clone)]
pub enum Retrieval {
    /// Retrieved, with nothing new in it: another event has already delivered the same content, so this one is not
    /// delivered.
    Same {
        /// What was retrieved.
        found: Found,
        /// The other event.
        same_as: EventId,
    },
    /// Retrieved: deliver it to these sinks.
    Deliver {
        /// What was retrieved.
        found: Found,
        /// The sinks that want this outcome.
        sinks: Vec<Planned>,
        /// When to fetch the missing content again.
        refresh_at: Option<Millis>,
    },
    /// Try again later. What was retrieved so far is kept.
    Retry {
        /// What was retrieved so far.
        found: Found,
        /// When to try again.
        at: Millis,
        /// The time tried at that point, counting only time in which the vendor's API answered.
        tried_for: Duration,
        /// Why.
        reason: Reason,
        /// The sinks that want only the notification and did not get it yet, because the session's outcome was not
        /// known.
        sinks: Vec<String>,
    },
    /// Retrieval was not tried: these sinks get the notification at once, and retrieval is due.
    Announced {
        /// The sinks that want only the notification.
        sinks: Vec<String>,
    },
    /// Given up: the event is dead.
    Dead {
        /// What was retrieved so far.
        found: Found,
        /// Why.
        reason: Reason,
        /// The sinks that want only the notification. They get it although retrieval failed.
        sinks: Vec<String>,
    },
}

/// A sink to which an event is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The sink's name.
    pub sink: String,
    /// Whether this instance takes the lease and delivers at once.
    pub is_held: bool,
}

/// How a delivery attempt ended.
#[derive(Debug, Clone)]
pub enum DeliveryEnd {
    /// The sink accepted the event.
    Delivered {
        /// When it did.
        at: Timestamp,
        /// The deadline for the target's confirmation that it has applied the event, if one is required.
        applied_by: Option<Millis>,
    },
    /// Try again later.
    Retry {
        /// When to try again.
        at: Millis,
        /// Why.
        reason: Reason,
    },
    /// Rejected by the sink, or given up after retries.
    Dead {
        /// Why.
        reason: Reason,
    },
}

/// An event that replaces an earlier one: the same notification with late or changed content.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// The amendment's own id.
    pub id: EventId,
    /// When it was made.
    pub received_at: Timestamp,
    /// The sinks to deliver it to.
    pub sinks: Vec<String>,
    /// What was retrieved, with the late or changed content.
    pub found: Found,
}

/// Whether an end was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The lease was still valid, and the end was recorded.
    Kept {
        /// The event's final state, if this was its last piece of work.
        event: Option<EventState>,
        /// The leases on deliveries that this instance now holds.
        deliveries: Vec<Lease>,
        /// The event's place among the others of its session and encounter, if there are such deliveries.
        sequence: Option<Sequence>,
    },
    /// The lease was no longer valid: the work was taken over, or no longer exists. Nothing was recorded.
    Lost,
}

impl Ended {
    /// Recorded, with no further work for this instance.
    pub(super) fn kept(event: Option<EventState>) -> Self {
        Self::Kept {
            event,
            deliveries: Vec::new(),
            sequence: None,
        }
    }
}
