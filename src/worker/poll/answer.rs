//! What an answer to a poll means for the expected session. Pure.

use jiff::Timestamp;

use crate::domain::{
    EventId, Expected, ExpectedState, Lane, Millis, Notification, Outcome, Poll, PollSchedule,
    Session, SessionKind, SessionStatus,
};
use crate::journal::{Follows, PollAnswer, Recovered};
use crate::sdp::{Failure, Kind};

/// The age, in milliseconds, at which a session that was created but not begun is polled only once a day.
const NEVER_BEGUN: Millis = 24 * 3600 * 1000;
/// The shortest wait after a poll that was not answered, in milliseconds.
const UNANSWERED: Millis = 30_000;
/// The longest wait that the API can ask for, in milliseconds. A gateway that asks for a day, or names a time in place of a
/// duration, must not keep a session from being polled.
const LONGEST_ASKED: Millis = 3600 * 1000;

/// What follows from an answer, and the label under which it is counted.
pub(super) struct Answer {
    pub(super) answer: PollAnswer,
    pub(super) label: &'static str,
}

/// The meaning of an answer to a poll of this session. `chance` is a random number between 0 and 1.
pub(super) fn of(
    schedule: &PollSchedule,
    session: &Expected,
    result: Result<(SessionKind, SessionStatus), Failure>,
    (at, chance): (Timestamp, f64),
) -> Answer {
    let context = Context {
        schedule,
        session,
        at,
        chance,
    };
    match result {
        Ok((kind, status)) => context.answered(kind, &status),
        Err(failure) => context.failed(&failure),
    }
}

/// A poll.
struct Context<'a> {
    schedule: &'a PollSchedule,
    session: &'a Expected,
    at: Timestamp,
    chance: f64,
}

