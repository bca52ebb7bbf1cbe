//! How work ended, and what came of writing that down.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Found, Lease};
use crate::domain::{EventId, EventState, Millis, Reason, Sequence};

/// The end of a piece of work.
#[derive(Debug, Clone)]
pub struct End {
    /// The right under which it was done.
    pub lease: Lease,
    /// How it ended.
    pub how: How,
    /// How long it took.
    pub took: Duration,
    /// The name of the instance that did it.
    pub instance: Arc<str>,
}

/// How a piece of work ended.
#[derive(Debug, Clone)]
pub enum How {
    /// An attempt at retrieving, or handing over.
    Retrieval(Box<Retrieval>),
    /// A delivery attempt.
    Delivery(DeliveryEnd),
    /// A look for late or new content. The next one is at `next`, at the amended event if there is one; at once where the
    /// vendor has told of another note since.
    Look {
        /// When to look again.
        next: Option<Millis>,
        /// Up to when the vendor had told of notes when the look began.
        noted_at: Option<Millis>,
        /// When to look again for that, where it could not be looked at all of it.
        retry_at: Option<Millis>,
        /// What was seen.
        seen: Seen,
    },
    /// Not done: it is due again at once, and does not count as an attempt.
    GivenBack,
}

/// What a look for late or new content saw.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Nothing that is worth writing down.
    Nothing,
    /// The same as before, fetched now.
    Same(Box<Found>),
    /// Something else: it goes out as an amendment.
    Amended(Box<Amendment>),
}

/// How an attempt at retrieving ended.
#[derive(Debug, Clone)]
pub enum Retrieval {
    /// What there is, is there, and another event has had it delivered: nothing is delivered.
    Same {
        /// What was found.
        found: Found,
        /// The other event.
        same_as: EventId,
    },
    /// What there is, is there: hand it to these sinks.
    Deliver {
        /// What was found.
        found: Found,
        /// The sinks that want it.
        sinks: Vec<Planned>,
        /// When what is missing is asked for again.
        refresh_at: Option<Millis>,
    },
    /// Try again later; what was found so far is kept.
    Retry {
        /// What was found so far.
        found: Found,
        /// When.
        at: Millis,
        /// For how long it will have been tried by then, counting only while the vendor's API answers.
        tried_for: Duration,
        /// Why.
        reason: Reason,
        /// Sinks that want the notification alone and did not have it yet, since how the session ended was not known.
        sinks: Vec<String>,
    },
    /// Not tried: these sinks have it at once, and retrieving is due.
    Announced {
        /// The sinks that want the notification alone.
        sinks: Vec<String>,
    },
    /// Given up.
    Dead {
        /// What was found so far.
        found: Found,
        /// Why.
        reason: Reason,
        /// The sinks that want the notification alone, and have it all the same.
        sinks: Vec<String>,
    },
}

/// A sink that an event is to be delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub sink: String,
    /// Whether this instance delivers it itself, at once.
    pub is_held: bool,
}

/// How a delivery attempt ended.
#[derive(Debug, Clone)]
pub enum DeliveryEnd {
    /// The sink has it.
    Delivered {
        /// Since when.
        at: Timestamp,
        /// Until when its target should have confirmed that it applied it, if it is to.
        applied_by: Option<Millis>,
    },
    /// Try again later.
    Retry {
        /// When.
        at: Millis,
        /// Why.
        reason: Reason,
    },
    /// Rejected or given up.
    Dead {
        /// Why.
        reason: Reason,
    },
}

/// An event that replaces another: the same with more of its links fetched.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// Its own id.
    pub id: EventId,
    /// When it came about.
    pub received_at: Timestamp,
    /// The sinks that get it.
    pub sinks: Vec<String>,
    /// What was found, with what came.
    pub found: Found,
}

/// Whether an end was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The lease stood, and it was.
    Kept {
        /// The event is over with it, and so.
        event: Option<EventState>,
        /// The deliveries that this instance now holds.
        deliveries: Vec<Lease>,
        /// The event's place among others, where there are such deliveries.
        sequence: Option<Sequence>,
    },
    /// It did not: someone else has the work now, or it is no more. Nothing was written.
    Lost,
}

impl Ended {
    /// Kept, and nothing follows from it here.
    pub(super) fn kept(event: Option<EventState>) -> Self {
        Self::Kept {
            event,
            deliveries: Vec::new(),
            sequence: None,
        }
    }
}
