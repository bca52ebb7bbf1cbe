//! Sessions that are expected: by push, by pull, late, twice and never, from a registration to what a sink gets.

use std::time::Duration;

use serde_json::{Value, json};
use suki_receiver::config::{AdminToken, Config, Role, Secret};
use suki_receiver::lab::simulator::Session;

use crate::support::{
    OPERATOR, Receiver, Signed, Vendor, completed, eventually, failure, http, send, until,
};

/// Waits that a test can wait for.
fn brief(config: &mut Config) {
    let ms = Duration::from_millis;
    config.reconcile.max_requests_per_second = 100;
    config.reconcile.schedule.push_grace = ms(100);
    config.reconcile.schedule.min_interval = ms(100);
    config.reconcile.schedule.max_interval = ms(200);
    config.reconcile.schedule.aborted_grace = ms(300);
}

/// A receiver that has recovered the session `s`, and what it has delivered.
async fn recovered(vendor: &Vendor) -> (Receiver, Value) {
    let receiver = start(vendor).await;
    register(&receiver, "s").await;
    let first = receiver.delivers_one().await;
    (receiver, first)
}

async fn start(vendor: &Vendor) -> Receiver {
    start_with(vendor, |_| {}).await
}

async fn start_with(vendor: &Vendor, change: impl FnOnce(&mut Config)) -> Receiver {
    Receiver::start_with(|config| {
        vendor.follow(config);
        brief(config);
        change(config);
    })
    .await
}

/// Registers a session that has ended just now.
async fn register(receiver: &Receiver, session: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    let said =
        json!({"session_id": session, "encounter_id": format!("e-{session}"), "ended_at": now});
    let (status, answer) = receiver.admin_post("/api/v1/sessions", said).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

/// Registers a session of which nothing more is known, so that nobody asks for it yet.
async fn expect(receiver: &Receiver, session: &str) {
    let said = json!({"session_id": session});
    let (status, answer) = receiver.admin_post("/api/v1/sessions", said).await;
    assert_eq!(status, 201, "{answer}");
}

async fn session(receiver: &Receiver, id: &str) -> Value {
    receiver
        .admin_get(&format!("/api/v1/sessions/{id}"))
        .await
        .1
}

async fn stands(receiver: &Receiver, id: &str, state: &str) -> Value {
    eventually(&format!("session {id} is {state}"), || async {
        session(receiver, id).await["state"] == state
    })
    .await;
    session(receiver, id).await
}

async fn counts(receiver: &Receiver, metric: &str) -> bool {
    receiver.metrics().await.contains(metric)
}

#[tokio::test]
async fn a_session_whose_notification_never_comes_is_fetched_and_delivered_once() {
    let vendor = Vendor::start().await;
    vendor.completed("s");
    let receiver = start(&vendor).await;
    assert_eq!(register(&receiver, "s").await["state"], "open");
    let envelope = receiver.delivers_one().await;
    let data = &envelope["data"];
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    assert_eq!(envelope["subject"], "s");
    assert_eq!(data["notification"], Value::Null);
    assert_eq!(data["source"], "reconcile");
    assert_eq!(data["session_status"], "completed");
    assert_eq!(data["revision"], 1);
    assert_eq!(data["sequence"], json!({"session": 1, "encounter": 1}));
    assert!(data["expected"]["ended_at"].is_string());
    assert!(data["resources"]["contents"][0]["body"].is_object());
    let recovered = session(&receiver, "s").await;
    assert_eq!(recovered["state"], "recovered");
    let id = recovered["event_id"].as_str().unwrap();
    let event = receiver.becomes(id, "done").await;
    assert_eq!(
        (&event["source"], &event["status"]),
        (&json!("reconcile"), &Value::Null)
    );
    let payload = receiver
        .admin_get(&format!("/api/v1/events/{id}/payload"))
        .await;
    assert_eq!(payload.0, 404);
    let metric = "suki_receiver_push_missed_total{status=\"completed\"} 1";
    assert!(counts(&receiver, metric).await);
}

#[tokio::test]
async fn each_end_that_is_found_is_an_event_of_its_kind() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    for (status, outcome) in [
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("aborted", "cancelled"),
    ] {
        let id = format!("s-{status}");
        vendor
            .sdp
            .add_session(Session::ambient(&id).with_status(status));
        register(&receiver, &id).await;
        let found = stands(&receiver, &id, "recovered").await;
        let event = found["event_id"].as_str().unwrap();
        let event = receiver.becomes(event, "done").await;
        assert_eq!(event["outcome"], outcome);
        assert_eq!(event["error_code"], Value::Null);
    }
    // Whether a notification tells of one that was skipped is not known.
    for (outcome, missed) in [("failed", 1), ("skipped", 0), ("cancelled", 1)] {
        let metric = format!("suki_receiver_push_missed_total{{status=\"{outcome}\"}} {missed}");
        assert!(counts(&receiver, &metric).await, "{metric}");
    }
}

