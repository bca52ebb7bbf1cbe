//! Reading and purging clinical content.

use axum::http::Method;
use serde_json::json;

use super::{Admin, CLINICAL, OPERATOR};
use crate::domain::EventId;

#[tokio::test]
async fn content_is_sent_as_received_and_audited() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    let junk = admin.quarantine("<xml/>").await;
    admin.work().await;

    let payload = admin.get(&format!("/api/v1/events/{id}/payload")).await;
    assert_eq!(payload.headers["content-type"], "application/json");
    assert_eq!(payload.json()["note"], CLINICAL);
    let resource = admin.get(&format!("/api/v1/events/{id}/resources/0")).await;
    assert_eq!(resource.json(), json!({"text": CLINICAL}));
    let bytes = admin.get(&format!("/api/v1/events/{junk}/payload")).await;
    assert_eq!(bytes.headers["content-type"], "application/octet-stream");
    assert_eq!(bytes.text(), "<xml/>");
    assert_eq!(
        admin.audit().await,
        [
            "ops: read payload",
            "ops: read resource 0",
            "ops: read payload"
        ]
    );
    let log = admin.get("/api/v1/audit?limit=1").await.json();
    assert_eq!(log["entries"][0]["actor"], "ops");
    assert_eq!(log["entries"][0]["event"], junk.to_string());

    for (path, status) in [
        (format!("/api/v1/events/{id}/resources/1"), 404),
        (format!("/api/v1/events/{id}/resources/x"), 400),
        ("/api/v1/events/7/payload".to_owned(), 400),
        (
            format!("/api/v1/events/{}/payload", EventId::generate()),
            404,
        ),
    ] {
        let answer = admin.get(&path).await;
        assert_eq!(answer.status, status, "{path}");
        answer.refusal();
    }
}

#[tokio::test]
async fn content_that_cannot_be_audited_is_neither_sent_nor_changed() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.work().await;
    let file = admin.folder.path().join("receiver.db");
    rusqlite::Connection::open(file)
        .and_then(|connection| connection.execute_batch("DROP TABLE audit"))
        .expect("the audit log is gone");
    for (method, tail) in [
        (Method::GET, "/payload"),
        (Method::GET, "/resources/0"),
        (Method::POST, "/replay"),
        (Method::DELETE, ""),
    ] {
        let path = format!("/api/v1/events/{id}{tail}");
        let answer = admin.call(method, &path, OPERATOR, "").await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(!answer.refusal().contains(CLINICAL));
    }
    let shown = admin.get(&format!("/api/v1/events/{id}")).await.json();
    assert_eq!(shown["state"], "done");
    let kept = admin.state.records().payload(id).await.expect("a store");
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_purge_takes_the_content_and_leaves_the_receipt() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.work().await;
    let path = format!("/api/v1/events/{id}");
    let answer = admin.call(Method::DELETE, &path, OPERATOR, "").await;
    assert_eq!(answer.status, 204);
    for tail in ["payload", "resources/0"] {
        let answer = admin.get(&format!("{path}/{tail}")).await;
        assert_eq!(answer.status, 404);
        assert!(answer.refusal().contains("purged"));
    }
    let shown = admin.get(&path).await.json();
    assert_eq!(shown["session_id"], "s");
    let timeline = shown["timeline"].as_array().expect("a timeline");
    let purge = timeline.iter().find(|moment| moment["what"] == "purge");
    assert_eq!(purge.expect("it is there")["detail"], "by ops");
    assert_eq!(admin.audit().await, ["ops: purge"]);
    let answer = admin
        .call(
            Method::DELETE,
            &format!("/api/v1/events/{}", EventId::generate()),
            OPERATOR,
            "",
        )
        .await;
    assert_eq!(answer.status, 404);
}
