//! Traces: what a collector gets of a notification's way, that nothing private is in it, and that a collector that is down
//! is nobody's trouble.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use crate::support::{
    ANY_PORT, Binary, HttpReceiver, SECRET, Signed, Vendor, completed, eventually, failure, http,
    listen, send, until,
};

/// A collector that takes everything.
async fn collector() -> HttpReceiver {
    let collector = HttpReceiver::start().await;
    collector.answers(|_| StatusCode::OK.into_response());
    collector
}

fn exporting_to(collector: &HttpReceiver) -> (&'static str, String) {
    ("OTEL__ENDPOINT", collector.url().to_string())
}

/// All spans that a collector got.
fn spans(collector: &HttpReceiver) -> Vec<Span> {
    let requests = collector.received().into_iter().map(|received| {
        assert_eq!(received.headers["content-type"], "application/x-protobuf");
        ExportTraceServiceRequest::decode(received.body).expect("a request of OTLP")
    });
    let resources = requests.flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// The spans of that name.
fn named(collector: &HttpReceiver, name: &str) -> Vec<Span> {
    let mut spans = spans(collector);
    spans.retain(|span| span.name == name);
    spans
}

/// Waits for a span of that name.
async fn one_named(collector: &HttpReceiver, name: &str) -> Span {
    until(name, || !named(collector, name).is_empty()).await;
    named(collector, name).remove(0)
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Attribute| match value {
        Attribute::StringValue(text) => text.clone(),
        Attribute::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let attributes = span.attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
        (attribute.key.as_str(), text(value.expect("a value")))
    });
    attributes.collect()
}

fn traceparent(span: &Span) -> String {
    let (trace, span) = (hex::encode(&span.trace_id), hex::encode(&span.span_id));
    format!("00-{trace}-{span}-01")
}

/// The only file that was delivered.
async fn delivered(dir: &Path) -> Value {
    let out = dir.join("out");
    until("it is delivered", || {
        crate::support::files_below(&out).len() == 1
    })
    .await;
    let text = std::fs::read(&crate::support::files_below(&out)[0]).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn the_way_of_a_notification_is_one_trace_that_has_the_events_id() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, vendor, ehr) = (
        collector().await,
        Vendor::start().await,
        HttpReceiver::start().await,
    );
    let mut settings = vendor.variables().to_vec();
    settings.extend([
        exporting_to(&collector),
        ("SERVER__INSTANCE", "here".to_owned()),
        ("OTEL__ATTRIBUTES__TEAM", "integration".to_owned()),
        ("OTEL__HEADERS__X-KEY", "PHI-key".to_owned()),
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ]);
    let binary = Binary::start(dir.path(), &settings).await;
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = completed("hidden", &vendor.completed("hidden"));
    let request = Signed::new(body).request(&http(), &binary.webhook());
    let (_, answer) = send(request.header("traceparent", caller)).await.unwrap();
    let id = answer["id"].as_str().unwrap();
    binary.becomes(id, "done").await;
    let envelope = delivered(dir.path()).await;
    for name in ["send ehr", "send archive", "process suki-notification"] {
        one_named(&collector, name).await;
    }

    let root = one_named(&collector, "POST /webhooks/notification").await;
    assert_eq!(hex::encode(&root.trace_id), id.replace('-', ""));
    assert!(root.parent_span_id.is_empty(), "the door is public");
    assert_eq!(hex::encode(&root.links[0].span_id), "b7ad6b7169203331");
    let said = attributes(&root);
    assert_eq!(said["http.response.status_code"], "200");
    assert_eq!(said["messaging.message.id"], id);
    let of_this = spans(&collector)
        .into_iter()
        .filter(|span| span.trace_id == root.trace_id);
    let parents: BTreeMap<String, Vec<u8>> = of_this
        .inspect(|span| assert!(span.end_time_unix_nano >= span.start_time_unix_nano))
        .map(|span| (span.name, span.parent_span_id))
        .collect();
    let process = one_named(&collector, "process suki-notification").await;
    for (name, parent) in [
        ("journal.append", &root),
        ("process suki-notification", &root),
        ("send archive", &root),
        ("send ehr", &root),
        ("await login", &process),
        ("GET contents", &process),
        ("GET transcripts", &process),
    ] {
        assert_eq!(
            parents.get(name),
            Some(&parent.span_id),
            "{name}: {parents:?}"
        );
    }

    let sent = one_named(&collector, "send ehr").await;
    let headers = &ehr.received()[0].headers;
    assert_eq!(headers["traceparent"], traceparent(&sent));
    assert_eq!(attributes(&sent)["http.response.status_code"], "204");
    assert_eq!(envelope["traceparent"], traceparent(&root));
    assert!(
        binary.log().contains(&id.replace('-', "")),
        "the log has it"
    );
    let request = &collector.received()[0];
    assert_eq!(request.headers["x-key"], "PHI-key");
    let request = ExportTraceServiceRequest::decode(request.body.clone()).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    let named: Vec<_> = resource.attributes.iter().map(|it| &*it.key).collect();
    for key in [
        "service.name",
        "service.version",
        "service.instance.id",
        "team",
    ] {
        assert!(named.contains(&key), "{named:?}");
    }
}

