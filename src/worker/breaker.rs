//! Circuit breakers, one for the vendor's API and one for each sink. While the API or a sink is down, its work waits in
//! the journal, and one attempt at a time, the probe, finds out whether it is back. So an outage causes no flood of
//! calls or of log lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lifecycle::{Component, Readiness};
use crate::metrics::Metrics;

/// The number of consecutive failures that opens it.
const THRESHOLD: u32 = 5;
/// The first and the longest time that it stays open.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest time for a sink, which only this service calls, whereas every partner calls the vendor's API.
const LONGEST_FOR_SINK: Duration = Duration::from_secs(10);

/// A circuit breaker.
pub(super) struct Breaker {
    state: Mutex<State>,
    metrics: Metrics,
    guarded: Guarded,
}

/// The dependency that a breaker protects, and the readiness that it updates.
pub(super) enum Guarded {
    /// The vendor's API.
    Sdp(Readiness),
    /// The sink of this name.
    Sink(String),
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the dependency last answered as it should.
    answered: Option<Instant>,
    open_until: Option<Instant>,
    /// When the probe began, while it is under way.
    probe: Option<Instant>,
    openings: u32,
}

/// How many attempts may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admit {
    /// As many as there is room for.
    All,
    /// One attempt, as a probe.
    One,
    /// None.
    None,
}

impl Breaker {
    pub(super) fn new(metrics: Metrics, guarded: Guarded) -> Self {
        match &guarded {
            Guarded::Sdp(_) => metrics.sdp_breaker_open(false),
            Guarded::Sink(sink) => metrics.sink(sink),
        }
        Self {
            state: Mutex::default(),
            metrics,
            guarded,
        }
    }

    /// Whether the breaker is closed.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_none()
    }

    /// Whether any call has been answered as it should since `then`.
    pub(super) fn has_answered_since(&self, then: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answered.is_some_and(|answered| answered >= then)
    }

    /// How many attempts may be made at `now`. [`Admit::One`] is returned once, and again if the probe has not ended
    /// within the longest opening.
    pub(super) fn admit(&self, now: Instant) -> Admit {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (state.open_until, state.probe) {
            (None, _) => Admit::All,
            (Some(until), _) if now < until => Admit::None,
            (Some(_), Some(since)) if now.duration_since(since) < LONGEST => Admit::None,
            (Some(_), _) => {
                state.probe = Some(now);
                Admit::One
            }
        }
    }

    /// Ends the probe, whether or not it has called the dependency, so that another probe may begin.
    pub(super) fn probe_ended(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .probe = None;
    }

    /// Records an answer. It need not be a success: a refusal shows that the dependency is up as well.
    pub(super) fn success(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (was_open, had_failed) = (state.open_until.is_some(), state.failures > 0);
        state.answered = Some(now);
        if !was_open && !had_failed {
            return;
        }
        *state = State {
            answered: state.answered,
            ..State::default()
        };
        match &self.guarded {
            Guarded::Sdp(readiness) => {
                if was_open {
                    self.metrics.sdp_breaker_open(false);
                    tracing::info!("the SDP API is back");
                }
                readiness.set_healthy(Component::Sdp);
            }
            Guarded::Sink(sink) => {
                if was_open {
                    tracing::info!(sink, "the sink is back");
                    self.metrics.sink_down(sink, false);
                }
            }
        }
    }

    /// Records a failure of the dependency as a whole.
    pub(super) fn failure(&self, now: Instant, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        let was_probe = state.probe.take().is_some();
        if state.failures < THRESHOLD || (state.open_until.is_some() && !was_probe) {
            return;
        }
        let is_new = state.open_until.is_none();
        let wait = FIRST
            .saturating_mul(1 << state.openings.min(16))
            .min(match self.guarded {
                Guarded::Sdp(_) => LONGEST,
                Guarded::Sink(_) => LONGEST_FOR_SINK,
            });
        state.openings += 1;
        state.open_until = Some(now + wait);
        match &self.guarded {
            Guarded::Sdp(readiness) => {
                if is_new {
                    self.metrics.sdp_breaker_opened();
                    tracing::warn!(
                        reason,
                        "the SDP API fails as a whole; events wait until it is back"
                    );
                }
                readiness.set_unhealthy(
                    Component::Sdp,
                    format!("unreachable ({reason}); what comes is kept and waits"),
                );
            }
            Guarded::Sink(sink) => {
                if is_new {
                    self.metrics.sink_down(sink, true);
                    tracing::warn!(
                        sink,
                        reason,
                        "the sink fails as a whole; its deliveries wait until it is back"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(Metrics::new(), Guarded::Sink("ehr".to_owned()));
        (0..THRESHOLD).for_each(|_| breaker.failure(now, "HTTP 503"));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_through_at_a_time() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now), Admit::None);
        let later = now + FIRST;
        assert_eq!(breaker.admit(later), Admit::One);
        assert_eq!(breaker.admit(later), Admit::None);
        assert!(!breaker.has_answered_since(now));
        breaker.success(now);
        assert!(breaker.has_answered_since(now) && !breaker.has_answered_since(later));
        assert_eq!(breaker.admit(later), Admit::All);
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now + FIRST), Admit::One);
        breaker.failure(now + FIRST, "HTTP 503");
        assert_eq!(breaker.admit(now + FIRST * 2), Admit::None);
        assert_eq!(breaker.admit(now + FIRST * 3), Admit::One);
    }

    #[test]
    fn a_probe_that_never_reports_does_not_close_it_for_ever() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now + FIRST), Admit::One);
        assert_eq!(breaker.admit(now + FIRST + LONGEST), Admit::One);
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let breaker = Breaker::new(Metrics::new(), Guarded::Sink("ehr".to_owned()));
        let now = Instant::now();
        for _ in 0..3 {
            (1..THRESHOLD).for_each(|_| breaker.failure(now, "HTTP 503"));
            breaker.success(now);
        }
        assert_eq!(breaker.admit(now), Admit::All);
    }
}
