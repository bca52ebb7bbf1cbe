//! Content that comes after its event was delivered without it goes out once, as an amendment.

use std::time::Duration;

use serde_json::{Value, json};
use suki_receiver::config::{Config, Include, SinkTarget};
use suki_receiver::lab::simulator::Canned;

use crate::support::{Receiver, Signed, Vendor, completed, files_below, until};

/// Graces and looks that a test can wait for.
fn brief(config: &mut Config) {
    config.follow.best_effort_for = Duration::from_millis(100);
    config.follow.not_found_grace = Duration::from_millis(100);
    config.follow.empty_grace = Duration::from_millis(100);
    config.refresh.missing_after = vec![Duration::from_millis(300)];
}

fn delivered(dir: &std::path::Path) -> Vec<Value> {
    let read = |path: &std::path::PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap());
    let mut all: Vec<Value> = files_below(dir)
        .iter()
        .map(|path| read(path).unwrap())
        .collect();
    all.sort_by_key(|envelope| envelope["data"]["revision"].as_u64());
    all
}

#[tokio::test]
async fn what_was_missing_and_comes_later_is_delivered_once_as_an_amendment() {
    for trouble in ["transcript=404", "transcript=409", "transcript=503"] {
        let vendor = Vendor::start().await;
        let receiver = Receiver::start_with(|config| {
            vendor.follow(config);
            brief(config);
            let mut lean = config.sinks[0].clone();
            lean.name = "lean".to_owned();
            lean.include = Include::NotificationOnly;
            let SinkTarget::Files(files) = &mut lean.target else {
                unreachable!("the first sink writes files")
            };
            files.dir.set_file_name("lean");
            config.sinks.push(lean);
        })
        .await;
        vendor.faults(trouble);
        let body = completed("s", &vendor.completed("s"));
        let (_, answer) = Signed::new(body).post(&receiver.webhook()).await;
        let first = answer["id"].as_str().unwrap();
        let out = receiver.out();
        until("it is delivered without", || files_below(&out).len() == 1).await;
        let envelope = &delivered(&out)[0]["data"];
        assert_eq!(envelope["missing"][0]["group"], "transcripts");
        assert_eq!(
            (&envelope["revision"], &envelope["replaces"]),
            (&json!(1), &Value::Null)
        );
        assert_eq!(envelope["source"], "webhook");
        let asked = vendor.sdp.count("/transcript");
        until("it is asked for again", || {
            vendor.sdp.count("/transcript") > asked
        })
        .await;
        assert_eq!(files_below(&out).len(), 1, "nothing came yet");
        vendor.faults("");
        until("the amendment comes", || files_below(&out).len() == 2).await;
        let amendment = &delivered(&out)[1];
        let data = &amendment["data"];
        assert_ne!(amendment["id"], first, "its id is its own key");
        assert_eq!(
            (&data["revision"], &data["replaces"]),
            (&json!(2), &json!(first))
        );
        assert_eq!(data["source"], "refresh");
        assert_eq!(data["missing"], json!([]));
        for group in ["contents", "transcripts", "structured_data"] {
            assert!(data["resources"][group][0]["body"].is_object(), "{data}");
        }
        let id = amendment["id"].as_str().unwrap();
        receiver.becomes(id, "done").await;
        assert_eq!(
            vendor.sdp.count("/session/s/content"),
            1,
            "what came before is not asked for"
        );
        assert_eq!(files_below(&receiver.dir.join("lean")).len(), 1);
    }
}

#[tokio::test]
async fn a_note_that_was_empty_and_is_written_later_is_an_amendment_as_well() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        brief(config);
    })
    .await;
    let body = completed("s", &vendor.completed("s"));
    let empty = Canned::json("{\"summary\":[]}");
    vendor.sdp.answer_with("/session/s/content", empty);
    Signed::new(body).post(&receiver.webhook()).await;
    let out = receiver.out();
    until("it is delivered as it is", || files_below(&out).len() == 1).await;
    vendor.sdp.answer_with("/session/s/content", None);
    until("the amendment comes", || files_below(&out).len() == 2).await;
    let data = &delivered(&out)[1]["data"];
    assert!(
        !data["resources"]["contents"][0]["body"]["summary"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(data["missing"], json!([]));
}

#[tokio::test]
async fn what_was_refused_is_not_asked_for_again() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        brief(config);
        config.refresh.missing_after = vec![Duration::from_millis(20)];
    })
    .await;
    vendor.faults("transcript=410,structured-data=404");
    let mut links = vendor.completed("s");
    links.push(("videos", "/api/v1/video/1".to_owned()));
    Signed::new(completed("s", &links))
        .post(&receiver.webhook())
        .await;
    let out = receiver.out();
    until("it is delivered without", || files_below(&out).len() == 1).await;
    let asked = vendor.sdp.count("/structured-data");
    until("what was not found is", || {
        vendor.sdp.count("/structured-data") > asked + 2
    })
    .await;
    assert_eq!(vendor.sdp.count("/transcript"), 1);
    assert_eq!(vendor.sdp.count("/video"), 0);
}
