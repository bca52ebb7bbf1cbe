//! Tests of the load.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;
use crate::domain::{DedupeKey, Notification};
use crate::lab::simulator::{Expect, Mix, Plan, Sender};
use crate::signature::{
    Claim, GENERATED_AT_HEADER, SIGNATURE_HEADER, SecretBytes, Secrets, SentBody, verify,
};

type Known = Arc<Mutex<HashSet<DedupeKey>>>;

/// A receiver that keeps nothing beyond the test: it verifies, parses and recognises duplicates.
async fn receive(
    State(known): State<Known>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let secrets = Secrets::new([SecretBytes {
        id: "a",
        key: b"secret",
    }]);
    let header = |name| headers.get(name).map(|value| value.as_bytes());
    let (signature, sent_at) = (header(SIGNATURE_HEADER), header(GENERATED_AT_HEADER));
    let Ok(verified) = verify(
        &secrets,
        &Claim::of(signature, sent_at),
        &SentBody::plain(body),
    ) else {
        return (StatusCode::UNAUTHORIZED, "");
    };
    let Ok(notification) = Notification::parse(verified.body().clone()) else {
        return (StatusCode::BAD_REQUEST, "");
    };
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.insert(notification.dedupe) {
        (StatusCode::OK, r#"{"result":"accepted"}"#)
    } else {
        (StatusCode::OK, r#"{"result":"duplicate"}"#)
    }
}

async fn receiver() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let router = Router::new()
        .route("/hook", post(receive))
        .with_state(Known::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/hook").parse().expect("a URL")
}

fn load(url: Url, count: u64, rate: f64) -> Load {
    Load {
        url,
        secret: b"secret".to_vec(),
        count,
        rate,
        connections: 4,
    }
}

async fn run(load: &Load) -> (Report, u64) {
    let plan = Plan::new(&Mix::default(), 1);
    let done = Arc::new(AtomicU64::new(0));
    let message = move |number| plan.message(number).message;
    let report = load.run(message, Arc::clone(&done)).await.expect("runs");
    (report, done.load(Ordering::Relaxed))
}

#[tokio::test]
async fn every_message_of_a_load_is_answered_as_planned() {
    let (report, done) = run(&load(receiver().await, 900, 0.0)).await;
    let mut expected = BTreeMap::new();
    for planned in Plan::new(&Mix::default(), 1).messages(900) {
        *expected
            .entry(planned.expect.label().to_owned())
            .or_insert(0) += 1;
    }
    assert_eq!((report.answers, done), (expected, 900));
}

#[tokio::test]
async fn a_rate_is_kept_and_not_outrun() {
    let (report, _) = run(&load(receiver().await, 100, 500.0)).await;
    assert_eq!(report.total(), 100);
    let (from, to) = (Duration::from_millis(198), Duration::from_secs(2));
    assert!((from..to).contains(&report.elapsed), "{report}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_an_error_for_each_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let url = format!("http://{address}/").parse().expect("a URL");
    let (report, _) = run(&load(url, 10, 0.0)).await;
    assert_eq!(report.total(), 10);
    let answers: Vec<_> = report.answers.keys().collect();
    assert!(answers[0].starts_with("error: connect:"), "{answers:?}");
}

#[tokio::test]
async fn an_impossible_load_is_refused_before_it_starts() {
    let url = |text: &str| text.parse().expect("a URL");
    for (load, error) in [
        (load(url("https://a.example/"), 1, 0.0), BadLoad::NotHttp),
        (load(url("http://a.example/"), 1, -1.0), BadLoad::BadNumber),
        (
            load(url("http://a.example/"), 1, f64::NAN),
            BadLoad::BadNumber,
        ),
    ] {
        let refused = load.run(|_| Message::new("{}"), Arc::default()).await;
        assert_eq!(refused.expect_err("refused"), error);
    }
}

#[tokio::test]
async fn single_messages_are_answered_as_planned() {
    let sender = Sender::new(receiver().await, "secret", 1).expect("builds");
    for planned in Plan::new(&Mix::default(), 2).messages(36) {
        let answer = sender.send(&planned.message).await.expect("an answer");
        assert_eq!(answer.label(), planned.expect.label(), "{:?}", planned.kind);
        let has_result = matches!(planned.expect, Expect::Accepted | Expect::Duplicate);
        assert_eq!(answer.result().is_some(), has_result);
    }
}
