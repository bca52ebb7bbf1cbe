//! Replays of one event and of many.

use axum::http::Method;
use serde_json::json;

use super::{Admin, OPERATOR};
use crate::domain::EventId;

#[tokio::test]
async fn a_replay_makes_the_event_due_and_wakes_the_worker() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    let path = format!("/api/v1/events/{id}/replay");
    let early = admin.post(&path, &json!({"from": "deliver"})).await;
    assert_eq!(early.status, 409);
    assert!(early.refusal().contains("retrieve"));
    admin.work().await;
    admin.is_woken();

    let answer = admin.call(Method::POST, &path, OPERATOR, "").await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.json(),
        json!({"result": "scheduled", "id": id.to_string()})
    );
    assert!(admin.is_woken());
    assert_eq!(admin.claim().await.len(), 1);
    assert_eq!(admin.audit().await[0], "ops: replay from retrieve");

    for (body, word) in [
        (json!({"sinks": ["fax"]}), "archive, ehr"),
        (json!({"from": "start"}), "expected retrieve or deliver"),
        (json!({"form": "deliver"}), "form"),
    ] {
        let answer = admin.post(&path, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        let message = answer.refusal();
        assert!(message.contains(word), "{message}");
    }
    let junk = admin.quarantine("junk").await;
    let answer = admin
        .post(&format!("/api/v1/events/{junk}/replay"), &json!({}))
        .await;
    assert_eq!(answer.status, 409);
    let nobody = format!("/api/v1/events/{}/replay", EventId::generate());
    assert_eq!(admin.post(&nobody, &json!({})).await.status, 404);
    let large = json!({"sinks": ["x".repeat(70_000)]});
    let answer = admin.post(&path, &large).await;
    assert_eq!(answer.status, 413);
    answer.refusal();
    let metrics = admin.get("/metrics").await.text();
    for result in ["scheduled", "not_retrieved", "no_content"] {
        let counted = format!("suki_receiver_replays_total{{result=\"{result}\"}} 1\n");
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

#[tokio::test]
async fn many_are_replayed_by_a_filter_that_names_something() {
    let admin = Admin::start();
    for n in 0..3 {
        admin.append(&format!("s{n}"), "success").await;
    }
    admin.quarantine("junk").await;
    admin.work().await;
    for body in [
        json!({}),
        json!({"filter": {}}),
        json!({"filter": {"state": null}}),
        json!({"filter": {"stat": "done"}}),
        json!({"filter": {"state": 7}}),
    ] {
        assert_eq!(
            admin.post("/api/v1/replay", &body).await.status,
            400,
            "{body}"
        );
    }
    let all = json!({"from": "deliver", "sinks": ["archive"], "filter": {"since": "2001-01-01T00:00:00Z"}});
    let mut look = all.clone();
    look["dry_run"] = json!(true);
    let planned = admin.post("/api/v1/replay", &look).await;
    assert_eq!(planned.status, 200);
    let planned = planned.json();
    assert_eq!(
        (&planned["events"], &planned["scheduled"]),
        (&json!(4), &json!(3))
    );
    assert_eq!(planned["skipped"]["no_content"], 1);
    assert!(admin.audit().await.is_empty(), "nothing was done");

    let begun = admin.post("/api/v1/replay", &all).await;
    assert_eq!(begun.status, 202);
    let begun = begun.json();
    assert_eq!(
        (&begun["state"], &begun["total"]),
        (&json!("running"), &json!(4))
    );
    assert_eq!(begun["rate"], 5, "not at full speed");
    assert!(admin.audit().await[0].contains("replay from deliver to archive of all with"));
    let path = format!("/api/v1/replays/{}", begun["id"]);
    assert_eq!(admin.get(&path).await.json()["progress"]["done"], 0);
    let cancelled = admin
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .json();
    assert_eq!(
        (&cancelled["state"], &cancelled["cancelled_by"]),
        (&json!("cancelled"), &json!("ops"))
    );
    assert_eq!(
        admin
            .post(&format!("{path}/cancel"), &json!({}))
            .await
            .status,
        409
    );
    assert_eq!(
        admin.get("/api/v1/replays").await.json()["replays"][0]["id"],
        begun["id"]
    );
    assert_eq!(admin.get("/api/v1/replays/99").await.status, 404);
}
