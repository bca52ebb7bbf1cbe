//! Alerts reach the sinks that take them, once each and with their end, in the shape that the target takes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use suki_receiver::config::{
    AdminToken, HttpConfig, PostgresUrl, Proxy, Role, Secret, ServerTls, SinkConfig, SinkTarget,
    StoreUrl, Template,
};

use suki_receiver::sinks::{self, SigningKeys};

use crate::support::{
    Database, HttpReceiver, Receiver, Vendor, eventually, failure, http, send, sink, until,
};

/// A sink that takes alerts alone.
fn alerts_to(endpoint: &HttpReceiver, template: Option<PathBuf>) -> SinkConfig {
    let http = HttpConfig {
        url: endpoint.url(),
        secrets: Vec::new(),
        headers: Vec::new(),
        timeout: Duration::from_secs(2),
        ca_file: None,
        proxy: Proxy::None,
        template: template.map(|file| {
            Box::new(Template {
                file,
                content_type: "application/json".to_owned(),
            })
        }),
    };
    let mut sink = sink("on-call", SinkTarget::Http(http));
    (sink.events, sink.alerts) = (Vec::new(), true);
    sink
}

/// A sink that rejects everything, so that each event is dead.
async fn rejecting() -> (HttpReceiver, SinkConfig) {
    let endpoint = HttpReceiver::start().await;
    endpoint.answers(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response());
    let mut sink = alerts_to(&endpoint, None);
    sink.name = "ehr".to_owned();
    (sink.events, sink.alerts) = (suki_receiver::domain::Outcome::ALL.to_vec(), false);
    (endpoint, sink)
}

fn told(endpoint: &HttpReceiver) -> Vec<Value> {
    let taken = endpoint.taken();
    let read = taken
        .iter()
        .map(|one| serde_json::from_slice(&one.body).unwrap());
    read.collect()
}

fn of(endpoint: &HttpReceiver, name: &str, status: &str) -> Vec<Value> {
    let mut all = told(endpoint);
    all.retain(|it| {
        it["type"] == format!("ai.suki.receiver.{name}") && it["data"]["status"] == status
    });
    all
}

#[tokio::test]
async fn a_dead_event_is_an_alert_to_who_takes_alerts_and_its_end_is_told_as_well() {
    let on_call = HttpReceiver::start().await;
    let (ehr, sink) = rejecting().await;
    let alerts = alerts_to(&on_call, None);
    let receiver = Receiver::start_with(|config| config.sinks = vec![sink, alerts]).await;
    let id = receiver.post(failure("PHI-session")).await;
    receiver.becomes(&id, "dead").await;
    for name in ["sink_exhausted", "dead_events"] {
        until(name, || of(&on_call, name, "raised").len() == 1).await;
    }
    let exhausted = of(&on_call, "sink_exhausted", "raised").remove(0);
    assert_eq!(
        (&exhausted["subject"], &exhausted["data"]["about"]),
        (&json!("ehr"), &json!("ehr"))
    );
    assert_eq!(exhausted["specversion"], "1.0");
    assert_eq!(exhausted["data"]["key"], "sink_exhausted:ehr");
    let text = json!(told(&on_call)).to_string();
    assert!(!text.contains("PHI") && !text.contains(&id), "{text}");
    assert!(
        ehr.received()
            .iter()
            .all(|one| { !String::from_utf8_lossy(&one.body).contains("ai.suki.receiver") })
    );
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains("suki_receiver_alerts{type=\"dead_events\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("suki_receiver_alerts_total{type=\"canary_silent\"} 0"));

    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    let path = format!("/api/v1/events/{id}/replay");
    let (status, _) = receiver.admin_post(&path, json!({"from": "deliver"})).await;
    assert_eq!(status, 202);
    for name in ["sink_exhausted", "dead_events"] {
        until(name, || of(&on_call, name, "resolved").len() == 1).await;
        assert_eq!(of(&on_call, name, "raised").len(), 1, "it is told once");
    }
}

#[tokio::test]
async fn a_sink_that_is_down_is_told_when_it_is_back() {
    let on_call = HttpReceiver::start().await;
    on_call.answers(|number| match number {
        0..3 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    });
    let (_ehr, sink) = rejecting().await;
    let alerts = alerts_to(&on_call, None);
    let receiver = Receiver::start_with(|config| config.sinks = vec![sink, alerts]).await;
    receiver.post(failure("s")).await;
    until("it is told", || {
        !of(&on_call, "sink_exhausted", "raised").is_empty()
    })
    .await;
    let ids: Vec<_> = on_call
        .received()
        .iter()
        .map(|one| one.headers["webhook-id"].clone())
        .collect();
    assert!(
        ids[..3].iter().all(|id| *id == ids[0]),
        "the same one comes again"
    );
}

