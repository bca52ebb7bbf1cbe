//! A session that the partner's software has registered, what is known of it, and its state until it ends.

use bytes::Bytes;
use jiff::Timestamp;

use super::words::worded;
use super::{EncounterId, EventId, Millis, SessionId, SessionKind};

worded! {
    /// The state of an expected session.
    ///
    /// `open -> polling`, and from either of the two to one end: by push, by pull, or for a recorded reason.
    ExpectedState, "state of a session" {
        /// Its notification is awaited.
        Open = "open",
        /// Its notification is overdue, and its status was requested.
        Polling = "polling",
        /// Its notification came.
        Met = "met",
        /// It was found by polling to have ended; its notification never came.
        Recovered = "recovered",
        /// Recovered by polling, and its notification came afterwards.
        Late = "late",
        /// The vendor does not know it.
        Absent = "absent",
        /// No identity may read it. It is polled daily.
        Denied = "denied",
        /// It did not end within the time in which it is polled.
        Expired = "expired",
        /// The partner no longer expects it.
        Withdrawn = "withdrawn",
    }
}

impl ExpectedState {
    /// Whether its end is still awaited, so that it will be polled.
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::Open | Self::Polling | Self::Denied)
    }
}

worded! {
    /// How an expected session became known.
    Origin, "origin" {
        /// The partner registered it.
        Registered = "registered",
        /// This service generated its id.
        Minted = "minted",
        /// A notification of the same encounter named it.
        Sibling = "sibling",
    }
}

/// What is known of a session when it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The vendor's id.
    pub session_id: SessionId,
    /// Its encounter.
    pub encounter_id: Option<EncounterId>,
    /// Its kind.
    pub kind: SessionKind,
    /// The clinician whose session it is, by whom the identity is chosen.
    pub provider: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The deadline of its notification.
    pub deadline: Option<Timestamp>,
    /// How it became known.
    pub origin: Origin,
    /// What the partner said of the patient, the encounter and the provider: a JSON object.
    pub context: Option<Context>,
}

impl Registration {
    /// A session of which only the id is known.
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

/// What the partner said of the patient, the encounter and the provider of a session: a JSON object. Clinical content.
#[derive(Clone, PartialEq, Eq)]
pub struct Context(pub Bytes);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An expected session with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its number in the store, in the order of registration.
    pub number: i64,
    /// Its registration.
    pub registration: Registration,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Its state.
    pub state: ExpectedState,
    /// When it is polled next; `None` once it has ended.
    pub next_poll_at: Option<Timestamp>,
    /// Since when its notification is overdue, or when it will be.
    pub due_since: Timestamp,
    /// The number of polls.
    pub polls: u32,
    /// The session's status in the last answer.
    pub last_status: Option<String>,
    /// The last answer in a sentence, for people.
    pub last_result: Option<String>,
    /// When the vendor first reported it as aborted; `None` once it was resumed.
    pub aborted_at: Option<Timestamp>,
    /// When it reached its final state.
    pub settled_at: Option<Timestamp>,
    /// The event of the session.
    pub event: Option<EventId>,
}

impl Expected {
    /// Since when it has been polled, or would have been: since its notification is overdue, and at the earliest since
    /// its registration, which may come long after its end.
    pub fn awaited_since(&self) -> Millis {
        self.due_since.max(self.registered_at).as_millisecond()
    }
}

/// The data of an expected session that is attached to its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When the session ended, according to the partner.
    pub ended_at: Option<Timestamp>,
    /// The clinician whose session it is.
    pub provider: Option<String>,
    /// What the partner said of the patient, the encounter and the provider.
    pub context: Option<Context>,
}
