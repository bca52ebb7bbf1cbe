//! What is asked for again after an event was delivered without it, and what goes out when it came.

use std::fmt;

use jiff::Timestamp;

use super::{EventLease, Link, LinkUpdate};
use crate::domain::{EventId, Millis, Outcome};

/// An event that was delivered without something, claimed to ask for that again.
pub struct LateEvent {
    /// The right to do so, until a replay or another claim takes it.
    pub lease: EventLease,
    /// Its id.
    pub id: EventId,
    /// When it was retrieved.
    pub retrieved_at: Millis,
    /// How the session ended.
    pub outcome: Outcome,
    /// Its links.
    pub links: Vec<Link>,
}

impl fmt::Debug for LateEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateEvent")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
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
    /// From when on.
    pub at: Millis,
    /// What came.
    pub links: Vec<LinkUpdate>,
}
