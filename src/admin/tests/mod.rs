//! The routes as a caller sees them, on a real store. This file has the tests' shared code.

mod access;
mod content;
mod description;
mod events;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{State, Tokens, router};
use crate::config::{AdminToken, Role, Secret};
use crate::domain::{Clock, EventId, LinkGroup, LinkState, Outcome, Session, SessionKind};
use crate::journal::{
    Access, Appended, AuditEntry, AuditFilter, Claimed, DeliveryEnd, End, Found, How, Inbox,
    Journal, LinkRecord, Linked, Planned, Received, Retrieval, SqliteStore, Task, Wanted,
};
use crate::lifecycle::Readiness;
use crate::metrics::Metrics;
use crate::signature::{Claim, SecretBytes, Secrets, SentBody, Verified, sign, verify};

/// Is in every body; must never be in a list, a view or an error answer.
const CLINICAL: &str = "chronic-migraine";
const VIEWER: &str = "v-token";
const OPERATOR: &str = "o-token";

struct Admin {
    state: State,
    inbox: Inbox,
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

    /// The message of an error answer in the shape of every listener.
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
        let (journal, inbox) = Journal::new(Arc::new(store), Duration::from_secs(5), 8, clock);
        let token = |name: &str, role, secret: &str| AdminToken {
            sink: None,
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
                reconcile: crate::config::Reconcile::default(),
                can_poll: true,
                alerts: crate::lifecycle::Alerts::default(),
                watchers: crate::admin::Watchers::default(),
                journal,
                metrics,
                readiness: Readiness::default(),
                clock,
                tokens: Arc::new(ArcSwap::from_pointee(tokens)),
                sinks: Arc::from(["archive".to_owned(), "ehr".to_owned()]),
                event_sinks: Arc::from(["archive".to_owned(), "ehr".to_owned()]),
                refusals: super::DenialLimit::default(),
            },
            inbox,
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
        let response = router(self.state.clone(), axum::Router::new())
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
        self.keep(body.to_string()).await
    }

    async fn quarantine(&self, body: &str) -> EventId {
        self.keep(body.to_owned()).await
    }

    async fn keep(&self, body: String) -> EventId {
        let received = Received::read(&signed(body), self.state.clock.now(), false);
        match self
            .state
            .journal
            .append(&received)
            .await
            .map(|kept| kept.appended)
        {
            Ok(Appended::New(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn claim_of(&self, tasks: Vec<Task>) -> Vec<Claimed> {
        let wanted = Wanted {
            now: self.state.clock.monotonic_in(Duration::from_secs(1)),
            tasks: vec![(tasks, 10)],
            limit: 10,
        };
        self.state.journal.claim(wanted).await.expect("claims")
    }

    /// Claims the events that are due.
    async fn claim(&self) -> Vec<Claimed> {
        self.claim_of(vec![Task::Forward, Task::New, Task::Retrieve])
            .await
    }

    async fn end(&self, claimed: &Claimed, how: How) {
        let lease = claimed.lease().clone();
        let ended = self
            .state
            .journal
            .finish(vec![End {
                lease,
                how,
                took: std::time::Duration::ZERO,
                instance: "one".into(),
            }])
            .await;
        ended.expect("kept");
    }

    /// Whether the worker was notified since the last call that something is due.
    fn is_woken(&self) -> bool {
        self.inbox.wakeup.notified().now_or_never().is_some()
    }

    /// Works on all that is due, as the worker does: fetches one link, delivers to one sink.
    async fn work(&self) {
        for event in self.claim().await {
            let body = Bytes::from(format!(r#"{{"text":"{CLINICAL}"}}"#));
            let (group, href) = (LinkGroup::new("contents"), "/api/v1/ambient/s/contents");
            let link = LinkRecord {
                instance: Some("one".to_owned()),
                http_status: Some(200),
                bytes: Some(body.len() as u64),
                fetched_at: Some(Timestamp::now()),
                ..LinkRecord::new(0, group, href.to_owned(), LinkState::Fetched)
            };
            let end = Retrieval::Deliver {
                found: Found {
                    session: Session {
                        outcome: Outcome::Completed,
                        kind: SessionKind::Ambient,
                        status: None,
                    },
                    links: vec![Linked {
                        link,
                        body: Some(body),
                    }],
                },
                sinks: vec![Planned {
                    sink: "ehr".to_owned(),
                    is_held: false,
                }],
                refresh_at: None,
            };
            self.end(&event, How::Retrieval(Box::new(end))).await;
        }
        for delivery in self.claim_of(vec![Task::Deliver("ehr".to_owned())]).await {
            let at = Timestamp::now();
            self.end(
                &delivery,
                How::Delivery(DeliveryEnd::Delivered {
                    at,
                    applied_by: None,
                }),
            )
            .await;
        }
    }

    async fn audit_entries(&self) -> Vec<AuditEntry> {
        let page = self
            .state
            .records()
            .audit_log(AuditFilter::default(), 10, None);
        page.await.expect("entries").entries
    }

    async fn audit(&self) -> Vec<String> {
        let entries = self.audit_entries().await;
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
        &Claim::of(Some(signature.as_bytes()), Some(at.as_bytes())),
        &SentBody::plain(body),
    )
    .expect("authentic")
}

/// Replaces the text at each of these places, after checking that there is one.
fn mask(value: &mut Value, places: &[&str]) {
    for place in places {
        let found = value.pointer_mut(place).expect(place);
        assert!(found.is_string(), "{place}: {found}");
        *found = json!("*");
    }
}
