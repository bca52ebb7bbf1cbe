//! Content that is fetched again, because Suki sends a notification again or somebody asks for it, and delivered if it
//! has changed.

use std::time::Duration;

use serde_json::{Value, json};
use suki_receiver::config::Config;
use suki_receiver::lab::simulator::Canned;

use crate::support::{Receiver, Signed, Vendor, completed, eventually, until};

const CONTENT: &str = "/session/s/content";

async fn start(vendor: &Vendor) -> Receiver {
    start_with(vendor, |_| {}).await
}

/// Starts a receiver that soon requests again what has not come.
async fn start_with(vendor: &Vendor, change: impl FnOnce(&mut Config)) -> Receiver {
    Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.retry.max = Duration::from_millis(50);
        change(config);
    })
    .await
}

/// Delivers the session `s`, and returns the notification and the event's id.
async fn delivered(vendor: &Vendor, receiver: &Receiver) -> (Vec<u8>, String) {
    let body = completed("s", &vendor.completed("s"));
    let id = receiver.post(body.clone()).await;
    receiver.becomes(&id, "done").await;
    (body, id)
}

/// Posts the notification again, as one that was sent 100 s later.
async fn repeat(receiver: &Receiver, body: &[u8]) {
    let later = jiff::Timestamp::now().as_millisecond() + 100_000;
    let (_, answer) = Signed::at(body, later).post(&receiver.webhook()).await;
    assert_eq!(answer["result"], "duplicate");
}

async fn refresh(receiver: &Receiver) {
    let (status, _) = receiver
        .admin_post("/api/v1/sessions/s/refresh", json!({}))
        .await;
    assert_eq!(status, 202);
}

/// Waits until the content has been fetched again, and was the same.
async fn found_the_same(receiver: &Receiver) {
    let metric = "suki_receiver_refresh_total{result=\"same\"} 1";
    eventually("it is fetched again", || async {
        receiver.metrics().await.contains(metric)
    })
    .await;
}

/// Waits until the content of `s` has been requested a few times more.
async fn requested_again(vendor: &Vendor) {
    let before = vendor.sdp.count(CONTENT);
    until("it is requested again and again", || {
        vendor.sdp.count(CONTENT) > before + 2
    })
    .await;
}

#[tokio::test]
async fn a_change_after_a_late_notification_replaces_what_the_sinks_have() {
    let vendor = Vendor::start().await;
    let receiver = start_with(&vendor, |config| {
        config.reconcile.schedule.push_grace = Duration::from_millis(1);
    })
    .await;
    let links = vendor.completed("s");
    let now = jiff::Timestamp::now().to_string();
    let said = json!({"session_id": "s", "encounter_id": "e-s", "ended_at": now});
    receiver.admin_post("/api/v1/sessions", said).await;
    let recovered = receiver.delivers_one().await;
    let late = receiver.post(completed("s", &links)).await;
    receiver.becomes(&late, "done").await;
    receiver.delivers(1).await;
    vendor.resumed("s");
    refresh(&receiver).await;
    let all = receiver.delivers(2).await;
    let changed = all.iter().find(|event| event["id"] != recovered["id"]);
    let data = &changed.unwrap()["data"];
    assert_eq!(
        (&data["replaces"], &data["revision"]),
        (&recovered["id"], &json!(2))
    );
}

fn empty() -> Canned {
    Canned::json("{\"summary\":[]}")
}

fn failed(status: u16) -> Canned {
    Canned {
        status,
        ..Canned::json("{}")
    }
}

#[tokio::test]
async fn a_second_note_that_is_not_there_yet_when_it_is_announced_is_requested_until_it_is() {
    for answer in [empty(), failed(404), failed(503)] {
        let vendor = Vendor::start().await;
        let receiver = start(&vendor).await;
        let (body, id) = delivered(&vendor, &receiver).await;
        vendor.sdp.answer_with(CONTENT, answer);
        repeat(&receiver, &body).await;
        requested_again(&vendor).await;
        assert_eq!(receiver.delivers(1).await[0]["id"], json!(id));
        vendor.resumed("s");
        vendor.sdp.answer_with(CONTENT, None);
        receiver.delivers(2).await;
    }
}

