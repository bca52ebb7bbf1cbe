//! A delivered event is complete, or says what is missing; nothing is given up for an outage.

use std::time::Duration;

use serde_json::{Value, json};
use suki_receiver::config::{Config, Include};
use suki_receiver::lab::simulator::{Canned, Session};

use crate::support::{Receiver, Vendor, completed, eventually, failure, files_below, until};

/// Graces that a test can wait for.
fn brief(config: &mut Config) {
    config.follow.best_effort_for = Duration::from_millis(150);
    config.follow.not_found_grace = Duration::from_millis(150);
    config.follow.empty_grace = Duration::from_millis(150);
}

async fn start(vendor: &Vendor) -> Receiver {
    Receiver::start_with(|config| {
        vendor.follow(config);
        brief(config);
    })
    .await
}

#[tokio::test]
async fn a_required_group_that_is_not_linked_gets_the_vendors_standard_link() {
    let status = json!([{"href": "/api/v1/ambient/session/s/status"}]);
    let renamed = json!([{"href": "/api/v1/ambient/session/s/content"}]);
    let odd = json!([{"href": "/somewhere/else"}]);
    for links in [
        Value::Null,
        json!({}),
        json!([]),
        json!({"status": status}),
        json!({"contents": [], "status": status}),
        json!({"contents": null, "status": status}),
        json!({"contents": [{"name": "no href"}], "status": status}),
        json!({"content": renamed}),
        json!({"content": renamed, "status": status}),
        json!({"videos": odd}),
    ] {
        let vendor = Vendor::start().await;
        let receiver = start(&vendor).await;
        vendor.sdp.add_session(Session::ambient("s"));
        let body = json!({"session_id": "s", "status": "success", "_links": links});
        receiver.post(body.to_string()).await;
        let envelope = receiver.delivers_one().await;
        let note = &envelope["data"]["resources"]["contents"][0];
        assert!(note["body"]["summary"].is_array(), "{links}: {envelope}");
        assert_eq!(note["href"], "/api/v1/ambient/session/s/content");
    }
}

#[tokio::test]
async fn what_is_required_goes_by_the_kind_of_session() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    vendor.sdp.add_session(Session::form_filling("f"));
    let href = "/api/v1/form-filling/session/f/status";
    let body =
        json!({"session_id": "f", "status": "success", "_links": {"status": [{"href": href}]}});
    receiver.post(body.to_string()).await;
    let envelope = receiver.delivers_one().await;
    assert!(envelope["data"]["resources"]["structured_data"][0]["body"].is_object());
    assert_eq!(envelope["data"]["resources"]["contents"], Value::Null);
    assert_eq!(envelope["data"]["missing"], json!([]));
}

#[tokio::test]
async fn a_standard_link_that_never_comes_makes_a_dead_event() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let href = "/api/v1/ambient/session/nowhere/status";
    let body = json!({"session_id": "nowhere", "status": "success", "_links": {"status": [{"href": href}]}});
    let id = receiver.post(body.to_string()).await;
    let event = receiver.becomes(&id, "dead").await;
    let why = event["last_error"].as_str().unwrap();
    assert!(why.starts_with("contents: HTTP 404"), "{why}");
    assert!(files_below(&receiver.out()).is_empty());
}

#[tokio::test]
async fn what_is_required_of_a_completed_session_is_not_of_one_that_failed() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let href = "/api/v1/ambient/session/s/content";
    let body =
        json!({"session_id": "s", "status": "failure", "_links": {"contents": [{"href": href}]}});
    receiver.post(body.to_string()).await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["type"], "ai.suki.session.failed");
    assert_eq!(envelope["data"]["missing"][0]["group"], "contents");
}