/// The templates of docs/SINKS.md, by what stands in front of each.
fn documented(name: &str) -> String {
    let text = std::fs::read_to_string("docs/SINKS.md").unwrap();
    let (_, rest) = text
        .split_once(&format!("<!-- template: {name} -->"))
        .unwrap();
    let (_, rest) = rest.split_once("```jinja\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_documented_templates_make_the_bodies_that_slack_and_teams_take() {
    for (name, text) in [
        ("slack", "/text"),
        ("teams", "/attachments/0/content/body/1/text"),
    ] {
        let on_call = HttpReceiver::start().await;
        let (_ehr, sink) = rejecting().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, documented(name)).unwrap();
        let mut alerts = alerts_to(&on_call, Some(file));
        let SinkTarget::Http(http) = &mut alerts.target else {
            unreachable!("it is an http sink")
        };
        http.secrets = vec![suki_receiver::config::NamedSecret {
            id: "a".to_owned(),
            secret: Secret::literal("a-secret-of-many-bytes"),
        }];
        let keys = SigningKeys::new(&http.secrets).unwrap();
        let receiver = Receiver::start_with(|config| config.sinks = vec![sink, alerts]).await;
        receiver.post(failure("s")).await;
        until("it is told", || !on_call.taken().is_empty()).await;
        let one = on_call.taken().remove(0);
        assert_eq!(one.headers["content-type"], "application/json");
        let header = |name: &str| one.headers[name].to_str().unwrap();
        let timestamp = header("webhook-timestamp").parse().unwrap();
        let signed = keys.sign(header("webhook-id"), timestamp, &one.body);
        assert_eq!(
            header("webhook-signature"),
            signed.unwrap(),
            "of the body as it is sent"
        );
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        let told = body.pointer(text).unwrap().as_str().unwrap();
        assert!(told.contains("were given up"), "{name}: {body}");
    }
}

#[tokio::test]
async fn a_confirmation_that_does_not_come_is_an_alert_until_it_does() {
    let on_call = HttpReceiver::start().await;
    let receiver = Receiver::start_with(|config| {
        config.sinks[0].expect_applied = Some(Duration::from_millis(10));
        config.sinks.push(alerts_to(&on_call, None));
        config.admin.tokens.push(AdminToken {
            name: "archive-target".to_owned(),
            role: Role::Applier,
            sink: Some("archive".to_owned()),
            secret: Secret::literal("applier-token"),
        });
    })
    .await;
    let id = receiver.post(failure("s")).await;
    until("it is told", || {
        of(&on_call, "applied_overdue", "raised").len() == 1
    })
    .await;
    let confirm = |body: Value| {
        let url = format!("http://{}/api/v1/events/{id}/applied", receiver.admin);
        let request = http().post(url).bearer_auth("applier-token");
        send(request.body(body.to_string()))
    };
    assert_eq!(confirm(json!({"sink": "on-call"})).await.unwrap().0, 403);
    assert_eq!(confirm(json!({})).await.unwrap().0, 200);
    until("its end is told", || {
        of(&on_call, "applied_overdue", "resolved").len() == 1
    })
    .await;
    let event = receiver.event(&id).await;
    assert!(event["deliveries"][0]["applied_at"].is_string());
    eventually("it may see nothing", || async {
        let url = format!("http://{}/api/v1/events", receiver.admin);
        send(http().get(url).bearer_auth("applier-token"))
            .await
            .unwrap()
            .0
            == 403
    })
    .await;
}

#[tokio::test]
async fn a_confirmation_that_is_expected_no_more_is_no_alert_at_the_next_start() {
    let (dir, on_call) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let alerts = alerts_to(&on_call, None);
    let receiver = Receiver::start_in(dir.path(), |config| {
        config.sinks[0].expect_applied = Some(Duration::from_millis(10));
        config.sinks.push(alerts.clone());
    })
    .await;
    receiver.post(failure("s")).await;
    until("it is told", || {
        of(&on_call, "applied_overdue", "raised").len() == 1
    })
    .await;
    receiver.stop().await;
    let (_ehr, rejecting) = rejecting().await;
    let receiver = Receiver::start_in(dir.path(), |config| {
        config.sinks.extend([alerts, rejecting]);
    })
    .await;
    until("its end is told", || {
        of(&on_call, "applied_overdue", "resolved").len() == 1
    })
    .await;
    // What is checked at the same interval is told meanwhile.
    receiver.post(failure("t")).await;
    until("a dead event is told", || {
        of(&on_call, "dead_events", "raised").len() == 1
    })
    .await;
    assert_eq!(of(&on_call, "applied_overdue", "raised").len(), 1);
}

