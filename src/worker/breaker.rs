//! A breaker for the vendor's API and one for each sink: while one fails as a whole, its work waits in the journal and one
//! attempt at a time finds out whether it is back. So an outage makes no storm, neither of calls nor of lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lifecycle::{Component, Readiness};
use crate::metrics::Metrics;

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
/// First and longest time that it stays open.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest for a sink, which is asked by this service alone and not by every partner's.
const LONGEST_FOR_SINK: Duration = Duration::from_secs(10);

/// The breaker.
pub(super) struct Breaker {
    state: Mutex<State>,
    metrics: Metrics,
    guarded: Guarded,
}

/// What a breaker stands before, and who is told how it does.
pub(super) enum Guarded {
    /// The vendor's API.
    Sdp(Readiness),
    /// The sink of this name.
    Sink(String),
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When it last answered as it should.
    answered: Option<Instant>,
    open_until: Option<Instant>,
    /// Whether the one attempt that may find out is under way, since when.
    probe: Option<Instant>,
    openings: u32,
}

/// How much may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admit {
    /// As much as there is room for.
    All,
    /// One attempt, to find out.
    One,
    /// Nothing.
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

    /// Whether all is well, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_none()
    }

    /// Whether it has answered anyone as it should since then.
    pub(super) fn has_answered_since(&self, then: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answered.is_some_and(|answered| answered >= then)
    }

    /// How much may be tried at `now`. [`Admit::One`] is given out once, and again when it was not reported back within
    /// the longest opening.
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

    /// The attempt that was let through is over, whether or not it asked the API anything; the next one may try.
    pub(super) fn probe_ended(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .probe = None;
    }

    /// It answered as it should, if not always with what was hoped for.
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

    /// It failed as a whole.
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
