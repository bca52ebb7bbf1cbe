//! What is counted of alerts and of synthetic notifications.

use std::time::Duration;

use super::{Metrics, counter, gauge, histogram};

impl Metrics {
    /// A synthetic notification was answered.
    pub fn canary_answered(&self, took: Duration) {
        counter(&self.0.recorder, "canary_total", &[("result", "answered")]).increment(1);
        histogram(&self.0.recorder, "canary_seconds", &[]).record(took);
    }

    /// One was not, so that there is no time that it took.
    pub fn canary_missed(&self) {
        counter(&self.0.recorder, "canary_total", &[("result", "missed")]).increment(1);
    }

    /// Synthetic notifications are sent: what is counted of them begins at nothing.
    pub fn knows_canary(&self) {
        for result in ["answered", "missed"] {
            counter(&self.0.recorder, "canary_total", &[("result", result)]).absolute(0);
        }
    }

    /// An alert of this type was raised, or is resolved.
    pub fn alert(&self, alert: &'static str, is_raised: bool) {
        let labels = [("type", alert)];
        if is_raised {
            counter(&self.0.recorder, "alerts_total", &labels).increment(1);
        }
        let on = gauge(&self.0.recorder, "alerts", &labels);
        on.increment(if is_raised { 1.0 } else { -1.0 });
    }

    /// An alert of this type is on since an earlier process.
    pub fn alert_taken_over(&self, alert: &'static str) {
        gauge(&self.0.recorder, "alerts", &[("type", alert)]).increment(1.0);
    }

    /// There is an alert of this type: what is counted of it begins at nothing.
    pub fn knows_alert(&self, alert: &'static str) {
        counter(&self.0.recorder, "alerts_total", &[("type", alert)]).absolute(0);
        gauge(&self.0.recorder, "alerts", &[("type", alert)]).set(0.0);
    }
}