#[tokio::test]
async fn an_aborted_session_that_is_resumed_is_waited_for() {
    let vendor = Vendor::start().await;
    let states = [
        "created", "running", "aborted", "paused", "aborted", "staged",
    ];
    vendor.sdp.add_session(
        Session::ambient("s")
            .in_encounter("e-s")
            .after_states(states),
    );
    let receiver = start_with(&vendor, |config| {
        config.reconcile.schedule.aborted_grace = Duration::from_millis(600);
    })
    .await;
    register(&receiver, "s").await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["type"], "ai.suki.session.completed");
    // The seventh question found its end.
    assert_eq!(session(&receiver, "s").await["polls"], 7);
}

#[tokio::test]
async fn a_form_filling_session_is_found_though_its_kind_is_not_known() {
    for wrong_kind in [404, 400, 412] {
        let vendor = Vendor::start().await;
        vendor.sdp.add_session(Session::form_filling("s"));
        vendor.faults(&format!("status=wrong-kind;as={wrong_kind}"));
        let receiver = start(&vendor).await;
        register(&receiver, "s").await;
        let envelope = receiver.delivers_one().await;
        assert!(
            envelope["data"]["resources"]["structured_data"].is_array(),
            "{wrong_kind}"
        );
        assert_eq!(session(&receiver, "s").await["kind"], "form_filling");
    }
}

