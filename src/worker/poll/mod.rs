//! Asking for expected sessions whose notification is overdue. Whoever has ended becomes an event like any other.
//!
//! One instance of a store asks. A question is not held by a lease of its own: what came of it is written only while the
//! session is still awaited and nobody has asked since, so a question that is asked twice changes nothing. Memory does not
//! depend on how many sessions are expected.

mod alarm;
mod answer;
#[cfg(test)]
mod day;
mod pace;
mod ports;
mod question;
mod watch;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::alarm::Alarm;
use self::pace::Pace;
use self::ports::{Book, Vendor};
use super::breaker::{Admit, Breaker};
use crate::config::Reconcile;
use crate::domain::{Clock, Expected, SessionKind};
use crate::journal::{self, POLLER_LEASE};
use crate::lifecycle::{Alert, Alerts, Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::traces::Traces;

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
    vendor: Arc<dyn Vendor>,
    book: Arc<dyn Book>,
    settings: Reconcile,
    breaker: Arc<Breaker>,
    readiness: Readiness,
    alerts: Alerts,
    metrics: Metrics,
    traces: Traces,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    alarm: Alarm,
    said_at: Option<Instant>,
    /// The numbers of sessions that are being asked for, or were when the store was last read: what was read then may be
    /// older than the answer.
    under_way: HashSet<i64>,
    /// Those of them whose question is over.
    over: Vec<i64>,
}

impl Poller {
    pub(super) fn new(
        (vendor, book): (Arc<dyn Vendor>, Arc<dyn Book>),
        settings: Reconcile,
        breaker: Arc<Breaker>,
        (readiness, alerts): (Readiness, Alerts),
        (metrics, traces, clock): (Metrics, Traces, Clock),
    ) -> Self {
        let most = settings.alarm.first_polls;
        let state = State {
            pace: Pace::new(f64::from(settings.max_requests_per_second)),
            alarm: if alerts.is_raised(Alert::PushMissed, "") {
                Alarm::raised(most)
            } else {
                Alarm::new(most)
            },
            said_at: None,
            under_way: HashSet::new(),
            over: Vec::new(),
        };
        Self {
            vendor,
            book,
            settings,
            breaker,
            readiness,
            alerts,
            metrics,
            traces,
            clock,
            state: Mutex::new(state),
        }
    }

    /// Asks until `tasks` stops. Questions that are under way then go on in tasks of the group.
    pub(super) async fn run(self: Arc<Self>, tasks: TaskGroup) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        tasks.spawn_until_stopped("alarm of missed notifications", Arc::clone(&self).watch());
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

    /// Asks for what is due now.
    async fn round(
        self: &Arc<Self>,
        room: &Arc<Semaphore>,
        tasks: &TaskGroup,
    ) -> Result<Round, journal::Error> {
        if !self.book.is_alive() {
            return Ok(Round::NotOurs);
        }
        self.with(|state| {
            for number in state.over.drain(..) {
                state.under_way.remove(&number);
            }
        });
        let start = now();
        let due = self.book.due_sessions(self.clock.monotonic(), PAGE).await?;
        let Some(due) = due else {
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
            self.vendor.give_way().await;
            loop {
                match self.with(|state| state.pace.take(now(), calls)) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Some(permit),
                }
            }
        };
        let permit = tokio::select! {
            biased;
            () = tasks.stopping() => None,
            // What was read is out of date by then, and perhaps another instance's.
            () = tokio::time::sleep(FRESH.saturating_sub(now() - start)) => None,
            permit = turn => permit,
        };
        let Some(permit) = permit else { return false };
        if self.breaker.admit(now()) == Admit::None {
            return false;
        }
        let (poller, session) = (Arc::clone(self), session.clone());
        tasks.spawn("question for an expected session", async move {
            poller.ask(&session).await;
            poller.breaker.probe_ended();
            poller.with(|state| state.over.push(session.number));
            drop(permit);
        });
        true
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The time by which calls are spaced: the runtime's, which a test can let pass.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
