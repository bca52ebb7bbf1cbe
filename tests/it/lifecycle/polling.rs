//! Two instances on one database that expect sessions: one of them asks, each session is delivered once, and the other one
//! asks when the first is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use suki_receiver::journal::POLLER_LEASE;
use suki_receiver::lab::simulator::Session;

use crate::support::{Binary, Database, Vendor, eventually, files_below, http, send, until};

const SESSIONS: usize = 30;

/// An instance in a folder of its own, which delivers to the folder of both.
async fn start(dir: &Path, name: &str, database: &Database, vendor: &Vendor) -> Binary {
    let own = dir.join(name);
    std::fs::create_dir(&own).unwrap();
    let mut settings = vec![
        ("STORE__URL", database.url()),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("SINKS__ARCHIVE__DIR", dir.join("out").display().to_string()),
        ("RECONCILE__MAX_REQUESTS_PER_SECOND", "100".to_owned()),
        ("RECONCILE__PUSH_GRACE", "1ms".to_owned()),
    ];
    settings.extend(vendor.variables());
    Binary::start(&own, &settings).await
}

/// Registers sessions that have ended.
async fn register(instance: &Binary, vendor: &Vendor, names: &[String]) {
    let now = jiff::Timestamp::now().to_string();
    let said = names.iter().map(|name| {
        let encounter = format!("e-{name}");
        vendor
            .sdp
            .add_session(Session::ambient(name).in_encounter(&encounter));
        json!({"session_id": name, "encounter_id": encounter, "kind": "ambient", "ended_at": now})
    });
    let said = Value::Array(said.collect()).to_string();
    let token = std::fs::read_to_string(instance.dir.join("data/spool/admin-token")).unwrap();
    let url = format!("http://{}/api/v1/sessions", instance.admin);
    let request = http().post(url).bearer_auth(token.trim()).body(said);
    let request = request.header("content-type", "application/json");
    assert_eq!(send(request).await.unwrap().0, 201);
}

fn names(prefix: &str) -> Vec<String> {
    (0..SESSIONS)
        .map(|number| format!("{prefix}-{number}"))
        .collect()
}

/// How often the status of each session was asked for.
fn asked(vendor: &Vendor) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for call in vendor.sdp.calls() {
        if let Some(session) = call.path.strip_prefix("/api/v1/ambient/session/")
            && let Some(session) = session.strip_suffix("/status")
        {
            *asked.entry(session.to_owned()).or_default() += 1;
        }
    }
    asked
}

/// The sessions that were delivered, each as often as it was.
fn delivered(out: &Path) -> Vec<String> {
    let read = |path: &std::path::PathBuf| -> String {
        let envelope: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        envelope["subject"].as_str().unwrap().to_owned()
    };
    let mut all: Vec<_> = files_below(out).iter().map(read).collect();
    all.sort();
    all
}

async fn asks(instance: &Binary) -> bool {
    let metrics = instance.metrics().await;
    metrics.lines().any(|line| {
        line.starts_with("suki_receiver_reconcile_polls_total") && !line.ends_with(" 0")
    })
}

#[tokio::test]
async fn one_of_two_instances_asks_and_the_other_one_does_when_it_is_killed() {
    let (database, vendor) = (Database::create().await, Vendor::start().await);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let first = start(dir.path(), "a", &database, &vendor).await;
    let second = start(dir.path(), "b", &database, &vendor).await;
    let (before, after) = (names("before"), names("after"));
    register(&second, &vendor, &before).await;
    until("all are delivered", || files_below(&out).len() == SESSIONS).await;
    let asked_for = asked(&vendor);
    assert_eq!(asked_for.len(), SESSIONS);
    assert!(asked_for.values().all(|times| *times == 1), "{asked_for:?}");
    let (asking, other) = match (asks(&first).await, asks(&second).await) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        both => panic!("who asks: {both:?}"),
    };
    // It dies with questions under way.
    vendor.faults("status=slow:1s");
    register(&other, &vendor, &after).await;
    eventually("some are asked for", || async {
        asked(&vendor).len() > SESSIONS
    })
    .await;
    asking.kill();
    vendor.faults("");
    let killed = Instant::now();
    eventually("the other one asks", || async { asks(&other).await }).await;
    let bound = POLLER_LEASE + Duration::from_secs(5);
    assert!(killed.elapsed() < bound, "{:?}", killed.elapsed());
    until("all are delivered", || {
        files_below(&out).len() == 2 * SESSIONS
    })
    .await;
    let mut wanted: Vec<_> = before.into_iter().chain(after).collect();
    wanted.sort();
    assert_eq!(delivered(&out), wanted);
}
