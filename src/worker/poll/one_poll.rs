//! One poll: requests a session's status, reports the health of the vendor's API, and records what follows. What an
//! answer means is decided in `answer`.

use super::answer::{self, Answer};
use super::{Poller, now};
use crate::domain::{Expected, ExpectedState, Outcome, SessionKind, SessionStatus};
use crate::journal::{Follows, PollEnded, Polled};
use crate::sdp::{Failure, Subject};
use crate::worker::report;

/// What is logged and counted once an answer is recorded.
struct Found {
    /// The session's outcome and the vendor's word for it, if it has ended.
    ended: Option<(Outcome, String)>,
    /// The session's state, if polling ends without an outcome.
    without_end: Option<ExpectedState>,
}

impl Poller {
    /// Polls one session and records the answer.
    pub(super) async fn poll(&self, session: &Expected) {
        let result = self
            .vendor
            .status(&subject(session), session.registration.kind)
            .await;
        self.note_health(&result);
        let (at, chance) = (self.clock.now(), rand::random::<f64>());
        let schedule = &self.settings.schedule;
        let Answer { answer, label } = answer::of(schedule, session, result, (at, chance));
        self.metrics.poll(label);
        if let Follows::Again { poll, .. } = &answer.follows {
            report::closing_session(session, at.as_millisecond(), poll.due);
        }
        let found = Found::of(&answer.follows);
        let polled = Polled {
            number: session.number,
            polls: session.polls,
            at,
            answer,
        };
        match self.sessions.polled(polled).await {
            Ok(Some(written)) => self.written(session, &found, written),
            Ok(None) => {}
            // The session is still due, and is polled again.
            Err(error) => {
                tracing::debug!(error = %error, "the answer to a poll could not be recorded");
            }
        }
    }

    /// Reports to the breaker and the pace how the API answered.
    fn note_health(&self, result: &Result<(SessionKind, SessionStatus), Failure>) {
        match result {
            Ok(_) => self.breaker.success(now()),
            Err(failure) if failure.is_outage() => self.breaker.failure(now(), &failure.reason),
            Err(failure) if failure.status.is_some() => self.breaker.success(now()),
            Err(_) => {}
        }
        if let Err(failure) = result
            && failure.is_throttled()
        {
            self.with(|state| state.pace.throttled(now(), failure.after));
        }
    }

    fn written(&self, session: &Expected, found: &Found, written: PollEnded) {
        let registration = &session.registration;
        // It is unknown whether the vendor sends a notification for a skipped session, so none counts as missed.
        let is_skipped = matches!(found.ended, Some((Outcome::Skipped, _)));
        if session.polls == 0 && written != PollEnded::Lost && !is_skipped {
            self.first_poll(matches!(written, PollEnded::Recovered(_)));
        }
        match written {
            PollEnded::Recovered(id) => {
                self.traces.made(id, "recover session", None);
                let (outcome, status) = match &found.ended {
                    Some((outcome, status)) => (*outcome, &**status),
                    None => (Outcome::Unknown, ""),
                };
                if !is_skipped {
                    self.metrics.push_missed(outcome);
                }
                tracing::warn!(
                    event.id = %id,
                    session.id = registration.session_id.as_str(),
                    encounter.id = registration.encounter_id.as_ref().map(|id| id.as_str()),
                    status,
                    "a session has ended and no notification came; it is recovered"
                );
                // The calls that will fetch its content count against the pace as well.
                if outcome == Outcome::Completed {
                    let calls = self
                        .vendor
                        .calls_to_fetch(&subject(session), registration.kind);
                    self.with(|state| state.pace.charge(now(), calls));
                }
                self.sessions.wake();
            }
            PollEnded::Kept => {
                if let Some(state) = found.without_end {
                    tracing::warn!(
                        session.id = registration.session_id.as_str(),
                        state = state.as_str(),
                        polls = session.polls + 1,
                        "polling of an expected session ended without an outcome"
                    );
                }
            }
            PollEnded::Met | PollEnded::Lost => {}
        }
    }
}

impl Found {
    fn of(follows: &Follows) -> Self {
        let (ended, without_end) = match follows {
            Follows::Recovered(recovered) => {
                let session = &recovered.session;
                let status = session.status.clone().unwrap_or_default();
                (Some((session.outcome, status)), None)
            }
            Follows::Over(state) => (None, Some(*state)),
            Follows::Again { state, .. } => (
                None,
                Some(*state).filter(|state| *state == ExpectedState::Denied),
            ),
        };
        Self { ended, without_end }
    }
}

fn subject(session: &Expected) -> Subject<'_> {
    let registration = &session.registration;
    Subject {
        session: &registration.session_id,
        encounter: registration.encounter_id.as_ref(),
        provider: registration.provider.as_deref(),
    }
}
