//! Metrics of alerts and of synthetic notifications.

use std::time::Duration;

use super::{Metrics, counter, gauge, histogram};

impl Metrics {
    /// Counts a synthetic notification that was answered.
    pub fn canary_answered(&self, took: Duration) {
        counter(&self.0.recorder, "canary_total", &[("result", "answered")]).increment(1);
        histogram(&self.0.recorder, "canary_seconds", &[]).record(took);
    }

    /// Counts a synthetic notification that was not answered. No duration is recorded.
    pub fn canary_missed(&self) {
        counter(&self.0.recorder, "canary_total", &[("result", "missed")]).increment(1);
    }

    /// Initialises the metrics of synthetic notifications with zero. Called when they are enabled.
    pub fn knows_canary(&self) {
        for result in ["answered", "missed"] {
            counter(&self.0.recorder, "canary_total", &[("result", result)]).absolute(0);
        }
    }

    /// Notes that an alert of this type was raised or resolved.
    pub fn alert(&self, alert: &'static str, is_raised: bool) {
        let labels = [("type", alert)];
        if is_raised {
            counter(&self.0.recorder, "alerts_total", &labels).increment(1);
        }
        let on = gauge(&self.0.recorder, "alerts", &labels);
        on.increment(if is_raised { 1.0 } else { -1.0 });
    }

    /// Notes that an alert of this type was taken over from an earlier process.
    pub fn alert_taken_over(&self, alert: &'static str) {
        gauge(&self.0.recorder, "alerts", &[("type", alert)]).increment(1.0);
    }

    /// Initialises the metrics of an alert type with zero.
    pub fn knows_alert(&self, alert: &'static str) {
        counter(&self.0.recorder, "alerts_total", &[("type", alert)]).absolute(0);
        gauge(&self.0.recorder, "alerts", &[("type", alert)]).set(0.0);
    }
}