#[tokio::test]
async fn whatever_the_ambient_endpoint_says_of_a_form_filling_session_the_other_is_asked() {
    for status in [400, 403, 404, 409, 412] {
        let vendor = Vendor::start().await;
        let receiver = start(&vendor).await;
        vendor.sdp.add_session(Session::form_filling("f"));
        vendor.faults(&format!("status={status}"));
        receiver
            .post(r#"{"session_id":"f","status":"success"}"#)
            .await;
        let envelope = receiver.delivers_one().await;
        let form = &envelope["data"]["resources"]["structured_data"][0];
        assert!(form["body"].is_object(), "{status}: {envelope}");
    }
}

#[tokio::test]
async fn required_content_that_is_empty_is_waited_for_and_then_delivered_and_named() {
    for (empty, is_shown) in [
        ("{\"summary\":[]}", true),
        ("{}", true),
        (
            "{\"summary\":[{\"title\":\"PLAN\",\"content\":\"\"}]}",
            true,
        ),
        ("null", false),
        ("", false),
        (" \n", false),
    ] {
        let vendor = Vendor::start().await;
        let receiver = start(&vendor).await;
        let body = completed("s", &vendor.completed("s"));
        vendor
            .sdp
            .answer_with("/session/s/content", Canned::json(empty));
        let id = receiver.post(body).await;
        let envelope = receiver.delivers_one().await;
        let missing = &envelope["data"]["missing"];
        assert_eq!(missing[0]["group"], "contents", "{empty}: {envelope}");
        assert_eq!(missing[0]["reason"], "empty");
        assert_eq!(missing.as_array().unwrap().len(), 1);
        let shown = &envelope["data"]["resources"]["contents"][0]["body"];
        let expected = if is_shown {
            serde_json::from_str(empty).unwrap()
        } else {
            Value::Null
        };
        assert_eq!(*shown, expected, "{envelope}");
        assert!(
            vendor.sdp.count("/session/s/content") > 1,
            "it was waited for"
        );
        receiver.becomes(&id, "done").await;
    }
}

#[tokio::test]
async fn required_content_that_is_empty_at_first_is_delivered_when_it_is_there() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s", &vendor.completed("s"));
    let empty = Canned::json("{\"summary\":[]}");
    vendor.sdp.answer_with("/session/s/content", empty);
    receiver.post(body).await;
    until("it was asked for twice", || {
        vendor.sdp.count("/session/s/content") > 1
    })
    .await;
    assert!(files_below(&receiver.out()).is_empty());
    vendor.sdp.answer_with("/session/s/content", None);
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["data"]["missing"], json!([]));
    assert_eq!(
        vendor.sdp.count("/transcript"),
        1,
        "the rest is not fetched again"
    );
}

/// How an outage begins.
type Outage = Box<dyn Fn(&Vendor)>;

#[tokio::test]
async fn an_outage_that_is_longer_than_every_grace_loses_nothing() {
    let page = |status| move |vendor: &Vendor| vendor.sdp.answer_with("/", Canned::page(status));
    let fault = |text: &'static str| move |vendor: &Vendor| vendor.faults(text);
    let outages: Vec<Outage> = vec![
        Box::new(fault("any=503")),
        Box::new(fault("login=401")),
        Box::new(fault("any=cut")),
        Box::new(fault("any=redirect")),
        Box::new(page(403)),
        Box::new(page(200)),
        Box::new(page(404)),
        Box::new(page(407)),
    ];
    for (number, begin) in outages.into_iter().enumerate() {
        let vendor = Vendor::start().await;
        let receiver = Receiver::start_with(|config| {
            vendor.follow(config);
            brief(config);
            config.follow.retry.give_up_after = Duration::from_millis(200);
        })
        .await;
        let body = completed("s", &vendor.completed("s"));
        begin(&vendor);
        let id = receiver.post(body).await;
        // Longer than every grace together, by what the receiver itself says of its attempts.
        let began = std::time::Instant::now();
        eventually("it was tried for longer than that", || async {
            let (_, event) = receiver.admin_get(&format!("/api/v1/events/{id}")).await;
            event["attempts"].as_u64() > Some(2) && began.elapsed() > Duration::from_secs(1)
        })
        .await;
        assert_eq!(
            receiver.state_of(&id).await,
            "retrieving",
            "outage {number}"
        );
        vendor.faults("");
        vendor.sdp.answer_with("/", None);
        let envelope = receiver.delivers_one().await;
        assert_eq!(envelope["data"]["missing"], json!([]), "outage {number}");
    }
}

#[tokio::test]
async fn no_best_effort_link_is_given_up_while_a_required_one_is_pending() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let body = completed("s", &vendor.completed("s"));
    vendor.faults("content=409,transcript=409");
    let id = receiver.post(body).await;
    let attempts = async || {
        let (_, event) = receiver.admin_get(&format!("/api/v1/events/{id}")).await;
        event["attempts"].as_u64().unwrap_or_default()
    };
    eventually("it was tried for longer than the grace", || async {
        attempts().await > 12
    })
    .await;
    vendor.faults("");
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["data"]["missing"], json!([]), "{envelope}");
}

