//! An operator pauses a sink while its target is worked on, and resumes it: by the API, from the shell, through a kill.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::run_with;
use crate::support::{
    Binary, HttpReceiver, Receiver, eventually, failure, files_below, http, send, until,
};

fn settings(ehr: &HttpReceiver) -> Vec<(&'static str, String)> {
    vec![
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ]
}

/// What the API answers to a POST for this reason.
async fn post(binary: &Binary, path: &str, reason: &str) -> (u16, Value) {
    let request = http()
        .post(binary.api_url(path))
        .bearer_auth(binary.token())
        .header("x-audit-reason", reason);
    send(request).await.unwrap()
}

#[tokio::test]
async fn what_is_for_a_paused_sink_waits_through_a_kill_and_is_delivered_when_it_is_resumed() {
    let (temp, ehr) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let (dir, archive) = (temp.path(), temp.path().join("out"));
    let binary = Binary::start(dir, &settings(&ehr)).await;
    let (status, told) = post(&binary, "/sinks/ehr/pause", "ticket 4711").await;
    assert_eq!((status, &told["result"]), (200, &json!("paused")));
    let before = binary.post(failure("s1")).await;
    until("the other sink has it", || files_below(&archive).len() == 1).await;

    binary.kill();
    let binary = Binary::start(dir, &settings(&ehr)).await;
    let after = binary.post(failure("s2")).await;
    until("the other sink has both", || {
        files_below(&archive).len() == 2
    })
    .await;
    for id in [&before, &after] {
        let event = binary.event(id).await;
        assert_eq!(event["state"], "delivering");
        let deliveries = event["deliveries"].as_array().unwrap();
        let waits = deliveries.iter().find(|it| it["sink"] == "ehr").unwrap();
        assert_eq!(
            (&waits["state"], &waits["attempts"]),
            (&json!("pending"), &json!(0))
        );
    }
    let sinks = binary.api("/sinks").await;
    let of = |name: &str| {
        let sinks = sinks["sinks"].as_array().unwrap().iter();
        sinks.clone().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of("archive")["paused"], Value::Null);
    let sink = of("ehr");
    assert_eq!(
        (&sink["waiting"], &sink["configured"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        (&sink["paused"]["reason"], &sink["paused"]["actor"]),
        (&json!("ticket 4711"), &json!("local"))
    );
    let metrics = binary.metrics().await;
    assert!(metrics.contains("suki_receiver_sink_paused{sink=\"ehr\"} 1"));
    assert!(metrics.contains("suki_receiver_sink_paused{sink=\"archive\"} 0"));
    eventually("the note is there, and it is ready", async || {
        let url = format!("http://{}/readyz", binary.public);
        let (status, health) = send(http().get(url)).await.unwrap();
        assert_eq!(status, 200, "{health}");
        health["notes"]
            .to_string()
            .contains("deliveries to ehr wait")
    })
    .await;
    assert!(ehr.received().is_empty(), "nothing was tried");

    let (status, told) = post(&binary, "/sinks/ehr/resume", "it is back").await;
    assert_eq!((status, &told["result"]), (200, &json!("resumed")));
    assert_eq!(told["pause"]["reason"], "ticket 4711");
    for id in [&before, &after] {
        binary.becomes(id, "done").await;
    }
    assert_eq!(ehr.received().len(), 2, "each once");
    let audit = binary.api("/audit").await;
    let entries = audit["entries"].as_array().unwrap();
    let said = entries.iter().map(|it| (&it["action"], &it["reason"]));
    assert_eq!(
        said.take(2).collect::<Vec<_>>(),
        [
            (&json!("resume the sink 'ehr'"), &json!("it is back")),
            (&json!("pause the sink 'ehr'"), &json!("ticket 4711"))
        ]
    );
}

#[tokio::test]
async fn what_failed_before_a_pause_is_tried_again_at_its_end_whatever_its_wait_was() {
    let (temp, ehr) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    ehr.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let mut settings = settings(&ehr);
    settings.push(("SINKS__EHR__RETRY__INITIAL", "1h".to_owned()));
    settings.push(("SINKS__EHR__RETRY__MAX", "1h".to_owned()));
    let binary = Binary::start(temp.path(), &settings).await;
    let id = binary.post(failure("s1")).await;
    eventually("the first attempt has failed", async || {
        let event = binary.event(&id).await;
        let mut timeline = event["timeline"].as_array().unwrap().iter();
        timeline.any(|it| it["what"] == "deliver to ehr")
    })
    .await;
    post(&binary, "/sinks/ehr/pause", "ticket 4711").await;
    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    post(&binary, "/sinks/ehr/resume", "it is back").await;
    binary.becomes(&id, "done").await;
    assert_eq!(ehr.received().len(), 2);
}

#[tokio::test]
async fn a_sink_is_paused_and_resumed_from_the_shell_and_a_second_time_says_so() {
    let (temp, ehr) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let dir = temp.path();
    let binary = Binary::start(dir, &settings(&ehr)).await;
    let url = ehr.url().to_string();
    let variables = [
        ("SUKI_RECEIVER__SINKS__EHR__TYPE", "http"),
        ("SUKI_RECEIVER__SINKS__EHR__URL", &url),
    ];
    let said = |args: &[&str]| {
        let ran = run_with(dir, args, &variables);
        assert_eq!(ran.code, 0, "{args:?} {}", ran.err);
        ran.out
    };
    let pause = ["sinks", "pause", "ehr", "--reason", "ticket 4711"];
    assert!(said(&pause).starts_with("'ehr' is paused"));
    assert!(said(&["sinks", "pause", "ehr"]).contains("was paused already"));
    let listed = said(&["sinks", "list"]);
    assert!(listed.starts_with("ehr: 0 deliveries wait; paused since "));
    assert!(listed.ends_with(": ticket 4711\n"), "{listed}");
    let id = binary.post(failure("s1")).await;
    until("the other sink has it", || {
        files_below(&dir.join("out")).len() == 1
    })
    .await;
    assert_eq!(binary.event(&id).await["state"], "delivering");
    assert!(said(&["sinks", "resume", "ehr"]).starts_with("'ehr' is resumed"));
    binary.becomes(&id, "done").await;
    assert_eq!(said(&["sinks", "resume", "ehr"]), "'ehr' was not paused\n");
    let unknown = run_with(dir, &["sinks", "pause", "ehrr"], &variables);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no sink 'ehrr'; configured: ehr"));
    let long = "x".repeat(501);
    let long = run_with(
        dir,
        &["sinks", "pause", "ehr", "--reason", &long],
        &variables,
    );
    assert!(long.err.contains("use at most 500"), "{}", long.err);
}

#[tokio::test]
async fn only_operators_pause_and_only_sinks_that_are_configured() {
    let receiver = Receiver::start().await;
    let call = async |path: &str, token: &str| {
        let url = format!("http://{}/api/v1/sinks/{path}", receiver.admin);
        let (status, answer) = send(http().post(url).bearer_auth(token)).await.unwrap();
        (status, answer["result"].clone())
    };
    for action in ["pause", "resume"] {
        let path = format!("archive/{action}");
        assert_eq!(call(&path, "viewer-token").await.0, 403);
        assert_eq!(call(&path, "no-token").await.0, 401);
        let gone = format!("gone/{action}");
        assert_eq!(call(&gone, "operator-token").await.0, 404);
    }
    for (path, result) in [
        ("archive/resume", "not_paused"),
        ("archive/pause", "paused"),
        ("archive/pause", "already_paused"),
        ("archive/resume", "resumed"),
    ] {
        let told = call(path, "operator-token").await;
        assert_eq!(told, (200, json!(result)));
    }
    let (status, sinks) = send(
        http()
            .get(format!("http://{}/api/v1/sinks", receiver.admin))
            .bearer_auth("viewer-token"),
    )
    .await
    .unwrap();
    let archive = json!({"name": "archive", "configured": true, "waiting": 0, "paused": null});
    assert_eq!((status, sinks), (200, json!({"sinks": [archive]})));
}
