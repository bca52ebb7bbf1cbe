//! What did not succeed, by cause, and replaying it as a job: at a pace, after a look, through a kill.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use crate::support::{Binary, HttpReceiver, eventually, failure};

/// A receiver whose sink rejects everything, with so many dead events.
async fn with_dead_events(dir: &std::path::Path, count: usize) -> (Binary, HttpReceiver) {
    let ehr = HttpReceiver::start().await;
    ehr.answers(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response());
    let binary = Binary::start(dir, &settings(&ehr)).await;
    for n in 0..count {
        let id = binary.post(failure(&format!("s{n}"))).await;
        binary.becomes(&id, "dead").await;
    }
    (binary, ehr)
}

fn settings(ehr: &HttpReceiver) -> Vec<(&'static str, String)> {
    vec![
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ]
}

#[tokio::test]
async fn what_a_sink_rejects_is_one_group_and_is_replayed_by_it_when_it_is_mended() {
    let temp = tempfile::tempdir().unwrap();
    let (binary, ehr) = with_dead_events(temp.path(), 3).await;
    let causes = binary.api("/causes").await;
    let group = &causes["causes"][0];
    assert_eq!(group["cause"], "deliver.rejected");
    assert_eq!(
        (&group["sink"], &group["events"]),
        (&json!("ehr"), &json!(3))
    );
    assert!(group["advice"].as_str().unwrap().contains("replay one"));
    let listed = binary
        .api("/events?cause=deliver.rejected&sink=ehr&count=true")
        .await;
    assert_eq!(listed["count"], json!({"events": 3, "is_capped": false}));
    let event = &listed["events"][0];
    assert_eq!(event["cause"], "deliver.rejected");
    let detail = binary
        .api(&format!("/events/{}", event["id"].as_str().unwrap()))
        .await;
    assert_eq!(detail["deliveries"][1]["http_status"], 422);
    let timeline = detail["timeline"].as_array().unwrap();
    let attempt = timeline.iter().find(|it| it["what"] == "deliver to ehr");
    let attempt = attempt.unwrap();
    assert_eq!(
        (&attempt["cause"], &attempt["http_status"]),
        (&json!("deliver.rejected"), &json!(422))
    );

    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    let filter = json!({"cause": "deliver.rejected", "sink": "ehr", "state": "dead"});
    let body = json!({"filter": filter, "from": "deliver", "sinks": ["ehr"], "rate": 100, "reason": "the rule is fixed"});
    let (status, job) = binary.api_post("/replay", body).await;
    assert_eq!(status, 202);
    let path = format!("/replays/{}", job["id"]);
    eventually("all are delivered", async || {
        binary.api(&path).await["progress"]["done"] == 3
    })
    .await;
    let job = binary.api(&path).await;
    assert_eq!(
        (&job["state"], &job["scheduled"]),
        (&json!("done"), &json!(3))
    );
    assert_eq!(ehr.taken().len(), 3);
    let metrics = binary.metrics().await;
    let counted = "suki_receiver_replays_total{result=\"scheduled\"} 3\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(binary.api("/causes").await, json!({"causes": []}));
    let audit = binary.api("/audit?actor=local").await;
    assert_eq!(audit["entries"][0]["reason"], "the rule is fixed");
    let me = binary.api("/me").await;
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("local"), &json!("operator"))
    );
}

#[tokio::test]
async fn a_caller_that_waits_is_told_how_many_were_scheduled() {
    let temp = tempfile::tempdir().unwrap();
    let (binary, ehr) = with_dead_events(temp.path(), 2).await;
    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    let body = json!({"filter": {"state": "dead"}, "wait": true});
    let (status, told) = binary.api_post("/replay", body).await;
    assert_eq!(
        (status, &told["scheduled"], &told["skipped"]),
        (202, &json!(2), &json!(0))
    );
}

#[tokio::test]
async fn a_job_goes_on_where_it_was_when_the_process_is_killed() {
    let temp = tempfile::tempdir().unwrap();
    let (binary, ehr) = with_dead_events(temp.path(), 4).await;
    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    let body = json!({"filter": {"state": "dead"}, "from": "deliver", "rate": 1});
    let (_, job) = binary.api_post("/replay", body).await;
    let path = format!("/replays/{}", job["id"]);
    eventually("the first is delivered", async || !ehr.taken().is_empty()).await;
    binary.kill();
    let binary = Binary::start(temp.path(), &settings(&ehr)).await;
    eventually("the rest are", async || {
        binary.api(&path).await["state"] == "done"
    })
    .await;
    eventually("they are delivered", async || {
        binary.api(&path).await["progress"]["done"] == 4
    })
    .await;
    let job = binary.api(&path).await;
    assert_eq!(job["scheduled"], 4, "each once");
}
