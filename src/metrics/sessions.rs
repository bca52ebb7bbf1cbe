//! What is counted of expected sessions, and of what became of all.

use std::time::Duration;

use super::{Metrics, counter, gauge, histogram};
use crate::domain::{ExpectedState, Outcome, Source};

impl Metrics {
    /// A question for an expected session was answered, or was not.
    pub fn poll(&self, result: &'static str) {
        counter(
            &self.0.recorder,
            "reconcile_polls_total",
            &[("result", result)],
        )
        .increment(1);
    }

    /// A session has ended, and no notification came.
    pub fn push_missed(&self, outcome: Outcome) {
        let labels = [("status", outcome.as_str())];
        counter(&self.0.recorder, "push_missed_total", &labels).increment(1);
    }

    /// A notification came after its session was recovered.
    pub fn push_late(&self) {
        counter(&self.0.recorder, "push_late_total", &[]).increment(1);
    }

    /// A notification came, so long after its session's end.
    pub fn push_delay(&self, delay: Duration) {
        histogram(&self.0.recorder, "push_delay_seconds", &[]).record(delay);
    }

    /// A notification came of a session that nobody registered, though others are.
    pub fn unexpected_notification(&self) {
        counter(&self.0.recorder, "unexpected_notifications_total", &[]).increment(1);
    }

    /// What was delivered was fetched again.
    pub fn refreshed(&self, has_changed: bool) {
        let result = if has_changed { "changed" } else { "same" };
        counter(&self.0.recorder, "refresh_total", &[("result", result)]).increment(1);
    }

    /// How many questions a second are asked at most, now.
    pub fn reconcile_rate(&self, rate: f64) {
        gauge(&self.0.recorder, "reconcile_rate", &[]).set(rate);
    }

    /// How expected sessions stand: how many in each state, for how long the longest overdue one is, how late the latest
    /// question is, and how much is left of the shortest time for which the vendor keeps what has a clock.
    pub fn set_expected(
        &self,
        counts: &[(ExpectedState, u64)],
        overdue: Duration,
        lag: Duration,
        left: Option<Duration>,
    ) {
        for state in ExpectedState::ALL {
            let of_it = counts.iter().filter(|(known, _)| known == state);
            let count = of_it.map(|(_, count)| count).sum();
            self.set("expected_sessions", &[("state", state.as_str())], count);
        }
        let set = |name, seconds: f64| gauge(&self.0.recorder, name, &[]).set(seconds);
        set("expected_overdue_seconds", overdue.as_secs_f64());
        set("reconcile_lag_seconds", lag.as_secs_f64());
        if let Some(left) = left {
            let labels = [("resource", "transcripts")];
            gauge(&self.0.recorder, "retention_left_seconds", &labels).set(left.as_secs_f64());
        }
    }

    /// What is to be had of a session is there, or given up.
    pub fn session(&self, outcome: Outcome, source: Source) {
        let labels = [("outcome", outcome.as_str()), ("source", source.as_str())];
        counter(&self.0.recorder, "sessions_total", &labels).increment(1);
        self.0.history.session(outcome);
    }
}
