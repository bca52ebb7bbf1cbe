//! Metrics of expected sessions, and of the outcomes of all sessions.

use std::time::Duration;

use super::{Metrics, counter, gauge, histogram};
use crate::domain::{ExpectedState, Outcome, Source};

impl Metrics {
    /// Counts a poll for an expected session, with its result.
    pub fn poll(&self, result: &'static str) {
        counter(
            &self.0.recorder,
            "reconcile_polls_total",
            &[("result", result)],
        )
        .increment(1);
    }

    /// Counts a session that has ended without a notification.
    pub fn push_missed(&self, outcome: Outcome) {
        let labels = [("status", outcome.as_str())];
        counter(&self.0.recorder, "push_missed_total", &labels).increment(1);
    }

    /// Counts a notification that came after its session was recovered.
    pub fn push_late(&self) {
        counter(&self.0.recorder, "push_late_total", &[]).increment(1);
    }

    /// Records the delay between a session's end and its notification.
    pub fn push_delay(&self, delay: Duration) {
        histogram(&self.0.recorder, "push_delay_seconds", &[]).record(delay);
    }

    /// Counts a notification of a session that was not registered, although others were.
    pub fn unexpected_notification(&self) {
        counter(&self.0.recorder, "unexpected_notifications_total", &[]).increment(1);
    }

    /// Counts delivered content that was fetched again.
    pub fn refreshed(&self, has_changed: bool) {
        let result = if has_changed { "changed" } else { "same" };
        counter(&self.0.recorder, "refresh_total", &[("result", result)]).increment(1);
    }

    /// Sets the current limit of polls per second.
    pub fn reconcile_rate(&self, rate: f64) {
        gauge(&self.0.recorder, "reconcile_rate", &[]).set(rate);
    }

    /// Sets the figures of expected sessions: the number in each state, how long the most overdue one is overdue, how
    /// late the most overdue poll is, and the shortest remaining time for which the vendor keeps each resource with a
    /// retention period.
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

    /// Counts a session whose content was retrieved or given up.
    pub fn session(&self, outcome: Outcome, source: Source) {
        let labels = [("outcome", outcome.as_str()), ("source", source.as_str())];
        counter(&self.0.recorder, "sessions_total", &labels).increment(1);
        self.0.history.session(outcome);
    }
}
