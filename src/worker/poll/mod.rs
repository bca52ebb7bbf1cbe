//! Asking for expected sessions whose notification is overdue. Whoever has ended becomes an event like any other.
//!
//! One instance of a store asks. A question is not held by a lease of its own: what came of it is written only while the
//! session is still awaited and nobody has asked since, so a question that is asked twice changes nothing. Memory does not
//! depend on how many sessions are expected.

mod alarm;
mod answer;
mod pace;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::alarm::{Alarm, Change};
use self::answer::Answer;
use self::pace::Pace;
use super::Shared;
use super::breaker::{Admit, Breaker};
use crate::config::Reconcile;
use crate::domain::{Expected, ExpectedState, Outcome, SessionKind};
use crate::journal::{Follows, POLLER_LEASE, PollEnded, Polled};
use crate::lifecycle::{Alert, Component, Readiness, TaskGroup};
use crate::sdp::{self, Subject};

/// How often it looks for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Sessions of each lane that are read at once.
const PAGE: usize = 16;
/// Questions under way at once.
const AT_ONCE: usize = 8;
/// A wait after the store has failed, or while another instance asks.
const AFTER_ERROR: Duration = Duration::from_secs(2);
/// How long what was read is worked on before it is read anew, well within the lease of the instance that asks.
const FRESH: Duration = POLLER_LEASE.checked_div(3).expect("not zero");
/// Least time between two lines of the alarm in the log.
const SAY_EVERY: Duration = Duration::from_secs(300);

/// What the alarm says.
const PUSH_MISSED: &str = "notifications do not come: sessions that have ended are found by asking for them; see that Suki has the right address";

/// What came of a look for what is due.
enum Round {
    /// Sessions were asked for, at the pace that holds; there may be more.
    Asked,
    /// None is due, or none can be asked for now.
    NothingDue,
    /// Another instance asks, or this one may not work now.
    NotOurs,
}

/// The asking.
pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: sdp::Client,
    pub(super) settings: Reconcile,
    pub(super) breaker: Arc<Breaker>,
    pub(super) readiness: Readiness,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    alarm: Alarm,
    said_at: Option<Instant>,
    /// The numbers of sessions that are being asked for.
    under_way: HashSet<i64>,
}

impl Poller {
    pub(super) fn new(
        shared: Arc<Shared>,
        sdp: sdp::Client,
        settings: Reconcile,
        breaker: Arc<Breaker>,
        readiness: Readiness,
    ) -> Self {
        let state = State {
            pace: Pace::new(f64::from(settings.max_requests_per_second)),
            alarm: Alarm::new(settings.alarm.first_polls),
            said_at: None,
            under_way: HashSet::new(),
        };
        Self {
            shared,
            sdp,
            settings,
            breaker,
            readiness,
            state: Mutex::new(state),
        }
    }