#[tokio::test]
async fn what_an_operator_wants_fetched_again_is_requested_until_all_of_it_has_come() {
    let vendor = Vendor::start().await;
    let receiver = start_with(&vendor, |config| config.refresh.on_repeat = false).await;
    delivered(&vendor, &receiver).await;
    vendor.faults("transcript=503");
    refresh(&receiver).await;
    let asked = vendor.sdp.count("/transcript");
    until("the transcript is requested again and again", || {
        vendor.sdp.count("/transcript") > asked + 2
    })
    .await;
    vendor.resumed("s");
    vendor.faults("");
    receiver.delivers(2).await;
}

#[tokio::test]
async fn content_that_the_vendor_no_longer_has_is_requested_for_the_grace_only_and_stays_as_it_was()
{
    for answer in [empty(), failed(404)] {
        let vendor = Vendor::start().await;
        let receiver = start_with(&vendor, |config| {
            config.follow.not_found_grace = Duration::from_secs(2);
            config.follow.empty_grace = Duration::from_secs(2);
        })
        .await;
        delivered(&vendor, &receiver).await;
        vendor.sdp.answer_with(CONTENT, answer);
        refresh(&receiver).await;
        requested_again(&vendor).await;
        let store = rusqlite::Connection::open(receiver.dir.join("data/receiver.db")).unwrap();
        let pending =
            || store.query_row("SELECT count(*) FROM work", [], |row| row.get::<_, i64>(0));
        until("nothing is requested any more", || pending().unwrap() == 0).await;
        receiver.delivers(1).await;
    }
}

#[tokio::test]
async fn a_second_note_that_is_told_of_in_the_same_words_is_delivered_as_a_revision() {
    let vendor = Vendor::start().await;
    let links = vendor.completed("s");
    let receiver = start(&vendor).await;
    let body = completed("s", &links);
    let id = receiver.post(body.clone()).await;
    let first = receiver.delivers_one().await;
    receiver.becomes(&id, "done").await;
    let repeat = |seconds: i64| {
        let at = jiff::Timestamp::now().as_millisecond() + seconds * 1000;
        let (body, url) = (body.clone(), receiver.webhook());
        async move { Signed::at(body, at).post(&url).await.1 }
    };
    let asked = || vendor.sdp.count("/content");
    let before = asked();
    // Too soon to be another note.
    assert_eq!(repeat(10).await["result"], "duplicate");
    // Later, and nothing has changed.
    assert_eq!(repeat(100).await, json!({"result": "duplicate", "id": id}));
    found_the_same(&receiver).await;
    assert!(asked() > before);
    vendor.resumed("s");
    assert_eq!(repeat(200).await["result"], "duplicate");
    let all = receiver.delivers(2).await;
    let revised = all.iter().find(|envelope| envelope["id"] != *id).unwrap();
    let data = &revised["data"];
    assert_eq!(
        (&data["revision"], &data["replaces"]),
        (&json!(2), &json!(id))
    );
    assert_eq!(data["source"], "refresh");
    let note = |envelope: &Value| envelope["data"]["resources"]["contents"][0]["body"].clone();
    assert_ne!(note(revised), note(&first));
    assert_eq!(data["sequence"], json!({"session": 2, "encounter": 2}));
}

#[tokio::test]
async fn a_refresh_delivers_what_has_changed_and_nothing_else() {
    let vendor = Vendor::start().await;
    let receiver = start(&vendor).await;
    let (status, _) = receiver
        .admin_post("/api/v1/sessions/s/refresh", json!({}))
        .await;
    assert_eq!(status, 404);
    delivered(&vendor, &receiver).await;
    refresh(&receiver).await;
    found_the_same(&receiver).await;
    receiver.delivers(1).await;
    vendor.resumed("s");
    refresh(&receiver).await;
    receiver.delivers(2).await;
}
