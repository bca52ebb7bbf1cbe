//! The synthetic notification: answered, measured, told to who wants it, and in no count.

use std::time::Duration;

use serde_json::{Value, json};
use suki_receiver::config::{Config, Proxy, Via};

use crate::support::{ConnectProxy, ProxyRules, Receiver, Signed, eventually, files_below, until};

fn often(config: &mut Config) {
    config.canary.enabled = true;
    config.canary.every = Duration::from_millis(50);
    config.canary.timeout = Duration::from_secs(2);
}

#[tokio::test]
async fn it_is_answered_measured_and_told_to_who_wants_it_and_is_in_no_count() {
    let receiver = Receiver::start_with(|config| {
        often(config);
        config.sinks[0].canary = true;
        config.sinks[0].events.clear();
    })
    .await;
    eventually("it is answered", || async {
        let metrics = receiver.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("suki_receiver_canary_total"));
        line.is_some_and(|line| line.contains("answered") && !line.ends_with(" 0"))
    })
    .await;
    let out = receiver.out();
    until("it is told", || !files_below(&out).is_empty()).await;
    let text = std::fs::read(&files_below(&out)[0]).unwrap();
    let told: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(told["type"], "ai.suki.receiver.canary");
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains("notifications_total{result=\"accepted\"} 0"),
        "{metrics}"
    );
    assert!(!metrics.contains("signatures_total{"), "{metrics}");
    let (_, stats) = receiver.admin_get("/api/v1/stats").await;
    assert_eq!(stats["total"], 0);
    let (_, list) = receiver.admin_get("/api/v1/events").await;
    assert_eq!(list["events"], json!([]));
}

#[tokio::test]
async fn a_notification_that_only_resembles_one_is_kept() {
    let receiver = Receiver::start().await;
    let body = r#"{"canary":true,"session_id":"suki-receiver-canary-1","status":"failure"}"#;
    let (status, answer) = Signed::new(body).post(&receiver.webhook()).await;
    assert_eq!((status, &answer["result"]), (200, &json!("accepted")));
}

#[tokio::test]
async fn one_that_nobody_answers_is_an_alert() {
    let receiver = Receiver::start_with(|config| {
        often(config);
        config.canary.url = Some("http://127.0.0.1:9/webhooks/notification".parse().unwrap());
    })
    .await;
    eventually("it is an alert", || async {
        let metrics = receiver.metrics().await;
        metrics.contains("suki_receiver_alerts{type=\"canary_silent\"} 1")
    })
    .await;
    let metrics = receiver.metrics().await;
    assert!(
        !metrics.contains("suki_receiver_canary_seconds_count"),
        "what is missed took no time: {metrics}"
    );
}

#[tokio::test]
async fn its_counts_begin_at_nothing() {
    let receiver = Receiver::start_with(|config| {
        often(config);
        config.canary.every = Duration::from_secs(3600);
    })
    .await;
    let metrics = receiver.metrics().await;
    for result in ["answered", "missed"] {
        let line = format!("suki_receiver_canary_total{{result=\"{result}\"}} 0");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn one_to_an_address_outside_goes_by_the_proxy() {
    let proxy = ConnectProxy::start(ProxyRules::default()).await;
    let via = Via {
        url: proxy.url(),
        credentials: None,
        no_proxy: String::new(),
    };
    let _receiver = Receiver::start_with(|config| {
        often(config);
        config.net.proxy = Proxy::Via(Box::new(via));
        config.canary.url = Some(
            "https://receiver.invalid/webhooks/notification"
                .parse()
                .unwrap(),
        );
    })
    .await;
    until("the proxy is asked", || {
        let asked = proxy.asked();
        asked
            .iter()
            .any(|line| line.starts_with("CONNECT receiver.invalid:443"))
    })
    .await;
}
