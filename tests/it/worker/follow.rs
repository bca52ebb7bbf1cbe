//! Following links: what is fetched, what is missing, what is fetched again and what is not.

use std::time::Duration;

use serde_json::Value;
use suki_receiver::config::{Follow, Required};

use crate::support::{
    Binary, Receiver, Signed, Vendor, completed, eventually, failure, files_below, until,
};

#[tokio::test]
async fn every_link_is_fetched_with_the_token_and_delivered_as_it_came() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s1", &vendor.completed("s1"));
    let id = receiver.post(body.clone()).await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["id"].as_str(), Some(id.as_str()));
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    assert_eq!(
        (&envelope["specversion"], &envelope["subject"]),
        (&Value::from("1.0"), &Value::from("s1"))
    );
    assert_eq!(envelope["data"]["session_status"], "completed");
    assert_eq!(envelope["data"]["missing"], serde_json::json!([]));
    for group in ["contents", "status", "structured_data", "transcripts"] {
        let resource = &envelope["data"]["resources"][group][0];
        assert_eq!(resource["http_status"], 200, "{group}: {envelope}");
        assert!(resource["body"].is_object() && resource["fetched_at"].is_string());
    }
    let text = std::fs::read_to_string(&files_below(&receiver.out())[0]).unwrap();
    assert!(
        text.contains(std::str::from_utf8(&body).unwrap()),
        "the notification is passed on byte for byte"
    );
    let mut calls = vendor.sdp.calls();
    calls.retain(|call| !call.path.contains("login"));
    assert_eq!(calls.len(), 4, "one for each link");
    assert!(calls.iter().all(|call| call.had_token));
    assert_eq!(vendor.sdp.logins(), 1);
    receiver.becomes(&id, "done").await;
}

#[tokio::test]
async fn numbers_and_key_order_come_out_as_they_went_in() {
    let receiver = Receiver::start().await;
    let body = r#"{"status":"failure","session_id":"n","z":1.10,"a":12345678901234567890123,"e":1E5,"s":"\u00e9"}"#;
    receiver.post(format!("  {body}\n").into_bytes()).await;
    receiver.delivers_one().await;
    assert!(
        std::fs::read_to_string(&files_below(&receiver.out())[0])
            .unwrap()
            .contains(body)
    );
}

#[tokio::test]
async fn what_is_not_ready_is_fetched_again_and_what_is_there_is_not() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.faults("content=404:3,transcript=409:1,structured-data=500:1");
    receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["data"]["missing"], serde_json::json!([]));
    assert_eq!(vendor.sdp.count("/content"), 4);
    assert_eq!(vendor.sdp.count("/transcript"), 2);
    assert_eq!(
        vendor.sdp.count("/status"),
        1,
        "a fetched link is not fetched again"
    );
}

#[tokio::test]
async fn best_effort_links_that_never_come_are_named_as_missing() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.best_effort_for = Duration::from_millis(200);
    })
    .await;
    vendor.faults("transcript=503,structured-data=410");
    receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    let envelope = receiver.delivers_one().await;
    let missing = envelope["data"]["missing"].as_array().unwrap();
    let groups: Vec<_> = missing
        .iter()
        .map(|link| link["group"].as_str().unwrap())
        .collect();
    assert_eq!(groups, ["structured_data", "transcripts"], "{envelope}");
    assert_eq!(missing[0]["reason"], "HTTP 410 gone");
    assert!(missing[1]["reason"].as_str().unwrap().contains("503"));
    assert!(envelope["data"]["resources"]["contents"][0]["body"].is_object());
}

#[tokio::test]
async fn a_required_link_that_can_never_come_is_a_dead_event_that_can_be_replayed() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.faults("content=400;message=invalid_request");
    let id = receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    let event = receiver.becomes(&id, "dead").await;
    assert!(
        event["last_error"]
            .as_str()
            .unwrap()
            .contains("HTTP 400 invalid_request"),
        "{event}"
    );
    assert!(files_below(&receiver.out()).is_empty());
    vendor.faults("");
    let (status, _) = receiver
        .admin_post(
            &format!("/api/v1/events/{id}/replay"),
            serde_json::json!({}),
        )
        .await;
    assert_eq!(status, 202);
    receiver.delivers_one().await;
}

#[tokio::test]
async fn a_required_link_that_does_not_come_in_time_is_a_dead_event() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.retry.give_up_after = Duration::from_millis(300);
    })
    .await;
    vendor.faults("content=409");
    let id = receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    let event = receiver.becomes(&id, "dead").await;
    assert!(
        event["last_error"]
            .as_str()
            .unwrap()
            .starts_with("given up after"),
        "{event}"
    );
}

#[tokio::test]
async fn foreign_hosts_redirects_and_other_methods_are_not_followed_and_get_no_token() {
    let vendor = Vendor::start().await;
    let thief = crate::support::HttpReceiver::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.required = Required::none();
        config.follow.best_effort_for = Duration::from_millis(200);
        config.follow.allowed_hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    })
    .await;
    let mut links = vendor.completed("s1");
    links.retain(|(group, _)| *group == "transcripts");
    links.push(("contents", format!("http://{}/note", thief.address)));
    links.push((
        "structured_data",
        format!("https://localhost:{}/note", thief.address.port()),
    ));
    vendor.faults(&format!(
        "transcript=redirect;to=http://{}/redirected",
        thief.address
    ));
    receiver.post(completed("s1", &links)).await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(
        envelope["data"]["missing"].as_array().unwrap().len(),
        3,
        "{envelope}"
    );
    assert!(thief.received().is_empty(), "nothing reaches another host");
}

