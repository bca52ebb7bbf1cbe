//! The service's metrics. Code that counts gets a handle; there is no global registry.
//!
//! No identifier of a patient, session or encounter is ever a label.

mod alerts;
mod console;
mod describe;
mod history;
mod labels;
mod outgoing;
mod sessions;
mod store;
mod traces;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LockResult, PoisonError, RwLock};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use self::describe::describe;
use self::history::History;
pub use self::history::{Minute, Times};
pub use self::labels::{Answer, Bound};
pub use self::traces::SpansDropped;
use crate::domain::{EventState, Outcome};

const PREFIX: &str = "suki_receiver_";
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0,
];
/// The results of a replay of one event.
const REPLAYS: [&str; 4] = ["scheduled", "no_content", "not_retrieved", "no_sink"];
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
static METADATA: Metadata<'static> = Metadata::new("suki_receiver", Level::INFO, None);

/// The metrics of one receiver. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    hot: Hot,
    /// Metrics of the process: memory, open files, start time.
    process: metrics_process::Collector,
    /// The counters by the secret's name, each made when that secret is first used.
    signatures: RwLock<HashMap<String, Counter>>,
    history: History,
    sinks_down: RwLock<HashSet<String>>,
}

/// The metrics that each event changes, looked up once for speed.
struct Hot {
    accepted: Counter,
    duplicate: Counter,
    ack_seconds: Histogram,
    sdp_request_seconds: Histogram,
    end_to_end_seconds: Histogram,
    commit_seconds: Histogram,
    batch_size: Histogram,
    connections: Gauge,
}

