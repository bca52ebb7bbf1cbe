//! A session that the partner's software has told of: what is known of it, and where it stands until it has an end.

use bytes::Bytes;
use jiff::Timestamp;

use super::words::worded;
use super::{EncounterId, EventId, SessionId, SessionKind};

worded! {
    /// Where an expected session stands.
    ///
    /// `open -> polling`, and from either of the two to one end: by push, by pull, or by a named reason.
    ExpectedState, "state of a session" {
        /// Its notification is waited for.
        Open = "open",
        /// Its notification is overdue, and its status was asked for.
        Polling = "polling",
        /// Its notification came.
        Met = "met",
        /// Its end was found by asking; its notification never came.
        Recovered = "recovered",
        /// The same, and its notification came afterwards.
        Late = "late",
        /// The vendor never knew it.
        Absent = "absent",
        /// No identity may read it. It is asked for daily.
        Denied = "denied",
        /// It never ended within the time for which it is asked.
        Expired = "expired",
        /// The partner does not expect it any more.
        Withdrawn = "withdrawn",
    }
}

impl ExpectedState {
    /// Whether its end is still waited for: its status is asked for, sooner or later.
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::Open | Self::Polling | Self::Denied)
    }
}

worded! {
    /// How an expected session became known.
    Origin, "origin" {
        /// The partner named it.
        Registered = "registered",
        /// Its id was made here.
        Minted = "minted",
        /// A notification of its encounter named it.
        Sibling = "sibling",
    }
}

/// What is said of a session when it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The vendor's id.
    pub session_id: SessionId,
    /// Its encounter.
    pub encounter_id: Option<EncounterId>,
    /// Its kind.
    pub kind: SessionKind,
    /// Whose session it is: chooses the identity that reads it.
    pub provider: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// By when its notification should have come.
    pub deadline: Option<Timestamp>,
    /// How it became known.
    pub origin: Origin,
    /// What the partner said of patient, encounter and provider, as a JSON object.
    pub context: Option<Context>,
}

impl Registration {
    /// A session of which nothing but the id is known.
    pub fn of(session_id: SessionId, origin: Origin) -> Self {
        Self {
            session_id,
            encounter_id: None,
            kind: SessionKind::Unknown,
            provider: None,
            started_at: None,
            ended_at: None,
            deadline: None,
            origin,
            context: None,
        }
    }
}

/// What the partner said of a session's patient, encounter and provider: a JSON object. Clinical content.
#[derive(Clone, PartialEq, Eq)]
pub struct Context(pub Bytes);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An expected session as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its number in the store, in the order of registration.
    pub number: i64,
    /// What was said of it.
    pub registration: Registration,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Where it stands.
    pub state: ExpectedState,
    /// When its status is asked for next; `None` once it has an end.
    pub next_poll_at: Option<Timestamp>,
    /// Since when its notification is overdue, or will be.
    pub due_since: Timestamp,
    /// How often its status was asked for.
    pub polls: u32,
    /// The last answer's word for its state.
    pub last_status: Option<String>,
    /// What the last answer was, for people.
    pub last_result: Option<String>,
    /// When the vendor first said that it was aborted. One that is resumed is not any more.
    pub aborted_at: Option<Timestamp>,
    /// When it reached its end.
    pub settled_at: Option<Timestamp>,
    /// The event that is its end.
    pub event: Option<EventId>,
}

/// What of an expected session goes with its event to the sinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it ended, as the partner said.
    pub ended_at: Option<Timestamp>,
    /// Whose session it is.
    pub provider: Option<String>,
    /// What the partner said of patient, encounter and provider.
    pub context: Option<Context>,
}
