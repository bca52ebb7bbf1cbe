//! What the store knows of expected sessions: they are registered, asked for while no notification comes, and reach one
//! recorded end each.
//!
//! An append ends the expectation of its session in its own transaction, so a notification that is kept is never asked
//! for. What a question finds is written only while the session is still awaited: the notification wins.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;
use crate::domain::{
    EventId, Expected, ExpectedState, Millis, Notification, Poll, PollSchedule, Registration,
    Session, SessionId, SessionKind,
};

/// A session to expect, and when its status is asked for if no notification comes.
#[derive(Debug, Clone)]
pub struct NewExpected {
    /// What was said of it.
    pub registration: Registration,
    /// When it is registered.
    pub registered_at: Timestamp,
    /// Its first question.
    pub first_poll: Poll,
}

impl NewExpected {
    /// What is registered at this time, asked for by `schedule`.
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

/// What came of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Whether it was not known before.
    pub is_new: bool,
    /// How it stands.
    pub expected: Expected,
}

/// What the partner says of a session that is known. What is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whose it is.
    pub provider: Option<String>,
    /// By when its notification should have come.
    pub deadline: Option<Timestamp>,
}

/// Which expected sessions to list. An empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedFilter {
    /// Where they stand.
    pub state: Option<ExpectedState>,
    /// Whose they are.
    pub provider: Option<String>,
    /// Only those whose notification is overdue at this time.
    pub overdue_at: Option<Timestamp>,
}

/// A page of expected sessions, the newest first.
#[derive(Debug, Clone)]
pub struct ExpectedPage {
    /// The sessions.
    pub sessions: Vec<Expected>,
    /// Where the next page starts, when there is one.
    pub next: Option<i64>,
}

impl ExpectedPage {
    /// Of one more than `limit`, which tells whether there is a next page.
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

/// What came of a question, to be written while the session is still awaited and nobody has asked since.
#[derive(Debug, Clone)]
pub struct Polled {
    /// The session's number.
    pub number: i64,
    /// How often it had been asked for before.
    pub polls: u32,
    /// When it was asked for.
    pub at: Timestamp,
    /// What was answered.
    pub answer: PollAnswer,
}

impl Polled {
    /// Whether the session was found to have ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.answer.follows, Follows::Recovered(_))
    }
}

/// What was answered, and what follows.
#[derive(Debug, Clone)]
pub struct PollAnswer {
    /// The word for its state.
    pub status: Option<String>,
    /// For people.
    pub result: String,
    /// Its kind, if it became known.
    pub kind: SessionKind,
    /// When it was first found to be aborted, if it still is.
    pub aborted_at: Option<Timestamp>,
    /// What follows.
    pub follows: Follows,
}

/// What follows from an answer.
#[derive(Debug, Clone)]
pub enum Follows {
    /// It is asked for again. A question that was not answered does not count.
    Again {
        /// When.
        poll: Poll,
        /// Where it stands until then.
        state: ExpectedState,
        /// Whether it counts as asked for.
        counts: bool,
    },
    /// It has ended: an event of it is made, to be retrieved and delivered like any other.
    Recovered(Box<Recovered>),
    /// It is given up.
    Over(ExpectedState),
}

/// An event that no notification told of.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// Its id.
    pub id: EventId,
    /// What takes the notification's place.
    pub notification: Notification,
    /// How the session stands.
    pub session: Session,
}

/// What came of writing an answer down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEnded {
    /// It is written.
    Kept,
    /// Its event is made, and due.
    Recovered(EventId),
    /// Its notification had come. Nothing is made.
    Met,
    /// It is awaited no more, or somebody else asked. Nothing is written.
    Lost,
}

/// How expected sessions stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedStats {
    /// How many, by state.
    pub counts: Vec<(ExpectedState, u64)>,
    /// Since when the longest overdue one is.
    pub overdue_since: Option<Timestamp>,
    /// When the most overdue question was due, or the next one will be.
    pub oldest_due: Option<Timestamp>,
    /// The earliest time that is known of one that is awaited: what the vendor's retention is counted from.
    pub earliest: Option<Timestamp>,
}

impl ExpectedStats {
    /// How many stand there.
    pub fn count(&self, state: ExpectedState) -> u64 {
        let of_it = self.counts.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// In which order to ask for sessions that are due: the closing ones, then those that have ended, the newest first, then
/// the others, the longest due first; every fifth is the longest due of those that ended, so that none waits for ever.
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

/// For how long the instance that asks keeps the others from asking.
pub const POLLER_LEASE: Duration = Duration::from_secs(10);

/// Keeps expected sessions.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Expectations: Send + Sync + 'static {
    /// Registers sessions; gives how each stands, in their order. One that is known is left as it is but for what was not
    /// known of it. One whose event is kept is met at once.
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error>;

    /// Changes what is known of a session that is expected, and when it is asked for. `None` when there is none.
    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error>;

    /// Makes a session due that is awaited, or is not any more without an event. `None` when there is none.
    async fn poll_now(&self, id: SessionId, now: Millis) -> Result<Option<Expected>, Error>;

    /// The partner does not expect a session any more, if it is awaited. `None` when there is none.
    async fn withdraw(&self, id: SessionId) -> Result<Option<Expected>, Error>;

    /// One expected session.
    async fn expected(&self, id: SessionId) -> Result<Option<Expected>, Error>;

    /// Expected sessions, the newest first, from `cursor` (a page's `next`) on.
    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error>;

    /// Sessions to ask for that are due, a few times `limit` at most, in the order in which to ask. `None` where another
    /// instance asks: it does so for [`POLLER_LEASE`] after each call of this.
    async fn due_sessions(&self, now: Millis, limit: usize)
    -> Result<Option<Vec<Expected>>, Error>;

    /// Writes down what came of questions; gives as many results, in their order.
    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error>;

    /// How they stand.
    async fn expected_stats(&self) -> Result<ExpectedStats, Error>;
}