#[tokio::test]
async fn nothing_private_is_in_a_span() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, vendor) = (collector().await, Vendor::start().await);
    let ehr = HttpReceiver::start().await;
    ehr.answers(|_| (StatusCode::UNPROCESSABLE_ENTITY, "PHI-answer").into_response());
    let mut settings = vendor.variables().to_vec();
    settings.extend([
        exporting_to(&collector),
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ]);
    let binary = Binary::start(dir.path(), &settings).await;
    let done = completed("hidden-a", &vendor.completed("hidden-a"));
    let gone = completed(
        "hidden-b",
        &[(
            "contents",
            "/api/v1/ambient/session/hidden-b/content".to_owned(),
        )],
    );
    for body in [done, gone, failure("hidden-c"), b"PHI-junk".to_vec()] {
        Signed::new(body).post(&binary.webhook()).await;
    }
    let unsigned = Signed::new(failure("hidden-d")).with_secret("hunter2");
    unsigned
        .post(&format!("{}/hidden-e", binary.webhook()))
        .await;
    unsigned.post(&binary.webhook()).await;
    until("all of it was sent", || {
        let sent = named(&collector, "send ehr");
        sent.len() >= 2 && !named(&collector, "GET contents").is_empty()
    })
    .await;
    binary.signal(Signal::SIGTERM);
    assert!(binary.ended().await.success());
    let names: Vec<String> = spans(&collector).into_iter().map(|it| it.name).collect();
    assert!(names.len() > 10, "{names:?}");
    for received in collector.received() {
        let text = String::from_utf8_lossy(&received.body).into_owned();
        for private in ["PHI", "hidden", SECRET, "hunter2", "priority"] {
            assert!(!text.contains(private), "{private} is in a span");
        }
    }
}

#[tokio::test]
async fn an_attempt_that_is_made_again_is_a_trace_of_its_own_with_a_link_to_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, ehr) = (collector().await, HttpReceiver::start().await);
    ehr.answers(|number| match number {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    });
    let settings = [
        exporting_to(&collector),
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
        ("SINKS__EHR__RETRY__INITIAL", "10ms".to_owned()),
    ];
    let binary = Binary::start(dir.path(), &settings).await;
    let id = binary.post(failure("s")).await;
    binary.becomes(&id, "done").await;
    until("both were sent", || {
        named(&collector, "send ehr").len() == 2
    })
    .await;
    let root = one_named(&collector, "POST /webhooks/notification").await;
    let [first, second] = &named(&collector, "send ehr")[..] else {
        panic!("two")
    };
    assert_eq!(first.trace_id, root.trace_id);
    assert_eq!(attributes(first)["error.type"], "deliver.http_5xx");
    assert_ne!(second.trace_id, root.trace_id);
    assert!(second.parent_span_id.is_empty());
    assert_eq!(second.links[0].span_id, root.span_id);
    assert_eq!(attributes(second)["http.request.resend_count"], "1");

    // A duplicate is no second receipt of the event.
    assert_eq!(binary.post(failure("s")).await, id);
    until("it is told of", || {
        named(&collector, "POST /webhooks/notification").len() == 2
    })
    .await;
    let duplicate = named(&collector, "POST /webhooks/notification").remove(1);
    assert_ne!(duplicate.trace_id, root.trace_id);
    assert_eq!(duplicate.links[0].span_id, root.span_id);
}