/// Beside the folder `out`, one that wants the notification alone.
fn with_lean_sink(config: &mut Config) {
    let mut lean = config.sinks[0].clone();
    lean.name = "lean".to_owned();
    lean.include = Include::NotificationOnly;
    let suki_receiver::config::SinkTarget::Files(files) = &mut lean.target else {
        unreachable!("the first sink writes files")
    };
    files.dir.set_file_name("lean");
    config.sinks.push(lean);
}

#[tokio::test]
async fn sinks_that_want_the_notification_alone_do_not_wait_for_retrieval() {
    // The API is down, or there are no credentials, or the note never comes.
    for trouble in ["any=503", "", "content=410"] {
        let vendor = Vendor::start().await;
        let receiver = Receiver::start_with(|config| {
            if !trouble.is_empty() {
                vendor.follow(config);
            }
            with_lean_sink(config);
        })
        .await;
        vendor.faults(trouble);
        let body = completed("s", &vendor.completed("s"));
        let id = receiver.post(body).await;
        let lean = receiver.dir.join("lean");
        until("it comes at once", || files_below(&lean).len() == 1).await;
        let envelope: Value =
            serde_json::from_slice(&std::fs::read(&files_below(&lean)[0]).unwrap()).unwrap();
        assert_eq!(envelope["type"], "ai.suki.session.completed");
        assert_eq!(envelope["data"]["resources"], json!({}));
        assert_eq!(envelope["data"]["missing"], json!([]));
        let expected = if trouble == "content=410" {
            "dead"
        } else {
            "retrieving"
        };
        receiver.becomes(&id, expected).await;
        assert!(files_below(&receiver.out()).is_empty());
    }
}

#[tokio::test]
async fn a_sink_that_wants_the_notification_alone_hears_how_it_ended_once_that_is_known() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        with_lean_sink(config);
    })
    .await;
    vendor.sdp.add_session(Session::ambient("s"));
    vendor.faults("content=409");
    let id = receiver.post(r#"{"session_id":"s"}"#).await;
    let lean = receiver.dir.join("lean");
    until("it comes", || files_below(&lean).len() == 1).await;
    let envelope: Value =
        serde_json::from_slice(&std::fs::read(&files_below(&lean)[0]).unwrap()).unwrap();
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    assert_eq!(receiver.state_of(&id).await, "retrieving");
}

#[tokio::test]
async fn what_was_announced_is_retrieved_and_delivered_to_the_others_once() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        with_lean_sink(config);
    })
    .await;
    let id = receiver.post(completed("s", &vendor.completed("s"))).await;
    let failed = receiver.post(failure("t")).await;
    for id in [&id, &failed] {
        let event = receiver.becomes(id, "done").await;
        let deliveries = event["deliveries"].as_array().unwrap();
        let attempts: Vec<_> = deliveries
            .iter()
            .map(|delivery| delivery["attempts"].as_u64())
            .collect();
        assert_eq!(attempts, [Some(1), Some(1)], "{event}");
    }
    assert_eq!(vendor.sdp.count("/session/s/content"), 1);
}

#[tokio::test]
async fn a_dead_event_reaches_the_lean_sink_of_a_replay_as_well() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        with_lean_sink(config);
    })
    .await;
    vendor.faults("content=410");
    let id = receiver.post(completed("s", &vendor.completed("s"))).await;
    receiver.becomes(&id, "dead").await;
    let lean = receiver.dir.join("lean");
    until("it comes", || files_below(&lean).len() == 1).await;
    std::fs::remove_file(&files_below(&lean)[0]).unwrap();
    let path = format!("/api/v1/events/{id}/replay");
    let (status, _) = receiver.admin_post(&path, json!({})).await;
    assert_eq!(status, 202);
    until("it comes again", || files_below(&lean).len() == 1).await;
    receiver.becomes(&id, "dead").await;
}

