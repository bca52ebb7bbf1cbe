//! The routes as a caller sees them, on a real store.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{State, Tokens, router};
use crate::config::{AdminToken, Role, Secret};
use crate::domain::{Clock, EventId, LinkGroup, LinkState, Notification, Outcome, SessionKind};
use crate::journal::{
    Access, Appended, ClaimedEvent, DeliveryEnd, Due, Journal, Link, LinkUpdate, Retrieval,
    SqliteStore, Wakeups,
};
use crate::lifecycle::Readiness;
use crate::metrics::Metrics;
use crate::signature::{SecretBytes, Secrets, Verified, sign, verify};

/// Stands in every body; must never leave by a list, a view or a refusal.
const CLINICAL: &str = "chronic-migraine";
const VIEWER: &str = "v-token";
const OPERATOR: &str = "o-token";

struct Admin {
    state: State,
    wakeups: Wakeups,
    folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("an answer in JSON")
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    /// The message of a refusal in the shape of every listener.
    fn refusal(&self) -> String {
        let body = self.json();
        assert_eq!(body["code"], self.status.as_u16(), "{body}");
        body["message"].as_str().expect("a message").to_owned()
    }
}

impl Admin {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, metrics) = (Clock::start(), Metrics::new());
        let access = Access::Owner {
            longest_wait: Duration::from_secs(60),
        };
        let path = folder.path().join("receiver.db");
        let store = SqliteStore::open(&path, access, 64, clock, metrics.clone()).expect("opens");
        let (journal, wakeups) = Journal::new(Arc::new(store), Duration::from_secs(5));
        let token = |name: &str, role, secret: &str| AdminToken {
            name: name.to_owned(),
            role,
            secret: Secret::literal(secret.to_owned()),
        };
        let tokens = Tokens::new(&[
            token("desk", Role::Viewer, VIEWER),
            token("ops", Role::Operator, OPERATOR),
        ]);
        Self {
            state: State {
                journal,
                metrics,
                readiness: Readiness::default(),
                clock,
                tokens: Arc::new(ArcSwap::from_pointee(tokens)),
                sinks: Arc::from(["archive".to_owned(), "ehr".to_owned()]),
            },
            wakeups,
            folder,
        }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let response = router(self.state.clone())
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.expect("a body").to_bytes(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, OPERATOR, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, OPERATOR, &body.to_string())
            .await
    }

    async fn append(&self, session: &str, status: &str) -> EventId {
        let body = json!({
            "session_id": session, "encounter_id": format!("{session}-visit"), "status": status, "note": CLINICAL,
            "_links": {"contents": [{"href": format!("/api/v1/ambient/{session}/contents")}]},
        });
        let verified = signed(body.to_string());
        let notification = Notification::parse(verified.body().clone()).expect("a notification");
        let now = self.state.clock.now();
        match self
            .state
            .journal
            .append(&verified, notification, now, false)
            .await
        {
            Ok(Appended::New(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn quarantine(&self, body: &str) -> EventId {
        let verified = signed(body.to_owned());
        let why = Notification::parse(verified.body().clone()).expect_err("junk");
        let now = self.state.clock.now();
        match self.state.journal.quarantine(&verified, why, now).await {
            Ok(Appended::New(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    fn due(&self) -> Due {
        Due {
            now: self.state.clock.steady_in(Duration::from_secs(1)),
            until: self.state.clock.steady_in(Duration::from_secs(60)),
            limit: 10,
        }
    }

    async fn claim(&self) -> Vec<ClaimedEvent> {
        let claimed = self.state.journal.claim_events(self.due(), true).await;
        claimed.expect("claims")
    }

    /// Works on all that is due, as the worker does: fetches one link, delivers to one sink.
    async fn work(&self) {
        let journal = &self.state.journal;
        for event in self.claim().await {
            let body = Bytes::from(format!(r#"{{"text":"{CLINICAL}"}}"#));
            let link = Link {
                n: 0,
                group: LinkGroup::new("contents"),
                href: "/api/v1/ambient/s/contents".to_owned(),
                state: LinkState::Fetched,
                http_status: Some(200),
                bytes: Some(body.len() as u64),
                fetched_at: Some(Timestamp::now()),
                reason: None,
            };
            let end = Retrieval::Deliver {
                outcome: Outcome::Completed,
                kind: SessionKind::Ambient,
                session_status: None,
                sinks: vec!["ehr".to_owned()],
                at: self.state.clock.steady(),
            };
            let links = vec![LinkUpdate {
                link,
                body: Some(body),
            }];
            let kept = journal.finish_retrieval(event.lease, links, end).await;
            kept.expect("kept");
        }
        let claimed = journal.claim_deliveries("ehr", self.due()).await;
        for delivery in claimed.expect("claims") {
            let end = DeliveryEnd::Delivered {
                at: Timestamp::now(),
            };
            let kept = journal.finish_delivery(delivery.lease, end).await;
            kept.expect("kept");
        }
    }

    async fn audit(&self) -> Vec<String> {
        let entries = self.state.journal.audit_log(10).await.expect("entries");
        entries
            .iter()
            .map(|entry| format!("{}: {}", entry.actor, entry.action))
            .collect()
    }
}

fn signed(body: String) -> Verified {
    let secrets = Secrets::new([SecretBytes {
        id: "test",
        key: b"key",
    }]);
    let (body, at) = (Bytes::from(body), "1765977748432");
    let signature = sign(b"key", at, &body);
    verify(
        &secrets,
        Some(signature.as_bytes()),
        Some(at.as_bytes()),
        body,
    )
    .expect("authentic")
}

/// Replaces a text at each of these places, after looking that there is one.
fn mask(value: &mut Value, places: &[&str]) {
    for place in places {
        let found = value.pointer_mut(place).expect(place);
        assert!(found.is_string(), "{place}: {found}");
        *found = json!("*");
    }
}

#[tokio::test]
async fn each_call_needs_its_role() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.work().await;
    let event = format!("/api/v1/events/{id}");
    let sub = |tail: &str| format!("{event}/{tail}");
    for (method, path, viewer, operator) in [
        (Method::GET, "/api/v1/events".to_owned(), 200, 200),
        (Method::GET, event.clone(), 200, 200),
        (Method::GET, "/api/v1/stats".to_owned(), 200, 200),
        (Method::GET, sub("payload"), 403, 200),
        (Method::GET, sub("resources/0"), 403, 200),
        (Method::GET, "/api/v1/audit".to_owned(), 403, 200),
        (Method::POST, sub("replay"), 403, 202),
        (Method::POST, "/api/v1/replay".to_owned(), 403, 400),
        (Method::DELETE, event.clone(), 403, 204),
        (Method::GET, "/api/v1/nothing".to_owned(), 404, 404),
        (Method::PUT, event.clone(), 405, 405),
    ] {
        for (token, status) in [
            ("", 401),
            ("wrong", 401),
            (VIEWER, viewer),
            (OPERATOR, operator),
        ] {
            let answer = admin.call(method.clone(), &path, token, "").await;
            assert_eq!(answer.status, status, "{method} {path} as '{token}'");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers["cache-control"], "no-store");
            if status >= 400 {
                answer.refusal();
            }
            if status == 401 {
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
            if status == 405 {
                assert!(answer.headers.contains_key("allow"), "{method} {path}");
            }
        }
    }
    for path in ["/metrics", "/livez", "/readyz", "/healthz"] {
        let answer = admin.call(Method::GET, path, "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let answer = admin.call(Method::POST, path, "", "").await;
        assert_eq!(answer.status, 405, "{path}");
        answer.refusal();
    }
    let answer = admin.call(Method::GET, "/nothing", "", "").await;
    assert_eq!(answer.status, 404);
    answer.refusal();
}

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
        "last_error": null, "error_code": null,
    });
    let mut expected = event.clone();
    expected["links"] = json!([{
        "group": "contents", "href": "/api/v1/ambient/s/contents", "state": "fetched", "http_status": 200,
        "bytes": 27, "fetched_at": "*",
    }]);
    expected["deliveries"] = json!([{
        "sink": "ehr", "state": "delivered", "attempts": 1, "delivered_at": "*", "last_error": null,
    }]);
    expected["timeline"] = json!([
        {"at": "*", "what": "received", "detail": "by webhook"},
        {"at": "*", "what": "fetch contents", "detail": "fetched, HTTP 200, 27 bytes"},
        {"at": "*", "what": "deliver to ehr", "detail": "delivered, attempt 1"},
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
    let kept = admin.state.journal.payload(id).await.expect("a store");
    assert!(kept.is_some());
}

#[tokio::test]
async fn without_a_store_nothing_is_sent_and_the_metrics_still_are() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.state.journal.close().await;
    for path in [
        format!("/api/v1/events/{id}/payload"),
        "/api/v1/stats".to_owned(),
    ] {
        let answer = admin.get(&path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.headers.contains_key("retry-after"));
        assert!(!answer.refusal().contains(CLINICAL));
    }
    let metrics = admin.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("suki_receiver_build_info"));
}

#[tokio::test]
async fn a_replay_makes_the_event_due_and_wakes_the_worker() {
    let mut admin = Admin::start();
    let id = admin.append("s", "success").await;
    let path = format!("/api/v1/events/{id}/replay");
    let early = admin.post(&path, &json!({"from": "deliver"})).await;
    assert_eq!(early.status, 409);
    assert!(early.refusal().contains("retrieve"));
    admin.work().await;
    while admin.wakeups.try_recv().is_ok() {}

    let answer = admin.call(Method::POST, &path, OPERATOR, "").await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.json(),
        json!({"result": "scheduled", "id": id.to_string()})
    );
    assert_eq!(admin.wakeups.try_recv(), Ok(id));
    assert_eq!(admin.claim().await.len(), 1);
    assert_eq!(admin.audit().await[0], "ops: replay from retrieve");

    for (body, word) in [
        (json!({"sinks": ["fax"]}), "archive, ehr"),
        (json!({"from": "start"}), "use retrieve or deliver"),
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
    let answer = admin.post("/api/v1/replay", &all).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"scheduled": 3, "skipped": 1}));
    assert!(admin.audit().await[0].contains("replay from deliver to archive of all with"));
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
    assert_eq!(shown["timeline"][3]["detail"], "by ops");
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

#[tokio::test]
async fn the_metrics_of_the_contract_are_there() {
    let admin = Admin::start();
    admin.append("s", "success").await;
    let metrics = &admin.state.metrics;
    let took = Duration::from_millis(3);
    metrics.notification(crate::metrics::Answer::Accepted, took);
    metrics.sdp_request("contents", "200", took);
    metrics.sdp_login("ok");
    metrics.delivery("ehr", "delivered", took);
    metrics.end_to_end(took);
    let answer = admin.call(Method::GET, "/metrics", "", "").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4");
    let text = answer.text();
    for name in [
        "notifications_total{result=\"accepted\"}",
        "ack_seconds",
        "journal_commit_seconds",
        "journal_batch_size",
        "events{state=\"received\"} 1",
        "oldest_pending_seconds",
        "sdp_requests_total",
        "sdp_request_seconds",
        "sdp_logins_total",
        "deliveries_total",
        "delivery_seconds",
        "end_to_end_seconds",
        "spool_events",
        "build_info",
    ] {
        let name = format!("suki_receiver_{name}");
        assert!(text.contains(&name), "{name} is not in\n{text}");
    }
    let stats = admin.get("/api/v1/stats").await.json();
    assert_eq!(stats["events"]["received"], 1);
    assert_eq!(stats["total"], 1);
    assert_eq!(stats["ready"]["status"], "ready");
}
