//! The HTTP sink: headers, signature, retries.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;
use suki_receiver::config::{HttpConfig, Include, NamedSecret, Secret, SinkConfig, SinkTarget};

use crate::support::{HttpReceiver, Receiver, Signed, eventually, failure, sink, until};

fn to(endpoint: &HttpReceiver, change: impl FnOnce(&mut HttpConfig)) -> SinkConfig {
    let secret = |id: &str, value: &str| NamedSecret {
        id: id.to_owned(),
        secret: Secret::literal(value),
    };
    let mut http = HttpConfig {
        template: None,
        url: endpoint.url(),
        secrets: vec![
            secret("new", "whsec_bmV3LXNlY3JldA=="),
            secret("old", "old-secret"),
        ],
        headers: vec![("x-partner".to_owned(), Secret::literal("header-value"))],
        timeout: Duration::from_secs(2),
        ca_file: None,
        proxy: suki_receiver::config::Proxy::None,
    };
    change(&mut http);
    sink("ehr", SinkTarget::Http(http))
}

async fn receiver_with(sink: SinkConfig) -> Receiver {
    Receiver::start_with(|config| config.sinks = vec![sink]).await
}

#[tokio::test]
async fn a_delivery_is_a_cloud_event_signed_with_every_secret() {
    let endpoint = HttpReceiver::start().await;
    let receiver = receiver_with(to(&endpoint, |_| {})).await;
    let id = receiver.post(failure("s")).await;
    until("it comes", || endpoint.received().len() == 1).await;
    let delivery = endpoint.received().remove(0);
    let header = |name: &str| delivery.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/cloudevents+json");
    assert_eq!(header("webhook-id"), id);
    assert_eq!(header("x-partner"), "header-value");
    let signed = [
        id.as_bytes(),
        b".",
        header("webhook-timestamp").as_bytes(),
        b".",
        &delivery.body,
    ]
    .concat();
    let expected: Vec<String> = [b"new-secret".as_slice(), b"old-secret"]
        .map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(&signed);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .into();
    assert_eq!(header("webhook-signature"), expected.join(" "));
    let envelope: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!(envelope["type"], "ai.suki.session.failed");
}

#[tokio::test]
async fn what_fails_is_tried_again_and_what_is_rejected_is_dead() {
    let endpoint = HttpReceiver::start().await;
    endpoint.answers(|number| match number {
        0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        1 => (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
        2 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response(),
        3 => StatusCode::OK.into_response(),
        _ => StatusCode::BAD_REQUEST.into_response(),
    });
    let receiver = receiver_with(to(&endpoint, |_| {})).await;
    let first = receiver.post(failure("s")).await;
    receiver.becomes(&first, "done").await;
    assert_eq!(endpoint.received().len(), 4);
    let second = receiver.post(failure("t")).await;
    let event = receiver.becomes(&second, "dead").await;
    assert_eq!(event["deliveries"][0]["state"], "dead");
    assert_eq!(event["deliveries"][0]["last_error"], "HTTP 400");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up_after_the_timeout_and_tried_again() {
    let endpoint = HttpReceiver::start().await;
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = hole.local_addr().unwrap();
    let url = format!("http://{host}/");
    let receiver = receiver_with(to(&endpoint, |http| {
        http.url = url.parse().unwrap();
        http.timeout = Duration::from_millis(100);
    }))
    .await;
    let id = receiver.post(failure("s")).await;
    eventually("attempts are counted", || async {
        let (_, event) = receiver.admin_get(&format!("/api/v1/events/{id}")).await;
        event["deliveries"][0]["attempts"].as_u64() > Some(1)
            && event["deliveries"][0]["last_error"] == format!("timeout ({host})")
    })
    .await;
}

#[tokio::test]
async fn outcomes_that_a_sink_does_not_want_are_not_delivered_to_it() {
    let endpoint = HttpReceiver::start().await;
    let mut only_completed = to(&endpoint, |_| {});
    only_completed.events = vec![suki_receiver::domain::Outcome::Completed];
    let receiver = receiver_with(only_completed).await;
    let id = receiver.post(failure("s")).await;
    receiver.becomes(&id, "done").await;
    assert!(endpoint.received().is_empty());
}

#[tokio::test]
async fn notification_only_leaves_the_resources_out() {
    let (endpoint, vendor) = (
        HttpReceiver::start().await,
        crate::support::Vendor::start().await,
    );
    let mut lean = to(&endpoint, |_| {});
    lean.include = Include::NotificationOnly;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sinks = vec![lean];
    })
    .await;
    let body = crate::support::completed("s", &vendor.completed("s"));
    Signed::new(body).post(&receiver.webhook()).await;
    until("it comes", || endpoint.received().len() == 1).await;
    let envelope: serde_json::Value = serde_json::from_slice(&endpoint.received()[0].body).unwrap();
    assert_eq!(envelope["data"]["resources"], serde_json::json!({}));
    assert_eq!(envelope["data"]["notification"]["session_id"], "s");
}
