//! The schedule by which expected sessions are polled. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{Expected, Millis, Registration, RetentionClock};

/// The remaining retention time from which a session is urgent.
const URGENT: Duration = Duration::from_secs(24 * 3600);
/// The largest share of a wait by which a poll is randomly moved forward or back, so that the polls of many sessions do
/// not coincide.
const JITTER: f64 = 0.1;
/// When to give up a session that was reported to have ended but that the vendor does not know.
const ABSENT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
/// The polls of a session before it is given up because the vendor does not know it. When its end is reported, that time
/// may be over already.
const ABSENT_POLLS: u32 = 3;

/// The waits before and between polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollSchedule {
    /// How long after the end of a session its notification may take.
    pub push_grace: Duration,
    /// When a session with a known start only is assumed to have ended.
    pub assume_ended_after: Duration,
    /// The shortest wait between two polls of one session. Between the shortest and the longest, the wait is half of
    /// the time for which the notification has been overdue.
    pub min_interval: Duration,
    /// The longest wait between two polls.
    pub max_interval: Duration,
    /// When polls of a session slow down to one in `slow_interval`.
    pub slow_after: Duration,
    /// See `slow_after`.
    pub slow_interval: Duration,
    /// When to give up a session that does not end.
    pub give_up_after: Duration,
    /// When to give up a session that the vendor does not know; after a day at most if its end was reported.
    pub absent_after: Duration,
    /// How long an aborted session may be resumed before it counts as ended.
    pub aborted_grace: Duration,
}

/// The priority of due sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The vendor is about to delete the session's content.
    Closing,
    /// Its end was reported: a clinician is waiting.
    Ended,
    /// All others.
    Other,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Closing, Self::Ended, Self::Other];

    /// The stored number.
    pub fn number(self) -> i16 {
        match self {
            Self::Closing => 0,
            Self::Ended => 1,
            Self::Other => 2,
        }
    }
}

/// A planned poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// When.
    pub due: Millis,
    /// Its priority among the polls that are due.
    pub lane: Lane,
}

impl PollSchedule {
    /// The first poll, which is due when the notification becomes overdue.
    pub fn first(&self, session: &Registration, registered_at: Timestamp) -> Poll {
        let overdue = match (session.ended_at, session.deadline, session.started_at) {
            (Some(ended), ..) => after(ended, self.push_grace),
            (None, Some(deadline), _) => deadline.as_millisecond(),
            (None, None, Some(started)) => after(started, self.assume_ended_after),
            (None, None, None) => after(registered_at, self.assume_ended_after),
        };
        self.at(session, registered_at, overdue)
    }

    /// The next poll of a session that has been overdue since `overdue` and was polled at `now`. `None` when it is
    /// given up. `chance` is a random number between 0 and 1.
    pub fn next(
        &self,
        session: &Registration,
        registered_at: Timestamp,
        (overdue, now): (Millis, Millis),
        chance: f64,
    ) -> Option<Poll> {
        let elapsed = elapsed(overdue, now);
        if elapsed >= self.give_up_after {
            return None;
        }
        let wait = if elapsed >= self.slow_after {
            self.slow_interval
        } else {
            (elapsed / 2).clamp(self.min_interval, self.max_interval)
        };
        let due = now.saturating_add(millis(jittered(wait, chance)));
        Some(self.at(session, registered_at, due))
    }

    /// The next poll of a session that is polled at the slow interval.
    pub fn slow(
        &self,
        session: &Registration,
        registered_at: Timestamp,
        now: Millis,
        chance: f64,
    ) -> Poll {
        let due = now.saturating_add(millis(jittered(self.slow_interval, chance)));
        self.at(session, registered_at, due)
    }

    /// Whether to give up a session that was polled once more and that the vendor does not know.
    pub fn is_absent(&self, session: &Expected, now: Millis) -> bool {
        let after = match session.registration.ended_at {
            Some(_) => self.absent_after.min(ABSENT_AFTER_END),
            None => self.absent_after,
        };
        elapsed(session.awaited_since(), now) >= after && session.polls + 1 >= ABSENT_POLLS
    }