#[tokio::test]
async fn sessions_are_counted_by_outcome_and_source() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    receiver.post(completed("s", &vendor.completed("s"))).await;
    receiver.post(failure("t")).await;
    for outcome in ["completed", "failed"] {
        let line =
            format!("suki_receiver_sessions_total{{outcome=\"{outcome}\",source=\"webhook\"}} 1");
        eventually(&line, || async { receiver.metrics().await.contains(&line) }).await;
    }
}

#[tokio::test]
async fn a_session_that_was_found_to_be_completed_dies_as_such() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        with_lean_sink(config);
    })
    .await;
    vendor.sdp.add_session(Session::ambient("s"));
    vendor.faults("content=410");
    let id = receiver.post(r#"{"session_id":"s"}"#).await;
    let event = receiver.becomes(&id, "dead").await;
    assert_eq!(event["outcome"], "completed", "{event}");
    assert_eq!(event["kind"], "ambient");
    let lean = receiver.dir.join("lean");
    until("it comes", || files_below(&lean).len() == 1).await;
    let envelope: Value =
        serde_json::from_slice(&std::fs::read(&files_below(&lean)[0]).unwrap()).unwrap();
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    assert_eq!(envelope["data"]["session_status"], "completed");
    let line = "suki_receiver_sessions_total{outcome=\"completed\",source=\"webhook\"} 1";
    assert!(receiver.metrics().await.contains(line));
}

#[tokio::test]
async fn without_credentials_an_unknown_end_is_told_as_such_to_who_wants_the_notification_alone() {
    let receiver = Receiver::start_with(with_lean_sink).await;
    receiver.post(r#"{"session_id":"s"}"#).await;
    let lean = receiver.dir.join("lean");
    until("it comes at once", || files_below(&lean).len() == 1).await;
    let envelope: Value =
        serde_json::from_slice(&std::fs::read(&files_below(&lean)[0]).unwrap()).unwrap();
    assert_eq!(envelope["type"], "ai.suki.session.unknown");
}

#[tokio::test]
async fn a_success_that_is_no_note_is_not_delivered_as_the_note() {
    for (status, body) in [
        (202, r#"{"status":"processing"}"#),
        (206, r#"{"summary":[{"title":"PLAN","content":"half"}]}"#),
        (200, r#"{"code":404,"message":"not_found"}"#),
        (200, r#"{"code":500,"message":"internal server error"}"#),
        (200, r#"{"session_id":"s","status":"running","summary":[]}"#),
        (200, r#"{"message":"Forbidden"}"#),
        (404, "default backend - 404"),
        (
            200,
            "upstream connect error or disconnect/reset before headers",
        ),
    ] {
        let vendor = Vendor::start().await;
        let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
        let mut answer = Canned::json(body);
        answer.status = status;
        let body = completed("s", &vendor.completed("s"));
        vendor.sdp.answer_with("/session/s/content", answer.clone());
        let id = receiver.post(body).await;
        until("it was asked for again", || {
            vendor.sdp.count("/session/s/content") > 2
        })
        .await;
        assert!(files_below(&receiver.out()).is_empty(), "{answer:?}");
        assert_eq!(receiver.state_of(&id).await, "retrieving");
        vendor.sdp.answer_with("/session/s/content", None);
        let envelope = receiver.delivers_one().await;
        let note = &envelope["data"]["resources"]["contents"][0];
        assert_eq!(note["http_status"], 200);
        assert!(note["body"]["summary"][0].is_object(), "{envelope}");
    }
}

#[tokio::test]
async fn a_status_that_cannot_be_read_is_not_asked_of_the_other_kind() {
    let vendor = Vendor::start_with(|options| options.every_session_known = true).await;
    let receiver = start(&vendor).await;
    for odd in ["{}", r#"{"status":7}"#, "{"] {
        vendor
            .sdp
            .answer_with("/ambient/session/s/status", Canned::json(odd));
        let id = receiver.post(r#"{"session_id":"s"}"#).await;
        let asked = vendor.sdp.count("/ambient/session/s/status");
        until("it was asked for again", || {
            vendor.sdp.count("/ambient/session/s/status") > asked + 1
        })
        .await;
        assert_eq!(vendor.sdp.count("/form-filling/"), 0, "{odd}");
        assert_ne!(receiver.state_of(&id).await, "done");
    }
    vendor.sdp.answer_with("/ambient/session/s/status", None);
    let envelope = receiver.delivers_one().await;
    assert!(envelope["data"]["resources"]["contents"][0].is_object());
}
