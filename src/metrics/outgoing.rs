//! Metrics of calls to the vendor's API and of deliveries.

use std::time::Duration;

use super::{Metrics, counter, gauge, histogram, lock};

/// The results of a delivery attempt.
const DELIVERIES: [&str; 3] = ["delivered", "retry", "rejected"];

impl Metrics {
    /// Records a call to the vendor's API; `code` is its HTTP status, or a word if there was none.
    pub fn sdp_request(&self, endpoint: &'static str, code: &str, took: Duration) {
        counter(
            &self.0.recorder,
            "sdp_requests_total",
            &[("endpoint", endpoint), ("code", code)],
        )
        .increment(1);
        self.0.hot.sdp_request_seconds.record(took);
    }

    /// Initialises the metrics of an identity with zero.
    pub fn sdp_identity(&self, identity: &str) {
        for result in ["ok", "failed"] {
            let labels = [("identity", identity), ("result", result)];
            counter(&self.0.recorder, "sdp_logins_total", &labels).absolute(0);
        }
        self.sdp_token(identity, None);
    }

    /// Sets when an identity's current token expires; `None` if it has no token.
    pub fn sdp_token(&self, identity: &str, ends_at: Option<jiff::Timestamp>) {
        let at = ends_at.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let labels = [("identity", identity)];
        self.at("sdp_token_expiry_timestamp_seconds", &labels, at);
    }

    /// Counts a login; `identity` is its name in the configuration.
    pub fn sdp_login(&self, identity: &str, result: &'static str) {
        let labels = [("identity", identity), ("result", result)];
        counter(&self.0.recorder, "sdp_logins_total", &labels).increment(1);
    }

    /// Counts that the breaker opened because the SDP API is down as a whole.
    pub fn sdp_breaker_opened(&self) {
        counter(&self.0.recorder, "sdp_breaker_opened_total", &[]).increment(1);
        self.sdp_breaker_open(true);
    }

    /// Sets whether the breaker is open.
    pub fn sdp_breaker_open(&self, is_open: bool) {
        self.set("sdp_breaker_open", &[], u64::from(is_open));
    }

    /// Initialises the metrics of a sink with zero, so that its first failure is seen as an increase.
    pub fn sink(&self, sink: &str) {
        for result in DELIVERIES {
            let labels = [("sink", sink), ("result", result)];
            counter(&self.0.recorder, "deliveries_total", &labels).absolute(0);
        }
        self.set("sink_last_success_timestamp_seconds", &[("sink", sink)], 0);
        self.sink_down(sink, false);
    }

    /// Records that a sink accepted a delivery.
    pub fn sink_took(&self, sink: &str, at: jiff::Timestamp) {
        self.at("sink_last_success_timestamp_seconds", &[("sink", sink)], at);
    }

    /// Sets whether a sink fails as a whole.
    pub fn sink_down(&self, sink: &str, is_down: bool) {
        self.set("sink_down", &[("sink", sink)], u64::from(is_down));
        let mut down = lock(self.0.sinks_down.write());
        if is_down {
            down.insert(sink.to_owned());
        } else {
            down.remove(sink);
        }
    }

    /// Whether a sink fails as a whole.
    pub fn is_sink_down(&self, sink: &str) -> bool {
        lock(self.0.sinks_down.read()).contains(sink)
    }

    /// Sets how many deliveries wait for a sink, and how long ago the oldest one's event was received.
    pub fn set_deliveries_pending(&self, sink: &str, count: u64, oldest: Duration) {
        let labels = [("sink", sink)];
        self.set("deliveries_pending", &labels, count);
        gauge(
            &self.0.recorder,
            "deliveries_oldest_pending_seconds",
            &labels,
        )
        .set(oldest.as_secs_f64());
    }

    /// Sets which of these sinks are paused.
    pub fn set_sinks_paused(&self, sinks: &[String], is_paused: impl Fn(&str) -> bool) {
        for sink in sinks {
            let labels = [("sink", sink.as_str())];
            self.set("sink_paused", &labels, u64::from(is_paused(sink)));
        }
    }

    /// Records a delivery attempt.
    pub fn delivery(&self, sink: &str, result: &'static str, took: Duration) {
        counter(
            &self.0.recorder,
            "deliveries_total",
            &[("sink", sink), ("result", result)],
        )
        .increment(1);
        histogram(&self.0.recorder, "delivery_seconds", &[("sink", sink)]).record(took);
    }

    /// Records an event that was done `took` after its receipt.
    pub fn end_to_end(&self, took: Duration) {
        self.0.hot.end_to_end_seconds.record(took);
        self.0.history.done(took);
    }

    /// Counts a dead event in the history.
    pub fn dead(&self) {
        self.0.history.dead();
    }
}
