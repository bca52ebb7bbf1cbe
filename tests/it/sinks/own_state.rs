//! One sink that is down holds up no other; files are whole or not there.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use std::time::Duration;
use suki_receiver::config::{HttpConfig, SinkTarget};

use crate::support::{
    HttpReceiver, Receiver, Signed, all_files_below, eventually, failure, files_below, files_sink,
    sink, until,
};

#[tokio::test]
async fn a_sink_that_is_down_holds_up_no_other_and_gets_everything_when_it_is_back() {
    let endpoint = HttpReceiver::start().await;
    endpoint.answers(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let url = endpoint.url();
    let receiver = Receiver::start_with(|config| {
        let http = HttpConfig {
            template: None,
            url,
            secrets: vec![],
            headers: vec![],
            timeout: Duration::from_secs(1),
            ca_file: None,
            proxy: suki_receiver::config::Proxy::None,
        };
        config.sinks.push(sink("ehr", SinkTarget::Http(http)));
    })
    .await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let (_, answer) = Signed::new(failure(&format!("s{n}")))
            .post(&receiver.webhook())
            .await;
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    let out = receiver.out();
    until("the files are there", || files_below(&out).len() == 20).await;
    assert_eq!(receiver.state_of(&ids[0]).await, "delivering");
    endpoint.answers(|_| StatusCode::OK.into_response());
    eventually("all are done", || async {
        receiver.admin_get("/api/v1/events?state=done").await.1["events"]
            .as_array()
            .is_some_and(|done| done.len() == 20)
    })
    .await;
}

#[tokio::test]
async fn a_file_stands_under_its_day_and_id_and_no_part_of_one_is_left() {
    let receiver = Receiver::start_with(|config| {
        config.sinks.push(files_sink(
            "second",
            config.sinks[0].clone_dir().join("../out2"),
        ));
    })
    .await;
    let (_, answer) = Signed::new(failure("s")).post(&receiver.webhook()).await;
    let id = answer["id"].as_str().unwrap();
    let out = receiver.out();
    // The day of receipt as the receiver has it: the test's own may be the next one already.
    let (_, event) = receiver.admin_get(&format!("/api/v1/events/{id}")).await;
    let day = event["received_at"].as_str().unwrap()[..10].replace('-', "/");
    for folder in [out, receiver.dir.join("out2")] {
        let expected = folder.join(format!("{day}/{id}.json"));
        until("it is there", || expected.exists()).await;
        assert_eq!(all_files_below(&folder), [expected]);
    }
}

#[tokio::test]
async fn what_a_kill_left_of_a_file_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("out/2026/11/25");
    std::fs::create_dir_all(&day).unwrap();
    let (piece, other) = (day.join(".a1B2c3.part"), day.join("theirs.part"));
    std::fs::write(&piece, "{\"specversion").unwrap();
    std::fs::write(&other, "x").unwrap();
    let receiver = Receiver::start_in(dir.path(), |_| {}).await;
    until("it is removed", || !piece.exists()).await;
    assert!(other.exists(), "what is not ours stays");
    Signed::new(failure("s")).post(&receiver.webhook()).await;
    let out = receiver.out();
    let is_delivered = || {
        files_below(&out)
            .iter()
            .any(|file| file.to_string_lossy().ends_with("json"))
    };
    until("it delivers", is_delivered).await;
}

trait Dir {
    fn clone_dir(&self) -> std::path::PathBuf;
}

impl Dir for suki_receiver::config::SinkConfig {
    fn clone_dir(&self) -> std::path::PathBuf {
        match &self.target {
            SinkTarget::Files(files) => files.dir.clone(),
            SinkTarget::Http(_) => unreachable!("the first sink writes files"),
        }
    }
}