#[tokio::test]
async fn answers_that_are_huge_or_no_json_are_not_delivered() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sdp.max_body_bytes = 100_000;
        config.sdp.timeout = Duration::from_secs(2);
        config.follow.best_effort_for = Duration::from_millis(300);
    })
    .await;
    vendor.faults("transcript=huge,structured-data=notjson,status=empty,content=cut:1");
    receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    let envelope = receiver.delivers_one().await;
    let reasons: Vec<_> = envelope["data"]["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| {
            (
                link["group"].as_str().unwrap().to_owned(),
                link["reason"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let reason = |group: &str| {
        reasons
            .iter()
            .find(|(known, _)| known == group)
            .map(|(_, reason)| reason.as_str())
    };
    assert_eq!(
        reason("transcripts"),
        Some("the answer is larger than 100000 bytes")
    );
    assert_eq!(reason("structured_data"), Some("the answer is not JSON"));
    assert_eq!(reason("status"), Some("the answer is empty"));
    assert_eq!(
        reason("contents"),
        None,
        "a connection that was cut is tried again"
    );
}

#[tokio::test]
async fn calls_stay_within_the_bound_of_concurrency() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sdp.max_concurrency = 3;
    })
    .await;
    vendor.faults("any=slow:20ms");
    for n in 0..10 {
        let session = format!("s{n}");
        receiver
            .post(completed(&session, &vendor.completed(&session)))
            .await;
    }
    let out = receiver.out();
    until("all are delivered", || files_below(&out).len() == 10).await;
    assert!(
        vendor.sdp.max_concurrent() <= 3,
        "{}",
        vendor.sdp.max_concurrent()
    );
}

#[tokio::test]
async fn without_credentials_a_completed_session_is_kept_and_followed_after_a_restart_with_them() {
    let (vendor, dir) = (Vendor::start().await, tempfile::tempdir().unwrap());
    let receiver = Receiver::start_in(dir.path(), |_| {}).await;
    let id = receiver
        .post(completed("s1", &vendor.completed("s1")))
        .await;
    receiver.post(failure("s2")).await;
    let out = receiver.out();
    until("the failure needs no call", || files_below(&out).len() == 1).await;
    assert_eq!(receiver.state_of(&id).await, "received");
    let (status, ready) = receiver.get("/readyz").await;
    assert_eq!((status, ready["status"].as_str()), (200, Some("degraded")));
    assert!(ready.to_string().contains("no credentials"));
    receiver.stop().await;
    let _receiver = Receiver::start_in(dir.path(), |config| vendor.follow(config)).await;
    until("both are delivered", || files_below(&out).len() == 2).await;
}

#[tokio::test]
async fn what_was_being_fetched_at_a_kill_is_fetched_again_and_delivered_whole() {
    let (vendor, dir) = (Vendor::start().await, tempfile::tempdir().unwrap());
    let variables = vendor.variables();
    let binary = Binary::start(dir.path(), &variables).await;
    vendor.faults("transcript=slow:60s");
    let body = completed("s1", &vendor.completed("s1"));
    Signed::new(body).post(&binary.webhook()).await;
    until("three of four links are asked for", || {
        let paths = ["/content", "/structured-data", "/status"];
        paths.iter().all(|path| vendor.sdp.count(path) == 1)
    })
    .await;
    binary.kill();
    vendor.faults("");
    let _again = Binary::start(dir.path(), &variables).await;
    let out = dir.path().join("out");
    until("it is delivered", || files_below(&out).len() == 1).await;
    assert_eq!(
        groups(&the_file(&out)),
        ["contents", "status", "structured_data", "transcripts"]
    );
}

#[tokio::test]
async fn what_an_attempt_has_found_is_not_asked_for_again_by_the_next() {
    let (vendor, dir) = (Vendor::start().await, tempfile::tempdir().unwrap());
    let variables = vendor.variables();
    let binary = Binary::start(dir.path(), &variables).await;
    vendor.completed("s1");
    vendor.faults("content=503");
    let body = r#"{"session_id":"s1","encounter_id":"e-s1"}"#;
    let id = binary.post(body).await;
    eventually("what came is written down", || async {
        let event = binary.event(&id).await;
        event["links"]
            .as_array()
            .unwrap()
            .iter()
            .any(|link| link["group"] == "structured_data" && link["state"] == "fetched")
    })
    .await;
    binary.kill();
    vendor.faults("");
    let _again = Binary::start(dir.path(), &variables).await;
    let out = dir.path().join("out");
    until("it is delivered", || files_below(&out).len() == 1).await;
    let event = the_file(&out);
    assert_eq!(event["type"], "ai.suki.session.completed");
    assert_eq!(event["data"]["session_status"], "completed");
    assert!(
        groups(&event).contains(&"contents".to_owned()),
        "{:?}",
        groups(&event)
    );
    assert_eq!(vendor.sdp.count("/session/s1/structured-data"), 1);
}

/// The one event that was delivered.
fn the_file(out: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(&files_below(out)[0]).unwrap()).unwrap()
}

/// The groups of which something came.
fn groups(event: &serde_json::Value) -> Vec<String> {
    event["data"]["resources"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn the_default_groups_are_the_six_of_the_vendor() {
    let followed = Follow::default().groups;
    let names: Vec<_> = followed.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "contents",
            "encounter_content",
            "structured_data",
            "encounter_structured_data",
            "status",
            "transcripts",
        ]
    );
}
