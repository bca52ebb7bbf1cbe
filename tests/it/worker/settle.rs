//! Sessions whose end the notification does not tell, and completed ones without links.

use std::time::Duration;

use serde_json::Value;
use suki_receiver::lab::simulator::Session;

use crate::support::{Receiver, Vendor, until};

async fn deliver(vendor: &Vendor, body: &str) -> Value {
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.not_found_grace = Duration::from_millis(200);
        config.follow.best_effort_for = Duration::from_secs(15);
    })
    .await;
    receiver.post(body).await;
    receiver.delivers_one().await
}

#[tokio::test]
async fn a_notification_without_status_is_settled_by_the_status_endpoint() {
    for (status, kind) in [
        ("failed", "failed"),
        ("ABORTED", "cancelled"),
        ("skipped", "skipped"),
        ("odd", "unknown"),
    ] {
        let vendor = Vendor::start().await;
        vendor
            .sdp
            .add_session(Session::ambient("s").with_status(status));
        let envelope = deliver(&vendor, r#"{"session_id":"s","encounter_id":"e"}"#).await;
        assert_eq!(envelope["type"], format!("ai.suki.session.{kind}"));
        assert_eq!(
            envelope["data"]["session_status"],
            status.to_ascii_lowercase()
        );
    }
}

#[tokio::test]
async fn an_unknown_status_of_a_completed_session_gets_the_standard_links() {
    let vendor = Vendor::start().await;
    vendor
        .sdp
        .add_session(Session::ambient("s").in_encounter("visit é 1"));
    let envelope = deliver(
        &vendor,
        r#"{"session_id":"s","encounter_id":"visit é 1","status":"archived?"}"#,
    )
    .await;
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    let resources = envelope["data"]["resources"].as_object().unwrap();
    let groups: Vec<_> = resources.keys().map(String::as_str).collect();
    assert_eq!(
        groups,
        [
            "contents",
            "encounter_content",
            "encounter_structured_data",
            "structured_data",
            "transcripts"
        ]
    );
    assert!(
        resources["encounter_content"][0]["href"]
            .as_str()
            .unwrap()
            .contains("visit%20%C3%A9%201")
    );
}

#[tokio::test]
async fn a_completed_form_filling_session_without_links_is_found_by_asking_both_kinds() {
    let vendor = Vendor::start().await;
    vendor.sdp.add_session(Session::form_filling("f"));
    let envelope = deliver(&vendor, r#"{"session_id":"f","status":"success"}"#).await;
    let groups: Vec<_> = envelope["data"]["resources"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(groups, ["structured_data"]);
    assert!(
        envelope["data"]["resources"]["structured_data"][0]["href"]
            .as_str()
            .unwrap()
            .contains("/form-filling/")
    );
    assert_eq!(vendor.sdp.count("/ambient/session/f/status"), 1);
}

#[tokio::test]
async fn a_session_that_is_still_running_is_asked_again() {
    let vendor = Vendor::start().await;
    vendor
        .sdp
        .add_session(Session::ambient("s").with_status("running"));
    let sdp = vendor.sdp.clone();
    let ended = tokio::spawn(async move {
        until("it was asked", || sdp.count("/status") > 0).await;
        sdp.add_session(Session::ambient("s").with_status("failed"));
    });
    let envelope = deliver(&vendor, r#"{"session_id":"s"}"#).await;
    ended.await.unwrap();
    assert_eq!(envelope["type"], "ai.suki.session.failed");
}

#[tokio::test]
async fn a_session_that_nobody_knows_is_delivered_as_unknown_with_the_reason() {
    let vendor = Vendor::start().await;
    let envelope = deliver(&vendor, r#"{"session_id":"nowhere"}"#).await;
    assert_eq!(envelope["type"], "ai.suki.session.unknown");
    assert_eq!(envelope["data"]["session_status"], Value::Null);
    let reason = envelope["data"]["missing"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("how the session ended cannot be found out: HTTP 404"),
        "{envelope}"
    );
}

#[tokio::test]
async fn unknown_link_groups_are_named_as_missing() {
    let vendor = Vendor::start().await;
    vendor.sdp.add_session(Session::ambient("s"));
    let body = r#"{"session_id":"s","status":"success","_links":{
        "contents":[{"href":"/api/v1/ambient/session/s/content"}],"videos":[{"href":"/api/v1/video/1"}]}}"#;
    let envelope = deliver(&vendor, body).await;
    assert_eq!(envelope["data"]["missing"][0]["group"], "videos");
    assert_eq!(vendor.sdp.count("video"), 0);
}