    /// Asks until `tasks` stops. Questions that are under way then go on in tasks of the group.
    pub(super) async fn run(self: Arc<Self>, tasks: TaskGroup) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        tasks.spawn(
            "alarm of missed notifications",
            Arc::clone(&self).watch(tasks.clone()),
        );
        let mut is_healthy = true;
        loop {
            let wait = match self.round(&room, &tasks).await {
                Ok(Round::Asked) => Duration::ZERO,
                Ok(Round::NothingDue) => LOOK,
                Ok(Round::NotOurs) => AFTER_ERROR,
                Err(error) => {
                    if is_healthy {
                        tracing::error!(error = %error, "cannot look for expected sessions that are due; trying again until it can");
                    }
                    is_healthy = false;
                    AFTER_ERROR
                }
            };
            is_healthy |= wait <= LOOK;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = tasks.stopping() => return,
            }
        }
    }

    /// Looks at the alarm until `tasks` stops: apart, since it asks the store, however many questions are asked meanwhile.
    async fn watch(self: Arc<Self>, tasks: TaskGroup) {
        loop {
            tokio::select! {
                () = async {
                    self.look_at_the_alarm().await;
                    tokio::time::sleep(LOOK).await;
                } => {}
                () = tasks.stopping() => return,
            }
        }
    }

    /// Asks for what is due now.
    async fn round(
        self: &Arc<Self>,
        room: &Arc<Semaphore>,
        tasks: &TaskGroup,
    ) -> Result<Round, crate::journal::Error> {
        let journal = &self.shared.journal;
        if !journal.is_alive() {
            return Ok(Round::NotOurs);
        }
        let (now, start) = (self.shared.clock.monotonic(), Instant::now());
        let Some(due) = journal.due_sessions(now, PAGE).await? else {
            return Ok(Round::NotOurs);
        };
        let mut round = Round::NothingDue;
        for session in due {
            if !self.with(|state| state.under_way.insert(session.number)) {
                continue;
            }
            let asked = self.ask_in_turn(&session, room, start, tasks).await;
            if !asked {
                self.with(|state| state.under_way.remove(&session.number));
                break;
            }
            round = Round::Asked;
        }
        Ok(round)
    }

    /// Waits for the turn of a question, and asks it in a task of its own. `false` where it is not asked now.
    async fn ask_in_turn(
        self: &Arc<Self>,
        session: &Expected,
        room: &Arc<Semaphore>,
        start: Instant,
        tasks: &TaskGroup,
    ) -> bool {
        // A kind that is not known is found out at two endpoints.
        let calls = match session.registration.kind {
            SessionKind::Unknown => 2,
            SessionKind::Ambient | SessionKind::FormFilling => 1,
        };
        let turn = async {
            let permit = Arc::clone(room).acquire_owned().await.ok()?;
            self.sdp.give_way().await;
            loop {
                match self.with(|state| state.pace.take(Instant::now(), calls)) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Some(permit),
                }
            }
        };
        let permit = tokio::select! {
            biased;
            () = tasks.stopping() => None,
            // What was read is out of date by then, and perhaps another instance's.
            () = tokio::time::sleep(FRESH.saturating_sub(start.elapsed())) => None,
            permit = turn => permit,
        };
        let Some(permit) = permit else { return false };
        if self.breaker.admit(Instant::now()) == Admit::None {
            return false;
        }
        let (poller, session) = (Arc::clone(self), session.clone());
        tasks.spawn("question for an expected session", async move {
            poller.ask(&session).await;
            poller.breaker.probe_ended();
            poller.with(|state| state.under_way.remove(&session.number));
            drop(permit);
        });
        true
    }

    /// Asks for one session, and writes down what is answered.
    async fn ask(&self, session: &Expected) {
        let said = &session.registration;
        let subject = Subject {
            session: &said.session_id,
            encounter: said.encounter_id.as_ref(),
            provider: said.provider.as_deref(),
        };
        let result = self.sdp.status(&subject, said.kind).await;
        match &result {
            Ok(_) => self.breaker.success(Instant::now()),
            Err(failure) if failure.is_outage() => {
                self.breaker.failure(Instant::now(), &failure.reason);
            }
            Err(failure) if failure.status.is_some() => self.breaker.success(Instant::now()),
            Err(_) => {}
        }
        if let Err(failure) = &result
            && failure.is_throttled()
        {
            self.with(|state| state.pace.throttled(Instant::now(), failure.after));
        }
        let clock = &self.shared.clock;
        let chance = rand::random::<f64>();
        let Answer { answer, label } = answer::of(
            &self.settings.schedule,
            session,
            result,
            (clock.now(), chance),
        );
        self.shared.metrics.poll(label);
        let (outcome, status) = match &answer.follows {
            Follows::Recovered(recovered) => (
                Some(recovered.session.outcome),
                recovered.session.status.clone().unwrap_or_default(),
            ),
            Follows::Again { .. } | Follows::Over(_) => (None, String::new()),
        };
        let over = match &answer.follows {
            Follows::Over(state) => Some(*state),
            Follows::Again {
                state: ExpectedState::Denied,
                ..
            } => Some(ExpectedState::Denied),
            _ => None,
        };
        let polled = Polled {
            number: session.number,
            polls: session.polls,
            at: clock.now(),
            answer,
        };
        let written = match self.shared.journal.polled(vec![polled]).await {
            Ok(written) => written.into_iter().next(),
            Err(error) => {
                // It is due still, and asked for again.
                tracing::debug!(error = %error, "what came of a question could not be written down");
                return;
            }
        };
        let is_first = session.polls == 0 && !matches!(written, Some(PollEnded::Lost) | None);
        if is_first {
            self.first_poll(matches!(written, Some(PollEnded::Recovered(_))));
        }
        match written {
            Some(PollEnded::Recovered(id)) => {
                self.shared
                    .metrics
                    .push_missed(outcome.unwrap_or(Outcome::Unknown));
                tracing::warn!(
                    event.id = %id,
                    session.id = said.session_id.as_str(),
                    encounter.id = said.encounter_id.as_ref().map(|id| id.as_str()),
                    status,
                    "a session has ended and no notification came; it is recovered"
                );
                self.charge(outcome, session);
                self.shared.journal.wake();
            }
            Some(PollEnded::Kept) => {
                if let Some(state) = over {
                    tracing::warn!(
                        session.id = said.session_id.as_str(),
                        state = state.as_str(),
                        polls = session.polls + 1,
                        "an expected session has no end that could be found"
                    );
                }
            }
            Some(PollEnded::Met | PollEnded::Lost) | None => {}
        }
    }

    /// What is fetched for a recovered session counts as well.
    fn charge(&self, outcome: Option<Outcome>, session: &Expected) {
        if outcome != Some(Outcome::Completed) {
            return;
        }
        let said = &session.registration;
        let links =
            self.sdp
                .standard_links(said.kind, &said.session_id, said.encounter_id.as_ref());
        let count = u32::try_from(links.len()).unwrap_or(0);
        self.with(|state| state.pace.charge(Instant::now(), count));
    }

    fn first_poll(&self, is_missed: bool) {
        let change = self.with(|state| state.alarm.first_poll(is_missed));
        if change == Some(Change::Raised) {
            self.shared.alerts.raise(Alert::PushMissed, "", PUSH_MISSED);
        }
    }

    /// Says the alarm while it is on, and ends it once notifications come again.
    async fn look_at_the_alarm(&self) {
        self.shared
            .metrics
            .reconcile_rate(self.with(|state| state.pace.rate(Instant::now())));
        if !self.with(|state| state.alarm.is_raised()) {
            return;
        }
        let Ok(stats) = self.shared.journal.expected_stats().await else {
            return;
        };
        let met = stats.count(ExpectedState::Met);
        let (change, missed) = self.with(|state| (state.alarm.met(met), state.alarm.missed()));
        if change == Some(Change::Cleared) {
            tracing::info!("notifications come again; none was missed of late");
            self.readiness.set_healthy(Component::Push);
            self.shared.alerts.resolve(Alert::PushMissed, "");
            self.with(|state| state.said_at = None);
            return;
        }
        self.readiness.set_unhealthy(Component::Push, PUSH_MISSED);
        let now = Instant::now();
        let is_due = self.with(|state| {
            let is_due = state
                .said_at
                .is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
            if is_due {
                state.said_at = Some(now);
            }
            is_due
        });
        if is_due {
            tracing::error!(
                missed,
                recovered = stats.count(ExpectedState::Recovered),
                open = stats.count(ExpectedState::Open) + stats.count(ExpectedState::Polling),
                "notifications do not come: sessions that have ended are found by asking for them"
            );
        }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