#[tokio::test]
async fn a_session_that_is_pushed_is_not_asked_for() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    expect(&receiver, "s").await;
    let links = vendor.completed("s");
    let id = receiver.post(completed("s", &links)).await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["data"]["source"], "webhook");
    assert!(envelope["data"]["expected"]["registered_at"].is_string());
    let met = session(&receiver, "s").await;
    assert_eq!(
        (&met["state"], &met["event_id"]),
        (&json!("met"), &json!(id))
    );
    assert_eq!(
        (&met["polls"], &met["next_poll_at"]),
        (&json!(0), &Value::Null)
    );
    // One that is registered afterwards.
    let id = receiver.post(failure("other")).await;
    receiver.becomes(&id, "done").await;
    let said = json!({"session_id": "other"});
    let (status, answer) = receiver.admin_post("/api/v1/sessions", said.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(
        answer,
        json!({"session_id": "other", "state": "met", "event_id": id})
    );
    let (status, _) = receiver.admin_post("/api/v1/sessions", said).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_notification_that_comes_after_the_recovery_is_kept_and_the_same_is_not_delivered_again()
{
    let vendor = Vendor::start().await;
    let links = vendor.completed("s");
    let (receiver, first) = recovered(&vendor).await;
    let id = receiver.post(completed("s", &links)).await;
    let event = receiver.becomes(&id, "done").await;
    assert_eq!(event["same_as"], first["id"]);
    assert_eq!(session(&receiver, "s").await["state"], "late");
    assert_eq!(receiver.delivers(1).await.len(), 1);
    assert!(counts(&receiver, "suki_receiver_push_late_total 1").await);
}

#[tokio::test]
async fn a_recovered_event_that_is_replayed_after_its_notification_came_is_delivered_with_its_content()
 {
    let vendor = Vendor::start().await;
    let links = vendor.completed("s");
    let (receiver, first) = recovered(&vendor).await;
    let id = receiver.post(completed("s", &links)).await;
    receiver.becomes(&id, "done").await;
    let before = vendor.sdp.count("/content");
    let recovered = first["id"].as_str().unwrap();
    let replay = format!("/api/v1/events/{recovered}/replay");
    let (status, _) = receiver.admin_post(&replay, json!({})).await;
    assert_eq!(status, 202);
    eventually("it is fetched again", || async {
        vendor.sdp.count("/content") > before
    })
    .await;
    receiver.becomes(recovered, "done").await;
    let again = receiver.delivers_one().await;
    assert_eq!(again["id"], first["id"]);
    let note = |envelope: &Value| envelope["data"]["resources"]["contents"][0]["body"].clone();
    assert!(note(&again).is_object(), "{again}");
    assert_eq!(note(&again), note(&first));
}

#[tokio::test]
async fn a_late_notification_of_other_content_is_a_revision_that_replaces_what_was_recovered() {
    let vendor = Vendor::start().await;
    let links = vendor.completed("s");
    let (receiver, first) = recovered(&vendor).await;
    vendor.resumed("s");
    let id = receiver.post(completed("s", &links)).await;
    let all = receiver.delivers(2).await;
    let revised = all.iter().find(|envelope| envelope["id"] == *id).unwrap();
    let data = &revised["data"];
    assert_eq!(
        (&data["revision"], &data["replaces"]),
        (&json!(2), &first["id"])
    );
    assert_eq!(data["sequence"]["session"], 2);
    assert!(data["notification"].is_object());
}

#[tokio::test]
async fn other_sessions_that_a_notification_names_are_expected_by_themselves() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let mut body: Value = serde_json::from_slice(&failure("s")).unwrap();
    body["sessions"] = json!(["s", "sibling", 7, "sibling"]);
    receiver.post(body.to_string()).await;
    let sibling = stands(&receiver, "sibling", "open").await;
    assert_eq!(
        (&sibling["origin"], &sibling["encounter_id"]),
        (&json!("sibling"), &json!("e-s"))
    );
    let (_, list) = receiver.admin_get("/api/v1/sessions").await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_waits_for_a_session_is_told_of_its_end() {
    let vendor = Vendor::start().await;
    vendor.completed("s");
    let receiver = start(&vendor).await;
    register(&receiver, "s").await;
    let (status, ended) = receiver.admin_get("/api/v1/sessions/s?wait=30s").await;
    assert_eq!((status, &ended["state"]), (200, &json!("recovered")));
    expect(&receiver, "open").await;
    let (status, open) = receiver.admin_get("/api/v1/sessions/open?wait=0s").await;
    assert_eq!((status, &open["state"]), (200, &json!("open")));
    for wrong in ["wait=61s", "wait=soon", "waits=1s"] {
        let (status, _) = receiver
            .admin_get(&format!("/api/v1/sessions/open?{wrong}"))
            .await;
        assert_eq!(status, 400, "{wrong}");
    }
    assert_eq!(receiver.admin_get("/api/v1/sessions/nobody").await.0, 404);
}

#[tokio::test]
async fn the_end_of_a_session_may_be_told_before_it_is_registered() {
    let vendor = Vendor::start().await;
    vendor.completed("s");
    let receiver = start(&vendor).await;
    let now = jiff::Timestamp::now().to_string();
    let request = http()
        .patch(format!("http://{}/api/v1/sessions/s", receiver.admin))
        .bearer_auth(OPERATOR)
        .body(json!({"ended_at": now}).to_string());
    let (status, ended) = send(request).await.unwrap();
    assert_eq!((status, &ended["state"]), (200, &json!("open")));
    let said = json!({"session_id": "s", "encounter_id": "e-s", "kind": "ambient"});
    let (status, _) = receiver.admin_post("/api/v1/sessions", said).await;
    assert_eq!(status, 200, "it is known");
    let recovered = stands(&receiver, "s", "recovered").await;
    assert_eq!(recovered["encounter_id"], "e-s");
}

#[tokio::test]
async fn an_id_that_is_left_out_is_made_here_and_many_are_registered_at_once() {
    let receiver = Receiver::start().await;
    let (status, minted) = receiver.admin_post("/api/v1/sessions", json!({})).await;
    assert_eq!(status, 201);
    let id = minted["session_id"].as_str().unwrap();
    assert_eq!(id.as_bytes()[14], b'4', "{id} is no UUID v4");
    let list = json!([{"session_id": "a"}, {"session_id": 7}, {"session_id": "b", "kind": "form_filling"}, {"x": 1}]);
    let (status, answers) = receiver.admin_post("/api/v1/sessions", list).await;
    assert_eq!(status, 201);
    assert_eq!(answers[0], json!({"session_id": "a", "state": "open"}));
    assert!(
        answers[1]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("session_id")
    );
    assert_eq!(answers[2]["session_id"], "b");
    assert!(
        answers[3]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("'x'")
    );
    let lines = "\u{feff}{\"session_id\":\"c\"}\n\nnot json\n{\"session_id\":\"a\"}\n";
    let request = http()
        .post(format!("http://{}/api/v1/sessions", receiver.admin))
        .bearer_auth(OPERATOR)
        .header("content-type", "application/x-ndjson")
        .body(lines);
    let (status, text) = send(request).await.unwrap();
    let text = text.as_str().unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(status, 201);
    assert_eq!((answers.len(), &answers[0]["session_id"]), (3, &json!("c")));
    assert!(answers[1]["error"].is_object());
    for wrong in [
        json!(7),
        json!({"session_id": ""}),
        json!({"kind": "dictation"}),
        json!({"ended_at": "yesterday"}),
        json!({"context": "PHI-context"}),
        json!(vec![json!({}); 1001]),
        json!([{"nobody": 1}]),
    ] {
        let (status, answer) = receiver.admin_post("/api/v1/sessions", wrong).await;
        assert_eq!(status, 400, "{answer}");
        assert!(!answer.to_string().contains("PHI"), "{answer}");
    }
}

#[tokio::test]
async fn a_registrar_registers_and_sees_nothing() {
    let receiver = Receiver::start_with(|config| {
        config.admin.tokens.push(AdminToken {
            name: "frontend".to_owned(),
            role: Role::Registrar,
            sink: None,
            secret: Secret::literal("registrar-token"),
        });
    })
    .await;
    let call = |method: &str, path: &str, token: &str| {
        let method = method.parse().unwrap();
        let url = format!("http://{}/api/v1/{path}", receiver.admin);
        let request = http().request(method, url).bearer_auth(token);
        let said = json!({"session_id": "s", "ended_at": "2026-11-25T12:00:00Z"});
        let body = if path == "sessions" {
            said
        } else {
            json!({"ended_at": "2026-11-25T12:00:00Z"})
        };
        send(request.body(body.to_string()))
    };
    assert_eq!(
        call("POST", "sessions", "registrar-token").await.unwrap().0,
        201
    );
    assert_eq!(
        call("PATCH", "sessions/s", "registrar-token")
            .await
            .unwrap()
            .0,
        200
    );
    for (method, path) in [
        ("GET", "sessions"),
        ("GET", "sessions/s"),
        ("DELETE", "sessions/s"),
        ("POST", "sessions/s/poll"),
        ("POST", "sessions/s/refresh"),
        ("GET", "events"),
        ("GET", "stats"),
        ("GET", "audit"),
    ] {
        let (status, answer) = call(method, path, "registrar-token").await.unwrap();
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    assert_eq!(
        call("POST", "sessions", "viewer-token").await.unwrap().0,
        403
    );
    assert_eq!(
        call("GET", "sessions", "viewer-token").await.unwrap().0,
        200
    );
}

#[tokio::test]
async fn what_the_partner_said_of_the_patient_goes_to_the_sinks_and_nowhere_else() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let said = json!({"session_id": "s", "context": {"patient": {"family": "PHI-Doe"}}});
    let (status, answer) = receiver.admin_post("/api/v1/sessions", said).await;
    assert_eq!(status, 201, "{answer}");
    let id = receiver.post(completed("s", &vendor.completed("s"))).await;
    let envelope = receiver.delivers_one().await;
    assert_eq!(envelope["data"]["context"]["patient"]["family"], "PHI-Doe");
    let shown = session(&receiver, "s").await.to_string();
    assert!(!shown.contains("PHI"), "{shown}");
    let purge = http()
        .delete(format!("http://{}/api/v1/events/{id}", receiver.admin))
        .bearer_auth(OPERATOR);
    assert_eq!(send(purge).await.unwrap().0, 204);
    let db = receiver.dir.join("data/receiver.db");
    receiver.stop().await;
    for file in [db.clone(), db.with_extension("db-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(
            !bytes.windows(7).any(|part| part == b"PHI-Doe"),
            "{}",
            file.display()
        );
    }
}

#[tokio::test]
async fn without_a_webhook_everything_is_asked_for_and_no_secret_is_needed() {
    let vendor = Vendor::start().await;
    vendor.completed("s");
    let receiver = start_with(&vendor, |config| {
        config.server.path.clear();
        config.signature.secrets.clear();
    })
    .await;
    let (status, _) = Signed::new(failure("s")).post(&receiver.webhook()).await;
    assert_eq!(status, 404);
    assert_eq!(receiver.get("/readyz").await.0, 200);
    register(&receiver, "s").await;
    assert_eq!(receiver.delivers_one().await["data"]["source"], "reconcile");
}

#[tokio::test]
async fn missed_notifications_are_an_alarm_until_they_come_again() {
    let vendor = Vendor::start().await;
    let receiver = start_with(&vendor, |config| config.reconcile.alarm.first_polls = 3).await;
    for n in 0..3 {
        vendor.completed(&format!("missed-{n}"));
        register(&receiver, &format!("missed-{n}")).await;
    }
    eventually("it is said", || async {
        let (status, report) = receiver.get("/readyz").await;
        status == 200
            && report
                .to_string()
                .contains("push: notifications do not come")
    })
    .await;
    receiver.delivers(3).await;
    for n in 0..4 {
        let name = format!("met-{n}");
        expect(&receiver, &name).await;
        receiver.post(failure(&name)).await;
        stands(&receiver, &name, "met").await;
        // The alarm looks between two of them.
        if n == 0 {
            expect(&receiver, "looked-at").await;
            receiver
                .admin_post("/api/v1/sessions/looked-at/poll", json!({}))
                .await;
            eventually("it is asked for", || async {
                session(&receiver, "looked-at").await["polls"] != json!(0)
            })
            .await;
        }
    }
    eventually("it is over", || async {
        !receiver
            .get("/readyz")
            .await
            .1
            .to_string()
            .contains("push:")
    })
    .await;
}

#[tokio::test]
async fn questions_keep_within_their_rate_and_give_way_when_the_api_asks_for_it() {
    let vendor = Vendor::start().await;
    let receiver = start_with(&vendor, |config| {
        config.reconcile.max_requests_per_second = 10;
        config.reconcile.schedule.min_interval = Duration::from_secs(600);
        config.reconcile.schedule.max_interval = Duration::from_secs(600);
    })
    .await;
    for n in 0..30 {
        let session = Session::ambient(format!("s-{n}")).with_status("running");
        vendor.sdp.add_session(session);
    }
    let now = jiff::Timestamp::now().to_string();
    let list: Vec<Value> = (0..30)
        .map(|n| json!({"session_id": format!("s-{n}"), "kind": "ambient", "ended_at": now}))
        .collect();
    receiver.admin_post("/api/v1/sessions", json!(list)).await;
    until("all are asked for", || vendor.sdp.count("/status") == 30).await;
    let calls = vendor.sdp.calls();
    let at: Vec<_> = calls
        .iter()
        .filter(|call| call.path.ends_with("/status"))
        .map(|call| call.at)
        .collect();
    // The first ones wait for a login together.
    let took = at[29].duration_since(at[9]);
    let least = jiff::SignedDuration::from_millis(1_800);
    assert!(took >= least, "20 questions at ten a second took {took}");
    vendor.faults("status=429");
    receiver
        .admin_post("/api/v1/sessions/s-0/poll", json!({}))
        .await;
    eventually("the rate is halved", || async {
        counts(&receiver, "suki_receiver_reconcile_rate 5").await
    })
    .await;
}
