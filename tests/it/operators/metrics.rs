//! What the metrics say of the state of things, and that it is so.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use nix::sys::signal::Signal;
use suki_receiver::config::{HttpConfig, Proxy, SinkTarget};
use suki_receiver::lifecycle::Component;

use super::run;
use crate::support::{
    Binary, HttpReceiver, Receiver, Signed, Vendor, completed, eventually, failure, sink,
};

/// The values of a scrape by name and labels, the prefix left out.
fn values(text: &str) -> BTreeMap<&str, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| {
            let name = name.strip_prefix("suki_receiver_").unwrap_or(name);
            (name, value.parse().unwrap())
        })
        .collect()
}

/// Waits until a metric has a value.
async fn shows(receiver: &Receiver, name: &str, value: f64) {
    eventually(&format!("{name} is {value}"), || async {
        values(&receiver.metrics().await).get(name) == Some(&value)
    })
    .await;
}

/// Seconds since 1970.
fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs_f64()
}

#[tokio::test]
async fn ready_is_0_while_no_notification_can_be_taken() {
    let (receiver, store) = Receiver::start_failing(|_| {}).await;
    shows(&receiver, "ready", 1.0).await;
    store.appends_fail.store(true, Ordering::SeqCst);
    let (status, _) = Signed::new(failure("a")).post(&receiver.webhook()).await;
    assert_eq!(status, 503);
    shows(&receiver, "ready", 0.0).await;
    shows(&receiver, "part_well{part=\"store\"}", 0.0).await;
    shows(&receiver, "part_well{part=\"spool\"}", 1.0).await;
    store.appends_fail.store(false, Ordering::SeqCst);
    shows(&receiver, "ready", 1.0).await;
    shows(&receiver, "part_well{part=\"store\"}", 1.0).await;
    let metrics = receiver.metrics().await;
    let parts = metrics.matches("suki_receiver_part_well{part=").count();
    assert_eq!(parts, Component::ALL.len(), "each part is there");
}

#[tokio::test]
async fn the_breaker_is_open_while_sukis_api_fails_as_a_whole() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    shows(&receiver, "sdp_breaker_open", 0.0).await;
    vendor.faults("any=500");
    for n in 0..6 {
        let session = format!("s{n}");
        receiver
            .post(completed(&session, &vendor.completed(&session)))
            .await;
    }
    shows(&receiver, "sdp_breaker_open", 1.0).await;
    vendor.faults("");
    receiver.delivers(6).await;
    shows(&receiver, "sdp_breaker_open", 0.0).await;
}

#[tokio::test]
async fn what_waits_for_a_sink_and_when_it_last_took_something_is_shown() {
    let endpoint = HttpReceiver::start().await;
    endpoint.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let ehr = sink(
        "ehr",
        SinkTarget::Http(HttpConfig {
            template: None,
            url: endpoint.url(),
            secrets: vec![],
            headers: vec![],
            timeout: Duration::from_secs(2),
            ca_file: None,
            proxy: Proxy::None,
        }),
    );
    let before = now();
    let receiver = Receiver::start_with(|config| config.sinks.push(ehr)).await;
    let at_first =
        values(&receiver.metrics().await)["deliveries_total{sink=\"ehr\",result=\"retry\"}"];
    assert!(at_first.abs() < f64::EPSILON, "it begins at nothing");
    for n in 0..3 {
        receiver.post(failure(&format!("s{n}"))).await;
    }
    shows(&receiver, "deliveries_pending{sink=\"ehr\"}", 3.0).await;
    shows(&receiver, "deliveries_pending{sink=\"archive\"}", 0.0).await;
    let oldest = "deliveries_oldest_pending_seconds{sink=\"ehr\"}";
    eventually("the oldest grows older", || async {
        values(&receiver.metrics().await)[oldest] > 0.0
    })
    .await;
    let none = "deliveries_oldest_pending_seconds{sink=\"archive\"}";
    shows(&receiver, none, 0.0).await;
    let last = "sink_last_success_timestamp_seconds{sink=\"ehr\"}";
    shows(&receiver, last, 0.0).await;
    endpoint.answers(|_| StatusCode::OK.into_response());
    shows(&receiver, "deliveries_pending{sink=\"ehr\"}", 0.0).await;
    shows(&receiver, oldest, 0.0).await;
    shows(&receiver, "events{state=\"done\"}", 3.0).await;
    let at = values(&receiver.metrics().await)[last];
    assert!(at >= before.floor() && at <= now(), "{at}");
}