#[tokio::test]
async fn a_sink_of_alerts_alone_never_gets_an_event() {
    let on_call = HttpReceiver::start().await;
    let receiver =
        Receiver::start_with(|config| config.sinks.push(alerts_to(&on_call, None))).await;
    let id = receiver.post(failure("s")).await;
    receiver.becomes(&id, "done").await;
    let one = format!("/api/v1/events/{id}/replay");
    for (path, body) in [
        (&*one, json!({"from": "deliver", "sinks": ["on-call"]})),
        (
            &*one,
            json!({"from": "retrieve", "sinks": ["archive", "on-call"]}),
        ),
        (
            "/api/v1/replay",
            json!({"filter": {"state": "done"}, "sinks": ["on-call"], "reason": "test"}),
        ),
        ("/api/v1/sinks/gone/readdress", json!({"to": "on-call"})),
    ] {
        let (status, answer) = receiver.admin_post(path, body).await;
        assert_eq!(status, 400, "{path}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("takes events: on-call"), "{message}");
    }
    let (status, _) = receiver.admin_post(&one, json!({})).await;
    assert_eq!(status, 202);
    receiver.becomes(&id, "done").await;
    let event = receiver.event(&id).await;
    let sinks = event["deliveries"].as_array().unwrap();
    assert_eq!(sinks.len(), 1, "{event}");
    assert!(told(&on_call).is_empty());
}

/// What it was told, but for the time of telling and by whom.
fn in_short(endpoint: &HttpReceiver) -> Vec<(String, String)> {
    let told = told(endpoint).into_iter();
    let mut told: Vec<_> = told
        .map(|it| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&it["data"]["key"]), text(&it["data"]["status"]))
        })
        .collect();
    told.sort();
    told
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(key, status): &(&str, &str)| ((*key).to_owned(), (*status).to_owned());
    wanted.iter().map(pair).collect()
}

#[tokio::test]
async fn the_end_of_an_alert_is_told_by_the_next_process_and_the_alert_itself_not_again() {
    let dir = tempfile::tempdir().unwrap();
    let on_call = HttpReceiver::start().await;
    let (_ehr, sink) = rejecting().await;
    let alerts = alerts_to(&on_call, None);
    let both = [sink, alerts.clone()];
    let receiver = Receiver::start_in(dir.path(), |config| config.sinks = both.to_vec()).await;
    let id = receiver.post(failure("s")).await;
    receiver.becomes(&id, "dead").await;
    until("both are told", || told(&on_call).len() == 2).await;
    receiver.stop().await;
    // With the same causes nothing is told; without its sink, one of them is over.
    let receiver = Receiver::start_in(dir.path(), |config| config.sinks = vec![alerts]).await;
    until("its end is told", || told(&on_call).len() == 3).await;
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains("suki_receiver_alerts{type=\"dead_events\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("suki_receiver_alerts{type=\"sink_exhausted\"} 0"),
        "{metrics}"
    );
    let path = format!("/api/v1/events/{id}");
    let url = format!("http://{}{path}", receiver.admin);
    let purge = http().delete(url).bearer_auth(crate::support::OPERATOR);
    assert_eq!(send(purge).await.unwrap().0, 204);
    until("the other one's end is told", || told(&on_call).len() == 4).await;
    let wanted = [
        ("dead_events", "raised"),
        ("dead_events", "resolved"),
        ("sink_exhausted:ehr", "raised"),
        ("sink_exhausted:ehr", "resolved"),
    ];
    assert_eq!(in_short(&on_call), pairs(&wanted));
}