impl Context<'_> {
    fn answered(&self, kind: SessionKind, status: &SessionStatus) -> Answer {
        let word = status.as_str().to_owned();
        let answer = |follows, aborted_at| PollAnswer {
            result: format!("the session is {word}"),
            status: Some(word.clone()),
            kind,
            aborted_at,
            follows,
        };
        let (label, answer) = match status.outcome() {
            // An aborted session may be resumed and still produce a note.
            Outcome::Cancelled => {
                let since = self.session.aborted_at.unwrap_or(self.at);
                let follows = if self.schedule.is_over(since, self.now()) {
                    self.recovered(kind, status)
                } else {
                    let over = since + self.schedule.aborted_grace;
                    let poll = self.poll_at(over.as_millisecond());
                    self.again(poll)
                };
                ("aborted", answer(follows, Some(since)))
            }
            Outcome::Completed => ("completed", answer(self.recovered(kind, status), None)),
            Outcome::Failed => ("failed", answer(self.recovered(kind, status), None)),
            Outcome::Skipped => ("skipped", answer(self.recovered(kind, status), None)),
            // No notification says that the session has ended, so an unknown status is not taken for an end.
            Outcome::TimedOut | Outcome::Unknown => {
                let is_begun = status.as_str() != "created" && status.as_str() != "ready";
                let age = self.now() - self.session.registered_at.as_millisecond();
                let is_slow = !status.is_in_progress() || (!is_begun && age >= NEVER_BEGUN);
                let label = if status.is_in_progress() {
                    "in_progress"
                } else {
                    "unknown"
                };
                (label, answer(self.wait(is_slow), None))
            }
        };
        Answer { answer, label }
    }

    fn failed(&self, failure: &Failure) -> Answer {
        let (label, follows) = match failure.kind {
            Kind::NotFound => {
                let follows = if self.schedule.is_absent(self.session, self.now()) {
                    Follows::Over(ExpectedState::Absent)
                } else {
                    self.again(self.scheduled().unwrap_or_else(|| self.slow()))
                };
                ("not_found", follows)
            }
            // Another identity may be configured later, or this one may get access.
            Kind::Identity => {
                let follows = match self.scheduled() {
                    Some(_) => Follows::Again {
                        poll: self.slow(),
                        state: ExpectedState::Denied,
                        counts: true,
                    },
                    None => Follows::Over(ExpectedState::Expired),
                };
                ("denied", follows)
            }
            Kind::Final | Kind::Retry => ("refused", self.wait(false)),
            Kind::Outage => {
                let wait = failure.after.map_or(0, |after| {
                    Millis::try_from(after.as_millis())
                        .unwrap_or(Millis::MAX)
                        .min(LONGEST_ASKED)
                });
                let least = Millis::try_from(self.schedule.min_interval.as_millis())
                    .unwrap_or(UNANSWERED)
                    .min(UNANSWERED);
                let follows = Follows::Again {
                    poll: self.poll_at(self.now().saturating_add(wait.max(least))),
                    state: self.session.state,
                    counts: false,
                };
                let label = if failure.is_throttled() {
                    "throttled"
                } else {
                    "unanswered"
                };
                (label, follows)
            }
        };
        Answer {
            answer: PollAnswer {
                status: None,
                result: failure.to_string(),
                kind: SessionKind::Unknown,
                aborted_at: self.session.aborted_at,
                follows,
            },
            label,
        }
    }

    /// Polls again at the scheduled time, or gives up when the schedule is over.
    fn wait(&self, is_slow: bool) -> Follows {
        match self.scheduled() {
            Some(_) if is_slow => self.again(self.slow()),
            Some(poll) => self.again(poll),
            None => Follows::Over(ExpectedState::Expired),
        }
    }

    /// The next poll at the scheduled time; `None` when the schedule is over.
    fn scheduled(&self) -> Option<Poll> {
        let registration = &self.session.registration;
        let times = (self.session.awaited_since(), self.now());
        self.schedule
            .next(registration, self.session.registered_at, times, self.chance)
    }

    fn again(&self, poll: Poll) -> Follows {
        Follows::Again {
            poll,
            state: ExpectedState::Polling,
            counts: true,
        }
    }

    fn slow(&self) -> Poll {
        let registration = &self.session.registration;
        self.schedule.slow(
            registration,
            self.session.registered_at,
            self.now(),
            self.chance,
        )
    }

    fn poll_at(&self, due: Millis) -> Poll {
        let registration = &self.session.registration;
        let poll = self
            .schedule
            .at(registration, self.session.registered_at, due);
        Poll {
            lane: poll.lane.min(Lane::Ended),
            ..poll
        }
    }

    fn recovered(&self, kind: SessionKind, status: &SessionStatus) -> Follows {
        let registration = &self.session.registration;
        let outcome = status.outcome();
        Follows::Recovered(Box::new(Recovered {
            id: EventId::generate(),
            notification: Notification::recovered(
                registration.session_id.clone(),
                registration.encounter_id.clone(),
                outcome,
                kind,
            ),
            session: Session {
                outcome,
                kind,
                status: Some(status.as_str().to_owned()),
            },
        }))
    }

    fn now(&self) -> Millis {
        self.at.as_millisecond()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Reconcile;
    use crate::domain::{Origin, Registration, SessionId};

    const HOUR: Duration = Duration::from_secs(3600);

    fn session() -> Expected {
        Expected {
            number: 1,
            registration: Registration::of(SessionId::new("s").expect("an id"), Origin::Registered),
            registered_at: Timestamp::UNIX_EPOCH,
            state: ExpectedState::Open,
            next_poll_at: Some(Timestamp::UNIX_EPOCH),
            due_since: Timestamp::UNIX_EPOCH,
            polls: 0,
            last_status: None,
            last_result: None,
            aborted_at: None,
            settled_at: None,
            event: None,
        }
    }

    /// What follows from this status when a poll is answered `elapsed` after the session was due.
    fn status(session: &Expected, word: &str, elapsed: Duration) -> Follows {
        let result = Ok((SessionKind::Ambient, SessionStatus::new(word)));
        asked(session, result, elapsed)
    }

    fn failure(session: &Expected, kind: Kind, elapsed: Duration) -> Follows {
        asked(session, Err(Failure::new(kind, None, "test")), elapsed)
    }

    fn asked(
        session: &Expected,
        result: Result<(SessionKind, SessionStatus), Failure>,
        elapsed: Duration,
    ) -> Follows {
        let at = Timestamp::UNIX_EPOCH + elapsed;
        let schedule = Reconcile::default().schedule;
        of(&schedule, session, result, (at, 0.5)).answer.follows
    }

    /// The session's state, and the minutes until the next poll.
    fn waits(follows: &Follows, elapsed: Duration) -> (ExpectedState, i64) {
        let Follows::Again { poll, state, .. } = follows else {
            panic!("it is not asked for again: {follows:?}");
        };
        let now = i64::try_from(elapsed.as_millis()).expect("few");
        (*state, (poll.due - now) / 60_000)
    }

    #[test]
    fn an_end_is_an_event_and_what_goes_on_is_asked_for_again() {
        for (word, outcome) in [
            ("completed", Outcome::Completed),
            ("FAILED", Outcome::Failed),
            ("skipped", Outcome::Skipped),
        ] {
            let follows = status(&session(), word, HOUR);
            let Follows::Recovered(recovered) = follows else {
                panic!("{word}: {follows:?}");
            };
            assert_eq!(recovered.session.outcome, outcome);
            assert!(recovered.notification.body.is_empty());
        }
        for word in ["created", "ready", "running", "paused", "staged"] {
            let follows = status(&session(), word, HOUR);
            assert_eq!(
                waits(&follows, HOUR),
                (ExpectedState::Polling, 30),
                "{word}"
            );
        }
    }

    #[test]
    fn a_wait_that_the_api_asks_for_is_kept_for_an_hour_at_most() {
        for (after, minutes) in [(600, 10), (3600, 60), (86_400, 60), (u64::MAX, 60)] {
            let mut failure = Failure::new(Kind::Outage, Some(503), "test");
            failure.after = Some(Duration::from_secs(after));
            let follows = asked(&session(), Err(failure), HOUR);
            assert_eq!(waits(&follows, HOUR).1, minutes, "{after} s");
        }
    }

    #[test]
    fn an_unknown_word_is_no_end_and_waits_for_a_day() {
        let follows = status(&session(), "hibernated", HOUR);
        assert_eq!(waits(&follows, HOUR), (ExpectedState::Polling, 24 * 60));
    }

    #[test]
    fn an_aborted_session_is_cancelled_only_when_it_still_is_after_a_while() {
        let mut session = session();
        let follows = status(&session, "aborted", HOUR);
        assert_eq!(waits(&follows, HOUR), (ExpectedState::Polling, 15));
        session.aborted_at = Some(Timestamp::UNIX_EPOCH + HOUR);
        let later = HOUR + Duration::from_secs(900);
        let follows = status(&session, "aborted", later);
        assert!(
            matches!(&follows, Follows::Recovered(it) if it.session.outcome == Outcome::Cancelled),
            "{follows:?}"
        );
    }

    #[test]
    fn what_nobody_knows_is_absent_after_a_week_or_a_day_after_its_end() {
        let (mut session, day) = (session(), HOUR * 24);
        session.polls = 9;
        let absent = |session: &Expected, elapsed| {
            matches!(
                failure(session, Kind::NotFound, elapsed),
                Follows::Over(ExpectedState::Absent)
            )
        };
        assert!(!absent(&session, day * 6) && absent(&session, day * 7));
        session.registration.ended_at = Some(Timestamp::UNIX_EPOCH);
        assert!(!absent(&session, day - HOUR) && absent(&session, day));
    }

    #[test]
    fn what_ended_long_before_it_was_registered_is_not_absent_after_one_answer() {
        let (mut session, day) = (session(), HOUR * 24);
        session.registered_at = Timestamp::UNIX_EPOCH + day * 40;
        session.registration.ended_at = Some(Timestamp::UNIX_EPOCH);
        let asked = |session: &Expected, after: Duration| {
            failure(session, Kind::NotFound, day * 40 + after)
        };
        let polled_again = |follows: Follows| matches!(follows, Follows::Again { .. });
        assert!(polled_again(asked(&session, HOUR)));
        assert!(polled_again(asked(&session, day)), "after few polls");
        session.polls = 2;
        assert!(polled_again(asked(&session, day - HOUR)));
        assert!(matches!(
            asked(&session, day),
            Follows::Over(ExpectedState::Absent)
        ));
    }

    #[test]
    fn who_is_not_let_in_asks_daily_for_a_month_and_an_outage_does_not_count() {
        let follows = failure(&session(), Kind::Identity, HOUR);
        assert_eq!(waits(&follows, HOUR), (ExpectedState::Denied, 24 * 60));
        let never = failure(&session(), Kind::Identity, HOUR * 24 * 30);
        assert!(matches!(never, Follows::Over(ExpectedState::Expired)));
        let follows = failure(&session(), Kind::Outage, HOUR);
        assert!(
            matches!(
                follows,
                Follows::Again {
                    counts: false,
                    state: ExpectedState::Open,
                    ..
                }
            ),
            "{follows:?}"
        );
        let never = status(&session(), "running", HOUR * 24 * 30);
        assert!(matches!(never, Follows::Over(ExpectedState::Expired)));
    }
}