#[tokio::test]
async fn the_room_on_the_disk_of_the_store_is_shown() {
    let receiver = Receiver::start().await;
    eventually("it has looked", || async {
        receiver.metrics().await.contains("disk_size_bytes")
    })
    .await;
    let text = receiver.metrics().await;
    let values = values(&text);
    let (free, size) = (
        values["disk_free_bytes{volume=\"store\"}"],
        values["disk_size_bytes{volume=\"store\"}"],
    );
    assert!(free > 0.0 && free <= size, "{free} of {size}");
}

#[tokio::test]
async fn how_large_the_store_is_and_when_it_was_backed_up_are_shown() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    binary.post(failure("a")).await;
    eventually("it has looked", || async {
        let metrics = binary.metrics().await;
        let values = values(&metrics);
        let size = |name| values.get(name).is_some_and(|bytes| *bytes > 0.0);
        size("store_size_bytes") && size("wal_size_bytes")
    })
    .await;
    let last = async || values(&binary.metrics().await)["backup_last_success_timestamp_seconds"];
    assert_eq!(last().await, 0.0);
    let before = now().floor();
    let made = run(
        dir,
        &["store", "backup", dir.join("copy.db").to_str().unwrap()],
    );
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    eventually("the copy is seen", || async { last().await >= before }).await;
    // A copy that comes to nothing changes nothing.
    let seen = last().await;
    let failed = run(
        dir,
        &["store", "backup", dir.join("copy.db").to_str().unwrap()],
    );
    assert_eq!(failed.code, 1);
    let note = std::fs::read_to_string(dir.join("data/receiver.db.last-backup")).unwrap();
    let noted: jiff::Timestamp = note.trim().parse().unwrap();
    assert_eq!(noted.as_second() as f64, seen);
}

#[tokio::test]
async fn a_reload_that_fails_is_shown_until_one_succeeds() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir(dir.join("config")).unwrap();
    let write = |toml: &str| std::fs::write(dir.join("config/receiver.toml"), toml).unwrap();
    write("");
    let before = now();
    let binary = Binary::start(dir, &[]).await;
    let shows = async |value: f64| {
        eventually(&format!("the last reload is {value}"), || async {
            values(&binary.metrics().await)["config_last_reload_successful"] == value
        })
        .await;
    };
    shows(1.0).await;
    let at = "config_last_reload_success_timestamp_seconds";
    let started = values(&binary.metrics().await)[at];
    assert!(started >= before.floor() && started <= now(), "{started}");
    write("no such key = 1\n");
    binary.signal(Signal::SIGHUP);
    shows(0.0).await;
    let kept = values(&binary.metrics().await)[at];
    assert!((kept - started).abs() < f64::EPSILON, "{kept}");
    write("");
    binary.signal(Signal::SIGHUP);
    shows(1.0).await;
}

#[tokio::test]
async fn the_process_says_when_it_started_and_what_it_uses() {
    let before = now();
    let temp = tempfile::tempdir().unwrap();
    let binary = Binary::start(temp.path(), &[]).await;
    let text = binary.metrics().await;
    let values = values(&text);
    // The kernel counts in hundredths of a second since the machine's start.
    let started = values["process_start_time_seconds"];
    assert!(started > before - 2.0 && started < now() + 2.0, "{started}");
    assert!(values["process_resident_memory_bytes"] > 1e6, "{text}");
    assert!(values["process_open_fds"] > 3.0, "{text}");
    assert!(
        values["process_max_fds"] >= values["process_open_fds"],
        "{text}"
    );
}