#[tokio::test]
async fn without_a_collector_nothing_carries_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let ehr = HttpReceiver::start().await;
    let settings = [
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ];
    let binary = Binary::start(dir.path(), &settings).await;
    let id = binary.post(failure("s")).await;
    binary.becomes(&id, "done").await;
    assert!(!ehr.received()[0].headers.contains_key("traceparent"));
    assert_eq!(delivered(dir.path()).await.get("traceparent"), None);
    assert!(
        !binary
            .metrics()
            .await
            .contains("otel_spans_exported_total ")
    );
}

#[tokio::test]
async fn of_no_share_of_events_nothing_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let collector = collector().await;
    let settings = [exporting_to(&collector), ("OTEL__SAMPLE", "0.0".to_owned())];
    let binary = Binary::start(dir.path(), &settings).await;
    let id = binary.post(failure("s")).await;
    binary.becomes(&id, "done").await;
    binary.signal(Signal::SIGTERM);
    assert!(binary.ended().await.success());
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn what_is_left_when_the_service_stops_is_exported_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let collector = collector().await;
    let binary = Binary::start(dir.path(), &[exporting_to(&collector)]).await;
    let id = binary.post(failure("s")).await;
    binary.becomes(&id, "done").await;
    binary.signal(Signal::SIGTERM);
    assert!(binary.ended().await.success());
    assert_eq!(named(&collector, "send archive").len(), 1);
}

#[tokio::test]
async fn a_collector_that_is_down_is_said_once_and_counted_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Takes connections and never answers.
    let silent = listen(ANY_PORT).await.unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let settings = [
        ("OTEL__ENDPOINT", endpoint),
        ("OTEL__TIMEOUT", "10ms".to_owned()),
    ];
    let binary = Binary::start(dir.path(), &settings).await;
    for n in 0..20 {
        let id = binary.post(failure(&format!("s{n}"))).await;
        binary.becomes(&id, "done").await;
    }
    eventually("they are counted", async || {
        let metrics = binary.metrics().await;
        let mut lines = metrics.lines();
        let dropped = lines.find_map(|line| {
            line.strip_prefix("suki_receiver_otel_spans_dropped_total{reason=\"collector\"} ")
        });
        dropped.is_some_and(|dropped| dropped != "0")
    })
    .await;
    let id = binary.post(failure("another")).await;
    binary.becomes(&id, "done").await;
    binary.signal(Signal::SIGTERM);
    let log = dir.path().join("log");
    assert!(binary.ended().await.success());
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("does not take spans").count(), 1, "{log}");
    drop(silent);
}

#[tokio::test]
async fn an_event_that_no_request_brought_has_a_root_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, vendor) = (collector().await, Vendor::start().await);
    let mut settings = vendor.variables().to_vec();
    settings.extend([
        exporting_to(&collector),
        ("RECONCILE__PUSH_GRACE", "100ms".to_owned()),
        ("RECONCILE__MIN_INTERVAL", "100ms".to_owned()),
        ("RECONCILE__MAX_INTERVAL", "200ms".to_owned()),
    ]);
    let binary = Binary::start(dir.path(), &settings).await;
    vendor.completed("pulled");
    let ended = jiff::Timestamp::now().to_string();
    let said = serde_json::json!({"session_id": "pulled", "kind": "ambient", "ended_at": ended});
    let (status, _) = binary.api_post("/sessions", said).await;
    assert_eq!(status, 201);
    let root = one_named(&collector, "recover session").await;
    let envelope = delivered(dir.path()).await;
    assert_eq!(envelope["data"]["source"], "reconcile");
    assert_eq!(envelope["traceparent"], traceparent(&root));
    let process = one_named(&collector, "process suki-notification").await;
    assert_eq!(process.parent_span_id, root.span_id);
    assert_eq!(process.trace_id, root.trace_id);
}
