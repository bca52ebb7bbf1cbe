//! Tests of which role may call which route, and of the answers when the store fails.

use std::time::Duration;

use axum::http::Method;

use super::{Admin, CLINICAL, OPERATOR, VIEWER};

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
async fn the_metrics_of_the_contract_are_there() {
    let admin = Admin::start();
    admin.append("s", "success").await;
    let metrics = &admin.state.metrics;
    let took = Duration::from_millis(3);
    metrics.notification(crate::metrics::Answer::Accepted, took);
    metrics.sdp_request("contents", "200", took);
    metrics.sdp_login("default", "ok");
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

#[tokio::test]
async fn what_is_refused_is_counted_and_on_paths_of_content_audited() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    let payload = format!("/api/v1/events/{id}/payload");
    // Other refused calls do not keep refused calls for content out of the audit log.
    let others = [("", "/api/v1/stats"); 40];
    let calls = [
        (VIEWER, payload.as_str()),
        ("wrong", &payload),
        ("", &payload),
        (VIEWER, "/api/v1/audit"),
    ];
    for (token, path) in others.into_iter().chain(calls) {
        let answer = admin.call(Method::GET, path, token, "").await;
        assert!([401, 403].contains(&answer.status.as_u16()), "{path}");
    }
    let route = "GET /api/v1/events/{id}/payload";
    assert_eq!(
        admin.audit().await,
        [
            format!("unknown: refused (401): {route}"),
            format!("unknown: refused (401): {route}"),
            format!("desk: refused (403): {route}"),
        ]
    );
    let entries = admin.audit_entries().await;
    assert!(entries.iter().all(|entry| entry.event == Some(id)));
    let metrics = admin.get("/metrics").await.text();
    for (code, count) in [("401", 42), ("403", 2)] {
        let line = format!("suki_receiver_admin_refused_total{{code=\"{code}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_query_that_a_call_does_not_take_is_refused_and_nothing_is_done() {
    let admin = Admin::start();
    let id = admin.append("s", "success").await;
    admin.work().await;
    let event = format!("/api/v1/events/{id}");
    for (method, path) in [
        (Method::DELETE, event.clone()),
        (Method::POST, format!("{event}/replay")),
        (Method::POST, "/api/v1/sinks/ehr/drop".to_owned()),
        (Method::GET, event.clone()),
        (Method::GET, "/api/v1/stats".to_owned()),
        (Method::GET, "/api/v1/me".to_owned()),
    ] {
        let path = format!("{path}?dry_run=true");
        let answer = admin.call(method, &path, OPERATOR, "").await;
        assert_eq!(answer.status, 400, "{path}");
        answer.refusal();
    }
    let payload = format!("{event}/payload");
    let answer = admin.call(Method::GET, &payload, OPERATOR, "").await;
    assert_eq!(answer.status, 200, "its content is there");
    for path in ["/api/v1/events?limit=1", "/api/v1/stats/history?minutes=5"] {
        let answer = admin.call(Method::GET, path, OPERATOR, "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