impl Metrics {
    /// Makes metrics with their own registry.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("batch_size".to_owned()), BATCH)
            })
            .expect("the bucket lists are not empty")
            .build_recorder();
        describe(&recorder);
        let process = metrics_process::Collector::default();
        ::metrics::with_local_recorder(&recorder, || process.describe());
        let handle = recorder.handle();
        let hot = Hot {
            accepted: counter(
                &recorder,
                "notifications_total",
                &[("result", Answer::Accepted.as_str())],
            ),
            duplicate: counter(
                &recorder,
                "notifications_total",
                &[("result", Answer::Duplicate.as_str())],
            ),
            ack_seconds: histogram(&recorder, "ack_seconds", &[]),
            sdp_request_seconds: histogram(&recorder, "sdp_request_seconds", &[]),
            end_to_end_seconds: histogram(&recorder, "end_to_end_seconds", &[]),
            commit_seconds: histogram(&recorder, "journal_commit_seconds", &[]),
            batch_size: histogram(&recorder, "journal_batch_size", &[]),
            connections: gauge(&recorder, "connections", &[]),
        };
        for answer in Answer::ALL {
            counter(
                &recorder,
                "notifications_total",
                &[("result", answer.as_str())],
            )
            .increment(0);
        }
        gauge(
            &recorder,
            "build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
        )
        .set(1.0);
        for name in ["spool_events", "spool_oldest_seconds"] {
            gauge(&recorder, name, &[]).set(0.0);
        }
        for bound in Bound::ALL {
            counter(
                &recorder,
                "unavailable_total",
                &[("reason", bound.as_str())],
            )
            .absolute(0);
        }
        counter(&recorder, "refused_not_kept_total", &[]).absolute(0);
        for name in [
            "content_reveals_total",
            "misrouted_total",
            "notifications_stale_total",
            "connections_full_total",
            "sdp_breaker_opened_total",
            "push_late_total",
            "unexpected_notifications_total",
        ] {
            counter(&recorder, name, &[]).absolute(0);
        }
        for outcome in Outcome::ALL {
            let labels = [("status", outcome.as_str())];
            counter(&recorder, "push_missed_total", &labels).absolute(0);
        }
        for result in ["ok", "denied", "limited"] {
            counter(&recorder, "console_sign_ins_total", &[("result", result)]).absolute(0);
        }
        for result in REPLAYS {
            counter(&recorder, "replays_total", &[("result", result)]).absolute(0);
        }
        for code in ["401", "403"] {
            counter(&recorder, "admin_refused_total", &[("code", code)]).absolute(0);
        }
        Self(Arc::new(Inner {
            recorder,
            handle,
            hot,
            process,
            signatures: RwLock::default(),
            history: History::default(),
            sinks_down: RwLock::default(),
        }))
    }

    /// Counts a notification that was answered `took` after its headers had come.
    pub fn notification(&self, answer: Answer, took: Duration) {
        let hot = &self.0.hot;
        match answer {
            Answer::Accepted => hot.accepted.increment(1),
            Answer::Duplicate => hot.duplicate.increment(1),
            Answer::Unauthorized
            | Answer::Malformed
            | Answer::TooLarge
            | Answer::TimedOut
            | Answer::Unavailable => {
                counter(
                    &self.0.recorder,
                    "notifications_total",
                    &[("result", answer.as_str())],
                )
                .increment(1);
            }
        }
        hot.ack_seconds.record(took);
        self.0.history.answered(answer, took);
    }

    /// Counts a notification that came to a path other than the webhook's.
    pub fn misrouted(&self) {
        counter(&self.0.recorder, "misrouted_total", &[]).increment(1);
    }

    /// Counts an authentic notification whose time of signing is further in the past or future than
    /// `signature.tolerance`.
    pub fn stale(&self) {
        counter(&self.0.recorder, "notifications_stale_total", &[]).increment(1);
    }

    /// Counts a signature that was verified with the secret of this name.
    pub fn signature(&self, secret: &str) {
        let known = &self.0.signatures;
        if let Some(counter) = lock(known.read()).get(secret) {
            return counter.increment(1);
        }
        let counter = counter(&self.0.recorder, "signatures_total", &[("secret", secret)]);
        counter.increment(1);
        lock(known.write()).insert(secret.to_owned(), counter);
    }

    /// Counts a notification that was answered 503.
    pub fn unavailable(&self, bound: Bound) {
        let labels = [("reason", bound.as_str())];
        counter(&self.0.recorder, "unavailable_total", &labels).increment(1);
    }

    /// Counts a refused request that was not kept because too many came at once.
    pub fn rejected_not_kept(&self) {
        counter(&self.0.recorder, "refused_not_kept_total", &[]).increment(1);
    }

    /// Records that the store committed a batch of `size` writes.
    pub fn journal_commit(&self, size: usize, took: Duration) {
        self.0.hot.commit_seconds.record(took);
        self.0
            .hot
            .batch_size
            .record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    /// Counts a connection of the public listener that was opened (`1.0`) or closed (`-1.0`).
    pub fn connection(&self, change: f64) {
        self.0.hot.connections.increment(change);
    }

    /// Counts that the public listener has reached its limit of connections.
    pub fn connections_full(&self) {
        counter(&self.0.recorder, "connections_full_total", &[]).increment(1);
    }

    /// Counts connections that were refused before a handler saw a request.
    pub fn connections_refused(&self, reason: &'static str, count: u64) {
        counter(
            &self.0.recorder,
            "connections_refused_total",
            &[("reason", reason)],
        )
        .increment(count);
    }

    /// Sets whether a notification can be accepted.
    pub fn set_ready(&self, is_ready: bool) {
        self.set("ready", &[], u64::from(is_ready));
    }

    /// Records that a configuration was read, and when it was put in force; `None` if it could not be.
    pub fn config_read(&self, in_force: Option<jiff::Timestamp>) {
        self.set(
            "config_last_reload_successful",
            &[],
            u64::from(in_force.is_some()),
        );
        if let Some(at) = in_force {
            self.at("config_last_reload_success_timestamp_seconds", &[], at);
        }
    }

    /// Sets whether a part of `/readyz` is healthy.
    pub fn set_part_well(&self, part: &'static str, is_well: bool) {
        self.set("part_well", &[("part", part)], u64::from(is_well));
    }

    /// Sets the total of log lines that were dropped because the log could not be written as fast.
    pub fn log_lines_dropped(&self, total: u64) {
        counter(&self.0.recorder, "log_lines_dropped_total", &[]).absolute(total);
    }

    /// Sets the number of events in each state, and the age of the oldest one in progress.
    pub fn set_events(&self, counts: &[(EventState, u64)], oldest_pending: Duration) {
        for state in EventState::ALL {
            let count = counts
                .iter()
                .find(|(known, _)| known == state)
                .map_or(0, |(_, count)| *count);
            self.set("events", &[("state", state.as_str())], count);
        }
        gauge(&self.0.recorder, "oldest_pending_seconds", &[]).set(oldest_pending.as_secs_f64());
    }

    /// Sets the time at which the certificate of a listener expires.
    pub fn certificate_not_after(&self, listener: &'static str, at: jiff::Timestamp) {
        self.at(
            "certificate_not_after_timestamp_seconds",
            &[("listener", listener)],
            at,
        );
    }

    /// Counts a call of the admin API that was refused because it lacks a token or a role.
    pub fn admin_refused(&self, code: &'static str) {
        counter(&self.0.recorder, "admin_refused_total", &[("code", code)]).increment(1);
    }

    /// Sets the number of rejected requests that are kept.
    pub fn set_rejected_kept(&self, count: u64) {
        self.set("refused_kept", &[], count);
    }

    fn at(&self, name: &'static str, labels: &[(&'static str, &str)], at: jiff::Timestamp) {
        self.set(name, labels, u64::try_from(at.as_second()).unwrap_or(0));
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; counts stay far below 2^52"
    )]
    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        gauge(&self.0.recorder, name, labels).set(count as f64);
    }

    /// Renders all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        ::metrics::with_local_recorder(&self.0.recorder, || self.0.process.collect());
        self.0.handle.render()
    }

    /// Folds recorded samples into their buckets. Must be called every few seconds, since samples otherwise accumulate.
    pub fn upkeep(&self) {
        self.0.handle.run_upkeep();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn lock<G>(guard: LockResult<G>) -> G {
    guard.unwrap_or_else(PoisonError::into_inner)
}

fn key(name: &str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(format!("{PREFIX}{name}"), labels)
}

fn counter(recorder: &PrometheusRecorder, name: &str, labels: &[(&'static str, &str)]) -> Counter {
    recorder.register_counter(&key(name, labels), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, name: &str, labels: &[(&'static str, &str)]) -> Gauge {
    recorder.register_gauge(&key(name, labels), &METADATA)
}

fn histogram(
    recorder: &PrometheusRecorder,
    name: &str,
    labels: &[(&'static str, &str)],
) -> Histogram {
    recorder.register_histogram(&key(name, labels), &METADATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_registries_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.notification(Answer::Accepted, Duration::from_millis(1));
        assert!(
            one.render()
                .contains("suki_receiver_notifications_total{result=\"accepted\"} 1"),
            "{}",
            one.render()
        );
        assert!(
            other
                .render()
                .contains("suki_receiver_notifications_total{result=\"accepted\"} 0")
        );
    }
}
