//! Polls expected sessions whose notification is overdue. A session that has ended becomes an event like any other.
//!
//! Of the instances that share a store, one polls. A poll needs no lease: its answer is recorded only while the session
//! is still awaited and has not been polled since, so a duplicate poll changes nothing. Memory use does not depend on
//! how many sessions are expected.

mod alarm;
mod answer;
#[cfg(test)]
mod day;
mod one_poll;
mod pace;
mod ports;
mod watch;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::alarm::Alarm;
use self::pace::Pace;
use self::ports::{SessionStore, Vendor};
use super::breaker::{Admit, Breaker};
use crate::config::Reconcile;
use crate::domain::{Clock, Expected, SessionKind};
use crate::journal::{self, POLLER_LEASE};
use crate::lifecycle::{Alert, Alerts, Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::traces::Traces;

/// How often the poller checks for due sessions.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How many sessions of each lane are read at once.
const PAGE: usize = 16;
/// The most polls under way at once.
const AT_ONCE: usize = 8;
/// The wait after the store has failed, or while another instance polls.
const AFTER_ERROR: Duration = Duration::from_secs(2);
/// How long sessions that were read are used before they are read again; well within the polling instance's lease.
const FRESH: Duration = POLLER_LEASE.checked_div(3).expect("not zero");

/// The result of a check for due sessions.
enum Round {
    /// Sessions were polled, as fast as the pace allows; there may be more.
    Polled,
    /// No session is due, or none can be polled now.
    NothingDue,
    /// Another instance polls, or this instance's leases are not valid.
    NotOurs,
}

/// Polls expected sessions.
pub(super) struct Poller {
    vendor: Arc<dyn Vendor>,
    sessions: Arc<dyn SessionStore>,
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
    /// Whether this instance is the one that polls.
    is_polling: bool,
    reported_at: Option<Instant>,
    /// The numbers of sessions that are being polled, or were when the store was last read: a row that was read then
    /// may be older than the answer.
    under_way: HashSet<i64>,
    /// Those of them whose poll has ended.
    over: Vec<i64>,
}

impl Poller {
    pub(super) fn new(
        (vendor, sessions): (Arc<dyn Vendor>, Arc<dyn SessionStore>),
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
            is_polling: false,
            reported_at: None,
            under_way: HashSet::new(),
            over: Vec::new(),
        };
        Self {
            vendor,
            sessions,
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

    /// Polls until `tasks` stops. Polls under way then run to their end as tasks of the group.
    pub(super) async fn run(self: Arc<Self>, tasks: TaskGroup) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        tasks.spawn_until_stopped("alarm of missed notifications", Arc::clone(&self).watch());
        let mut is_healthy = true;
        loop {
            let wait = match self.round(&room, &tasks).await {
                Ok(Round::Polled) => Duration::ZERO,
                Ok(Round::NothingDue) => CHECK_INTERVAL,
                Ok(Round::NotOurs) => AFTER_ERROR,
                Err(error) => {
                    if is_healthy {
                        tracing::error!(error = %error, "cannot read the expected sessions that are due; trying again until it can");
                    }
                    is_healthy = false;
                    AFTER_ERROR
                }
            };
            is_healthy |= wait <= CHECK_INTERVAL;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = tasks.stopping() => return,
            }
        }
    }

    /// Polls the sessions that are due now.
    async fn round(
        self: &Arc<Self>,
        room: &Arc<Semaphore>,
        tasks: &TaskGroup,
    ) -> Result<Round, journal::Error> {
        if !self.sessions.is_alive() {
            return Ok(Round::NotOurs);
        }
        self.with(|state| {
            for number in state.over.drain(..) {
                state.under_way.remove(&number);
            }
        });
        let start = now();
        let due = self
            .sessions
            .due_sessions(self.clock.monotonic(), PAGE)
            .await?;
        let Some(due) = due else {
            self.with(|state| state.is_polling = false);
            return Ok(Round::NotOurs);
        };
        if !self.with(|state| state.is_polling) {
            self.take_over_alarm().await?;
            self.with(|state| state.is_polling = true);
        }
        let mut round = Round::NothingDue;
        for session in due {
            if !self.with(|state| state.under_way.insert(session.number)) {
                continue;
            }
            let is_polled = self.poll_in_turn(&session, room, start, tasks).await;
            if !is_polled {
                self.with(|state| state.under_way.remove(&session.number));
                break;
            }
            round = Round::Polled;
        }
        Ok(round)
    }

    /// Waits until the pace allows a poll, and starts it in a task of its own. Returns `false` when the session is not
    /// polled now.
    async fn poll_in_turn(
        self: &Arc<Self>,
        session: &Expected,
        room: &Arc<Semaphore>,
        start: Instant,
        tasks: &TaskGroup,
    ) -> bool {
        // For an unknown kind, two endpoints are called.
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
            // By then the row is out of date, and another instance may be polling.
            () = tokio::time::sleep(FRESH.saturating_sub(now() - start)) => None,
            permit = turn => permit,
        };
        let Some(permit) = permit else { return false };
        if self.breaker.admit(now()) == Admit::None {
            return false;
        }
        let under_way = UnderWay {
            poller: Arc::clone(self),
            number: session.number,
        };
        let session = session.clone();
        tasks.spawn("poll of an expected session", async move {
            under_way.poller.poll(&session).await;
            drop(under_way);
            drop(permit);
        });
        true
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A poll under way. However it ends, even by a panic, the session can be polled again.
struct UnderWay {
    poller: Arc<Poller>,
    number: i64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.poller.breaker.probe_ended();
        self.poller.with(|state| state.over.push(self.number));
    }
}

/// The time by which calls are spaced: the runtime's clock, which a test can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
