//! Waits have a floor: whatever a peer asks for, and however much waits for it, there is no storm.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use suki_receiver::config::{HttpConfig, Retry, SinkTarget};

use crate::support::{
    HttpReceiver, Receiver, Vendor, completed, eventually, failure, files_below, sink, until,
};

fn http_sink(endpoint: &HttpReceiver) -> suki_receiver::config::SinkConfig {
    let http = HttpConfig {
        template: None,
        url: endpoint.url(),
        secrets: vec![],
        headers: vec![],
        timeout: Duration::from_secs(2),
        ca_file: None,
        proxy: suki_receiver::config::Proxy::None,
    };
    sink("ehr", SinkTarget::Http(http))
}

#[tokio::test]
async fn a_sink_that_is_down_gets_a_few_probes_however_much_waits_for_it() {
    const EVENTS: usize = 150;
    let endpoint = HttpReceiver::start().await;
    endpoint.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let ehr = http_sink(&endpoint);
    let receiver = Receiver::start_with(|config| config.sinks.push(ehr)).await;
    for n in 0..EVENTS {
        receiver.post(failure(&format!("s{n}"))).await;
    }
    let out = receiver.out();
    until("the other sink has all", || {
        files_below(&out).len() == EVENTS
    })
    .await;
    eventually("it is known to be down", || async {
        let down = "suki_receiver_sink_down{sink=\"ehr\"} 1";
        receiver.metrics().await.contains(down)
    })
    .await;
    let before = endpoint.received().len();
    until("it is probed", || endpoint.received().len() > before).await;
    let tried = endpoint.received().len();
    assert!(tried < 40, "{tried} attempts for {EVENTS} deliveries");
    endpoint.answers(|_| StatusCode::OK.into_response());
    eventually("all are done", || async {
        let metrics = receiver.metrics().await;
        let done = format!("suki_receiver_events{{state=\"done\"}} {EVENTS}");
        metrics.contains(&done) && metrics.contains("sink_down{sink=\"ehr\"} 0")
    })
    .await;
}

#[tokio::test]
async fn a_wait_of_nothing_that_a_sink_asks_for_does_not_turn_back_off_off() {
    for asked in [
        "0",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    ] {
        let endpoint = HttpReceiver::start().await;
        endpoint.answers(move |_| {
            let retry_after = [("retry-after", asked)];
            (StatusCode::TOO_MANY_REQUESTS, retry_after).into_response()
        });
        let mut ehr = http_sink(&endpoint);
        ehr.retry = Retry {
            initial: Duration::from_secs(2),
            max: Duration::from_secs(2),
            give_up_after: Duration::from_secs(600),
        };
        let receiver = Receiver::start_with(|config| config.sinks = vec![ehr]).await;
        let start = Instant::now();
        receiver.post(failure("s")).await;
        until("it was tried four times", || endpoint.received().len() > 3).await;
        // Each of the three waits is at least a tenth of the first bound.
        assert!(start.elapsed() >= Duration::from_millis(600), "{asked}");
    }
}

#[tokio::test]
async fn a_login_that_fails_is_repeated_a_few_times_however_many_events_wait() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.faults("login=403");
    let start = Instant::now();
    for n in 0..50 {
        let session = format!("s{n}");
        receiver
            .post(completed(&session, &vendor.completed(&session)))
            .await;
    }
    until("it was tried three times", || vendor.sdp.logins() > 2).await;
    // The first wait is at least 0.5 s, the second 1 s.
    assert!(
        start.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    vendor.faults("");
    let out = receiver.out();
    until("all are delivered", || files_below(&out).len() == 50).await;
}