    /// Whether a session that was found aborted at that time counts as ended.
    pub fn is_over(&self, aborted_at: Timestamp, now: Millis) -> bool {
        elapsed(aborted_at.as_millisecond(), now) >= self.aborted_grace
    }

    /// A poll at `due`, with its priority.
    pub fn at(&self, session: &Registration, registered_at: Timestamp, due: Millis) -> Poll {
        let lane = match session.clock(registered_at).end() - due {
            left if (0..millis(URGENT)).contains(&left) => Lane::Closing,
            _ if session.ended_at.is_some() => Lane::Ended,
            _ => Lane::Other,
        };
        Poll { due, lane }
    }
}

impl Registration {
    /// The vendor's retention of this session's content, for a session registered at this time.
    pub fn clock(&self, registered_at: Timestamp) -> RetentionClock {
        let known = [self.started_at, self.ended_at];
        let earliest = known
            .into_iter()
            .flatten()
            .fold(registered_at, Timestamp::min);
        RetentionClock::of_transcript(earliest)
    }
}

fn after(time: Timestamp, wait: Duration) -> Millis {
    time.as_millisecond().saturating_add(millis(wait))
}

fn elapsed(since: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(since)).unwrap_or(0))
}

fn jittered(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, SessionId};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn schedule() -> PollSchedule {
        PollSchedule {
            push_grace: Duration::from_secs(120),
            assume_ended_after: HOUR * 2,
            min_interval: Duration::from_secs(120),
            max_interval: HOUR * 6,
            slow_after: DAY * 7,
            slow_interval: DAY,
            give_up_after: DAY * 30,
            absent_after: DAY * 7,
            aborted_grace: Duration::from_secs(900),
        }
    }

    fn session() -> Registration {
        Registration::of(SessionId::new("s").expect("an id"), Origin::Registered)
    }

    #[test]
    fn the_first_question_comes_after_the_end_else_at_the_deadline_else_well_after_the_start() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        let first = |session: &Registration| schedule().first(session, at(1_000)).due / 1_000;
        let mut session = session();
        assert_eq!(first(&session), 1_000 + 7_200);
        session.started_at = Some(at(500));
        assert_eq!(first(&session), 500 + 7_200);
        session.deadline = Some(at(900));
        assert_eq!(first(&session), 900);
        session.ended_at = Some(at(800));
        assert_eq!(first(&session), 800 + 120);
    }

    #[test]
    fn a_session_that_never_ends_is_asked_for_ever_less_often_and_given_up_after_30_days() {
        let (schedule, session, start) = (schedule(), session(), Timestamp::UNIX_EPOCH);
        let (mut now, mut asked) = (0, vec![0]);
        while let Some(poll) = schedule.next(&session, start, (0, now), 0.5) {
            now = poll.due;
            asked.push(now);
        }
        let within = |time: Duration| asked.iter().filter(|at| **at <= millis(time)).count();
        assert!(within(HOUR) <= 9, "{}", within(HOUR));
        assert!(within(DAY) <= 17, "{}", within(DAY));
        assert!(within(DAY * 7) <= 41, "{}", within(DAY * 7));
        assert!(asked.len() <= 65, "{}", asked.len());
        assert!(now >= millis(DAY * 30));
    }

    #[test]
    fn what_the_vendor_is_about_to_delete_goes_first_then_what_has_ended() {
        let (schedule, mut session) = (schedule(), session());
        let registered = Timestamp::from_second(0).expect("a time");
        let lane = |session: &Registration, due: Duration| {
            schedule.at(session, registered, millis(due)).lane
        };
        assert_eq!(lane(&session, HOUR), Lane::Other);
        assert_eq!(lane(&session, DAY * 29 + HOUR), Lane::Closing);
        assert_eq!(lane(&session, DAY * 31), Lane::Other);
        session.ended_at = Some(registered);
        assert_eq!(lane(&session, HOUR), Lane::Ended);
    }
}
