//! Expected sessions in the store: they are registered, polled while no notification comes, and each reaches one
//! recorded end.
//!
//! An append ends the expectation of its session in the same transaction, so a session whose notification is stored is
//! never polled. The answer to a poll is recorded only while the session is still awaited: the notification wins.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;
use crate::domain::{
    EventId, Expected, ExpectedState, Millis, Notification, Poll, PollSchedule, Registration,
    Session, SessionId, SessionKind,
};

/// A session to expect, with the time of its first poll.
#[derive(Debug, Clone)]
pub struct NewExpected {
    /// The registration as the partner or the service made it.
    pub registration: Registration,
    /// When it is registered.
    pub registered_at: Timestamp,
    /// The first poll.
    pub first_poll: Poll,
}

impl NewExpected {
    /// A registration at this time, to be polled by `schedule`.
    pub fn of(
        registration: Registration,
        schedule: &PollSchedule,
        registered_at: Timestamp,
    ) -> Self {
        Self {
            first_poll: schedule.first(&registration, registered_at),
            registration,
            registered_at,
        }
    }
}

/// The result of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Whether the session was not registered before.
    pub is_new: bool,
    /// The expected session's state.
    pub expected: Expected,
}

/// What the partner changes in a registered session. A field that is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// When the session ended.
    pub ended_at: Option<Timestamp>,
    /// The clinician whose session it is.
    pub provider: Option<String>,
    /// The deadline of its notification.
    pub deadline: Option<Timestamp>,
}

/// Filters the list of expected sessions. An empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedFilter {
    /// Only those in this state.
    pub state: Option<ExpectedState>,
    /// Only those of this clinician.
    pub provider: Option<String>,
    /// Only those whose notification is overdue at this time.
    pub overdue_at: Option<Timestamp>,
}

/// A page of expected sessions, newest first.
#[derive(Debug, Clone)]
pub struct ExpectedPage {
    /// The sessions.
    pub sessions: Vec<Expected>,
    /// The cursor of the next page, if there is one.
    pub next: Option<i64>,
}

impl ExpectedPage {
    /// Makes a page of at most `limit` from a list with one more, which tells whether there is a next page.
    pub(super) fn of(mut sessions: Vec<Expected>, limit: usize) -> Self {
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        let last = sessions.last().map(|last| last.number);
        Self {
            next: last.filter(|_| has_more),
            sessions,
        }
    }
}

/// The answer to a poll. It is recorded only if the session is still awaited and has not been polled since.
#[derive(Debug, Clone)]
pub struct Polled {
    /// The session's number in the store.
    pub number: i64,
    /// How many polls there had been before; it serves as the fence.
    pub polls: u32,
    /// When it was polled.
    pub at: Timestamp,
    /// The answer.
    pub answer: PollAnswer,
}

impl Polled {
    /// Whether the session was found to have ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.answer.follows, Follows::Recovered(_))
    }
}

/// The answer to a poll, and what follows from it.
#[derive(Debug, Clone)]
pub struct PollAnswer {
    /// The session's status, in the vendor's word.
    pub status: Option<String>,
    /// The answer in a sentence, for people.
    pub result: String,
    /// The session's kind, if the answer told it.
    pub kind: SessionKind,
    /// When the session was first found to be aborted, if it still is.
    pub aborted_at: Option<Timestamp>,
    /// What follows.
    pub follows: Follows,
}

/// What follows from an answer.
#[derive(Debug, Clone)]
pub enum Follows {
    /// The session is polled again. A poll that was not answered does not count.
    Again {
        /// The next poll.
        poll: Poll,
        /// The session's state until then.
        state: ExpectedState,
        /// Whether this poll counts.
        counts: bool,
    },
    /// The session has ended: an event is made for it, to be retrieved and delivered like any other.
    Recovered(Box<Recovered>),
    /// Polling ends without an event, in this state.
    Over(ExpectedState),
}

/// An event that was made without a notification.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The event's id.
    pub id: EventId,
    /// The substitute for the notification.
    pub notification: Notification,
    /// The session's state.
    pub session: Session,
}

/// The result of recording an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEnded {
    /// Recorded.
    Kept,
    /// The event was made and is due.
    Recovered(EventId),
    /// The notification has arrived meanwhile. No event is made.
    Met,
    /// The session is no longer awaited, or another process polled it. Nothing is recorded.
    Lost,
}

/// Statistics of expected sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedStats {
    /// The number of sessions, by state.
    pub counts: Vec<(ExpectedState, u64)>,
    /// Since when the longest overdue session has been overdue.
    pub overdue_since: Option<Timestamp>,
    /// When the earliest pending poll is, or was, due.
    pub oldest_due: Option<Timestamp>,
    /// The earliest known time of an awaited session whose transcript the vendor still keeps. Its retention is counted
    /// from it.
    pub earliest: Option<Timestamp>,
}

impl ExpectedStats {
    /// The number of sessions in this state.
    pub fn count(&self, state: ExpectedState) -> u64 {
        let of_it = self.counts.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
    }

    /// The number of sessions in all states.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// The order in which due sessions are polled: first the closing ones, then ended sessions, the newest first, then the
/// others, the longest due first. Every fifth poll goes to the ended session that has been due the longest, so that
/// none starves.
pub(super) fn in_order([closing, ended, oldest, other]: [Vec<Expected>; 4]) -> Vec<Expected> {
    let mut first = closing.into_iter().chain(ended).chain(other);
    let (mut oldest, mut order, mut seen) = (oldest.into_iter(), Vec::new(), HashSet::new());
    loop {
        let next = match order.len() % 5 {
            4 => oldest.next().or_else(|| first.next()),
            _ => first.next().or_else(|| oldest.next()),
        };
        let Some(next) = next else { return order };
        if seen.insert(next.number) {
            order.push(next);
        }
    }
}

/// How long one instance's claim on polling keeps the others from polling.
pub const POLLER_LEASE: Duration = Duration::from_secs(10);

/// The part of the store that keeps expected sessions.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Expectations: Send + Sync + 'static {
    /// Registers sessions and returns their states in the same order. Of a session that is already registered only
    /// unknown fields are filled in. A session whose event is already stored is met at once.
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error>;

    /// Changes a registered session and its polls. `None` when it is not registered.
    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error>;

    /// Makes a session's poll due now. The session is awaited, or polling had ended without an event. `None` when it is
    /// not registered.
    async fn poll_now(&self, id: SessionId, now: Millis) -> Result<Option<Expected>, Error>;

    /// Withdraws the partner's expectation, if the session is awaited. `None` when it is not registered.
    async fn withdraw(&self, id: SessionId) -> Result<Option<Expected>, Error>;

    /// One expected session. `None` when it is not registered.
    async fn expected(&self, id: SessionId) -> Result<Option<Expected>, Error>;

    /// Lists expected sessions, newest first, from `cursor` (a page's `next`) on.
    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error>;

    /// The due sessions in polling order, at most a few times `limit`. Each call claims polling for this instance for
    /// [`POLLER_LEASE`]; returns `None` while another instance holds that claim.
    async fn due_sessions(&self, now: Millis, limit: usize)
    -> Result<Option<Vec<Expected>>, Error>;

    /// Records answers to polls and returns their results in the same order.
    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error>;

    /// Statistics of all expected sessions.
    async fn expected_stats(&self) -> Result<ExpectedStats, Error>;
}
