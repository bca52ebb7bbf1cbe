//! The list and the view of an event.

use serde_json::{Value, json};

use super::{Admin, CLINICAL, mask};

#[tokio::test]
async fn the_list_is_newest_first_in_pages_and_filtered() {
    let admin = Admin::start();
    for n in 0..5 {
        let status = if n % 2 == 0 { "success" } else { "failure" };
        admin.append(&format!("s{n}"), status).await;
    }
    let sessions = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().expect("events");
        let session = |event: &Value| event["session_id"].as_str().expect("an id").to_owned();
        events.iter().map(session).collect()
    };
    let (mut seen, mut path) = (Vec::new(), "/api/v1/events?limit=2".to_owned());
    loop {
        let page = admin.get(&path).await.json();
        seen.extend(sessions(&page));
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("/api/v1/events?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["s4", "s3", "s2", "s1", "s0"]);
    for (query, expected) in [
        ("outcome=failed", vec!["s3", "s1"]),
        ("session_id=s2", vec!["s2"]),
        ("encounter_id=s4-visit&state=received", vec!["s4"]),
        ("state=dead", vec![]),
        ("until=2001-01-01T00:00:00Z", vec![]),
        ("since=2001-01-01T00:00:00Z&limit=1", vec!["s4"]),
    ] {
        let page = admin.get(&format!("/api/v1/events?{query}")).await.json();
        assert_eq!(sessions(&page), expected, "{query}");
    }
    let answer = admin.get("/api/v1/events?state=lost").await;
    assert_eq!(answer.status, 400);
    assert!(answer.refusal().contains("state:"));
}

#[tokio::test]
async fn an_event_is_shown_as_the_contract_has_it() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.work().await;
    let mut shown = admin.get(&format!("/api/v1/events/{id}")).await.json();
    mask(
        &mut shown,
        &[
            "/id",
            "/received_at",
            "/links/0/fetched_at",
            "/deliveries/0/delivered_at",
            "/timeline/0/at",
            "/timeline/1/at",
            "/timeline/2/at",
        ],
    );
    let event = json!({
        "id": "*", "received_at": "*", "generated_at": "2025-12-17T13:22:28.432Z", "source": "webhook",
        "outcome": "completed", "status": "success", "session_id": "s", "encounter_id": "s-visit",
        "kind": "ambient", "state": "done", "stale": false, "attempts": 1, "next_attempt_at": null,
        "last_error": null, "cause": null, "error_code": null, "same_as": null,
    });
    let mut expected = event.clone();
    expected["links"] = json!([{
        "group": "contents", "href": "/api/v1/ambient/s/contents", "state": "fetched", "http_status": 200,
        "bytes": 27, "fetched_at": "*", "took_ms": null, "reason": null,
    }]);
    expected["deliveries"] = json!([{
        "sink": "ehr", "state": "delivered", "attempts": 1, "delivered_at": "*", "next_attempt_at": null, "applied_at": null,
        "http_status": null, "took_ms": 0, "cause": null, "last_error": null,
    }]);
    expected["timeline"] = json!([
        {"at": "*", "what": "received", "detail": "by webhook"},
        {"at": "*", "what": "fetch contents", "detail": "fetched, HTTP 200, 27 bytes", "instance": "one"},
        {"at": "*", "what": "deliver to ehr", "detail": "delivered, attempt 1", "took_ms": 0, "instance": "one"},
    ]);
    assert_eq!(shown, expected);

    let mut listed = admin.get("/api/v1/events").await.json();
    mask(&mut listed, &["/events/0/id", "/events/0/received_at"]);
    assert_eq!(listed, json!({"events": [event], "next_cursor": null}));
}

#[tokio::test]
async fn nothing_clinical_leaves_but_by_the_audited_paths() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    let junk = admin.quarantine(&format!("no JSON: {CLINICAL}")).await;
    admin.work().await;
    for path in [
        "/metrics".to_owned(),
        "/api/v1/events".to_owned(),
        format!("/api/v1/events/{id}"),
        format!("/api/v1/events/{junk}"),
        "/api/v1/stats".to_owned(),
        "/api/v1/audit".to_owned(),
        format!("/api/v1/events/{id}/resources/7"),
    ] {
        let text = admin.get(&path).await.text();
        assert!(!text.contains(CLINICAL), "{path}: {text}");
    }
    let shown = admin.get(&format!("/api/v1/events/{junk}")).await.json();
    assert_eq!(shown["session_id"], Value::Null);
    assert_eq!(shown["state"], "quarantined");
    assert!(admin.audit().await.is_empty());
}
