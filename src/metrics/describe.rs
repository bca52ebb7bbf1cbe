//! The help texts of all metrics.

use ::metrics::{KeyName, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::PREFIX;

/// Gives each metric its text.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    type Describe = fn(&PrometheusRecorder, KeyName, Option<Unit>, SharedString);
    let (counters, gauges, histograms): (Describe, Describe, Describe) = (
        Recorder::describe_counter,
        Recorder::describe_gauge,
        Recorder::describe_histogram,
    );
    let texts: Vec<(Describe, &str, &'static str)> = vec![
        (counters, "notifications_total", "Notifications by answer."),
        (
            histograms,
            "ack_seconds",
            "From the headers of a notification to its answer.",
        ),
        (
            histograms,
            "journal_commit_seconds",
            "One transaction of the store, the fsync included.",
        ),
        (
            histograms,
            "journal_batch_size",
            "Writes committed together.",
        ),
        (gauges, "events", "Events by state."),
        (
            gauges,
            "oldest_pending_seconds",
            "Age of the oldest event that is not done, dead or quarantined.",
        ),
        (
            counters,
            "sdp_requests_total",
            "Calls to the SDP API by endpoint and status.",
        ),
        (
            histograms,
            "sdp_request_seconds",
            "One call to the SDP API, the body included.",
        ),
        (
            counters,
            "sdp_logins_total",
            "Logins to the SDP API by identity and result.",
        ),
        (
            counters,
            "deliveries_total",
            "Delivery attempts by sink and result.",
        ),
        (histograms, "delivery_seconds", "One delivery attempt."),
        (
            histograms,
            "end_to_end_seconds",
            "From the receipt of a notification to its last delivery.",
        ),
        (
            gauges,
            "refused_kept",
            "Requests that no secret matched and that are kept for `events reverify`.",
        ),
        (
            counters,
            "unavailable_total",
            "Notifications answered 503, by what was in the way: memory, queue, deadline or store.",
        ),
        (
            counters,
            "refused_not_kept_total",
            "Requests that no secret matched and that were not kept, since too many came at once.",
        ),
        (
            counters,
            "misrouted_total",
            "Notifications that came to another path than server.path.",
        ),
        (
            counters,
            "signatures_total",
            "Notifications by the signing secret that they were signed with.",
        ),
        (gauges, "spool_events", "Events in the local spool."),
        (
            gauges,
            "spool_oldest_seconds",
            "Age of the oldest event in the local spool.",
        ),
        (
            gauges,
            "store_size_bytes",
            "Size of the embedded store's file, or of the database.",
        ),
        (
            gauges,
            "wal_size_bytes",
            "Size of the embedded store's write-ahead log.",
        ),
        (
            gauges,
            "backup_last_success_timestamp_seconds",
            "When `store backup` last copied the embedded store; 0 for never.",
        ),
        (
            counters,
            "replays_total",
            "Events that were to be replayed, by result.",
        ),
        (
            counters,
            "notifications_stale_total",
            "Authentic notifications whose time of signing is outside of signature.tolerance.",
        ),
        (gauges, "part_well", "1 while this part of /readyz is well."),
        (
            gauges,
            "sdp_token_expiry_timestamp_seconds",
            "When the token ends that an identity has now; 0 where it has none.",
        ),
        (
            gauges,
            "deliveries_oldest_pending_seconds",
            "Age of the oldest event with a delivery that waits and that nobody works on now, by sink.",
        ),
        (gauges, "build_info", "The version that runs."),
        (
            gauges,
            "connections",
            "Open connections of the public listener.",
        ),
        (
            counters,
            "connections_full_total",
            "Times the public listener was at its bound of connections.",
        ),
        (
            counters,
            "connections_refused_total",
            "Connections refused before a request was handled, by reason.",
        ),
        (
            counters,
            "log_lines_dropped_total",
            "Log lines dropped because the log could not be written as fast.",
        ),
        (
            counters,
            "sessions_total",
            "Sessions whose event was retrieved or given up, by outcome and source.",
        ),
        (gauges, "expected_sessions", "Expected sessions by state."),
        (
            gauges,
            "expected_overdue_seconds",
            "For how long the notification of the longest overdue expected session is overdue.",
        ),
        (
            counters,
            "push_missed_total",
            "Sessions that had ended when they were asked for and whose notification had not come, by how they ended.",
        ),
        (
            counters,
            "push_late_total",
            "Notifications that came after their session was recovered by asking.",
        ),
        (
            histograms,
            "push_delay_seconds",
            "From the end of a session, as the partner reports it, to the receipt of its notification.",
        ),
        (
            counters,
            "unexpected_notifications_total",
            "Notifications of sessions that nobody had registered, once sessions are registered at all.",
        ),
        (
            counters,
            "reconcile_polls_total",
            "Polls for expected sessions by result.",
        ),
        (
            gauges,
            "reconcile_lag_seconds",
            "How late the most overdue poll for an expected session is.",
        ),
        (
            gauges,
            "reconcile_rate",
            "Current limit of polls a second for expected sessions; lowered while the SDP API asks for it.",
        ),
        (
            gauges,
            "retention_left_seconds",
            "Shortest time for which Suki still keeps what could be fetched of an awaited session, by resource.",
        ),
        (
            counters,
            "refresh_total",
            "Times that delivered content was fetched again, by whether it had changed.",
        ),
        (
            counters,
            "canary_total",
            "Synthetic notifications by result: answered or missed.",
        ),
        (
            histograms,
            "canary_seconds",
            "From the sending of a synthetic notification to its answer.",
        ),
        (
            counters,
            "console_sign_ins_total",
            "Sign-ins to the console by result: ok, denied or limited.",
        ),
        (
            counters,
            "content_reveals_total",
            "Times that the console has shown clinical content.",
        ),
        (
            counters,
            "otel_spans_exported_total",
            "Spans that the collector took.",
        ),
        (
            counters,
            "otel_spans_dropped_total",
            "Spans that were dropped, by reason.",
        ),
        (
            gauges,
            "stream_clients",
            "Clients that watch the admin API's stream.",
        ),
        (gauges, "alerts", "Alerts that are on, by type."),
        (counters, "alerts_total", "Alerts raised by type."),
        (
            gauges,
            "sink_down",
            "1 while a sink fails as a whole and its deliveries wait.",
        ),
        (
            gauges,
            "sink_paused",
            "1 while an operator has paused a sink and its deliveries wait.",
        ),
        (
            counters,
            "sdp_breaker_opened_total",
            "Times the SDP API was found to be down as a whole.",
        ),
        (
            gauges,
            "certificate_not_after_timestamp_seconds",
            "When the certificate of a listener ends.",
        ),
        (
            counters,
            "admin_refused_total",
            "Calls of the admin API refused for want of a token or a role, by code.",
        ),
        (gauges, "ready", "1 while a notification can be taken."),
        (
            gauges,
            "sdp_breaker_open",
            "1 while the SDP API is down as a whole and events wait for it.",
        ),
        (
            gauges,
            "deliveries_pending",
            "Deliveries that wait and that nobody works on now, by sink.",
        ),
        (
            gauges,
            "sink_last_success_timestamp_seconds",
            "When a sink last took a delivery of this process; 0 where it has taken none.",
        ),
        (
            gauges,
            "disk_free_bytes",
            "Room for the service on the disk of its data folder.",
        ),
        (
            gauges,
            "disk_size_bytes",
            "Size of the disk of the data folder.",
        ),
        (
            gauges,
            "config_last_reload_successful",
            "1 where the configuration that was read last is in force.",
        ),
        (
            gauges,
            "config_last_reload_success_timestamp_seconds",
            "When a configuration was last put in force.",
        ),
    ];
    for (describe, name, help) in texts {
        describe(
            recorder,
            KeyName::from(format!("{PREFIX}{name}")),
            None,
            SharedString::from(help),
        );
    }
}