#[tokio::test]
async fn what_was_given_up_is_not_told_and_neither_is_its_end() {
    let on_call = HttpReceiver::start().await;
    on_call.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let (ehr, sink) = rejecting().await;
    let mut alerts = alerts_to(&on_call, None);
    alerts.retry.give_up_after = Duration::ZERO;
    let receiver = Receiver::start_with(|config| config.sinks = vec![sink, alerts]).await;
    let id = receiver.post(failure("s")).await;
    until("both are tried", || on_call.received().len() == 2).await;
    on_call.answers(|_| StatusCode::NO_CONTENT.into_response());
    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    let replay = json!({"from": "deliver"});
    receiver
        .admin_post(&format!("/api/v1/events/{id}/replay"), replay)
        .await;
    receiver.becomes(&id, "done").await;
    eventually("none is on", || async {
        let metrics = receiver.metrics().await;
        metrics.contains("suki_receiver_alerts{type=\"dead_events\"} 0")
            && metrics.contains("suki_receiver_alerts{type=\"sink_exhausted\"} 0")
    })
    .await;
    ehr.answers(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response());
    receiver.post(failure("another")).await;
    until("what comes then is told", || on_call.received().len() == 4).await;
    let wanted = [("dead_events", "raised"), ("sink_exhausted:ehr", "raised")];
    let told = in_short(&on_call)[..].to_vec();
    assert_eq!(
        told.iter()
            .filter(|(_, status)| status == "resolved")
            .count(),
        0
    );
    assert!(
        pairs(&wanted).iter().all(|one| told.contains(one)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told() {
    let (dir, on_call) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let end = (jiff::Timestamp::now() + Duration::from_secs(10 * 24 * 3600)).to_string();
    let mut parts = end[..10].split('-').map(|part| part.parse().unwrap());
    let mut part = || parts.next().unwrap();
    let (year, month, day): (i32, i32, i32) = (part(), part(), part());
    params.not_after = rcgen::date_time_ymd(year, month as u8, day as u8);
    let tls = ServerTls {
        cert_file: dir.path().join("cert.pem"),
        key_file: dir.path().join("key.pem"),
    };
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(&tls.cert_file, certificate.pem()).unwrap();
    std::fs::write(&tls.key_file, key.serialize_pem()).unwrap();
    let alerts = alerts_to(&on_call, None);
    let _receiver = Receiver::start_with(|config| {
        config.server.tls = Some(tls);
        config.sinks.push(alerts);
    })
    .await;
    until("it is told", || !told(&on_call).is_empty()).await;
    assert_eq!(
        in_short(&on_call),
        pairs(&[("certificate_ending:public", "raised")])
    );
}

#[tokio::test]
async fn a_template_that_cannot_make_a_body_of_each_event_keeps_the_service_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template");
    let on_call = HttpReceiver::start().await;
    for (template, why) in [
        (
            "{\"a\":\n{{ data.message.x.y() }}}",
            "line 2 of the template",
        ),
        ("{\"a\": \"{{ data.message }}\"}", "not JSON"),
    ] {
        std::fs::write(&file, template).unwrap();
        let sink = alerts_to(&on_call, Some(file.clone()));
        let error = sinks::build(&sink).err().expect("no sink").to_string();
        let wanted = [why, file.to_str().unwrap(), "sink on-call", "an alert"];
        assert!(wanted.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[tokio::test]
async fn missed_notifications_stay_an_alert_when_another_instance_polls_until_they_come_again() {
    let (database, vendor) = (Database::create().await, Vendor::start().await);
    let (dir, on_call) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let start = async |name: &str| {
        Receiver::start_in(&dir.path().join(name), |config| {
            config.store.url = StoreUrl::Postgres(PostgresUrl::parse(&database.url()).unwrap());
            config.store.spool_dir = dir.path().join(name).join("spool");
            vendor.follow(config);
            config.reconcile.schedule.push_grace = Duration::from_millis(1);
            config.reconcile.alarm.first_polls = 2;
            config.sinks.push(alerts_to(&on_call, None));
        })
        .await
    };
    let (first, second) = (start("a").await, start("b").await);
    let register = async |receiver: &Receiver, name: &str| {
        let now = jiff::Timestamp::now().to_string();
        let said = json!({"session_id": name, "ended_at": now});
        assert_eq!(receiver.admin_post("/api/v1/sessions", said).await.0, 201);
    };
    for name in ["missed-1", "missed-2"] {
        vendor.completed(name);
        register(&first, name).await;
    }
    let raised = || of(&on_call, "push_missed", "raised").len();
    until("it is told", || raised() == 1).await;
    let is_raised = first.metrics().await;
    let is_raised = is_raised.contains("suki_receiver_alerts{type=\"push_missed\"} 1");
    let (polling, other) = match is_raised {
        true => (first, second),
        false => (second, first),
    };
    polling.stop().await;
    until("the other one tells it", || raised() == 2).await;
    let met = AtomicUsize::new(0);
    eventually("its end is told", || async {
        let name = format!("met-{}", met.fetch_add(1, Ordering::Relaxed));
        let later = jiff::Timestamp::now() + Duration::from_secs(60);
        let said = json!({"session_id": name, "deadline": later.to_string()});
        other.admin_post("/api/v1/sessions", said).await;
        other.post(failure(&name)).await;
        !of(&on_call, "push_missed", "resolved").is_empty()
    })
    .await;
}
