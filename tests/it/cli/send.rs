//! `send`: what was answered is counted, and the exit code says whether it was as it should be.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Ran, command, run, run_aside};
use crate::support::{Receiver, SECRET, failure, http};

fn secret_file(dir: &Path, secret: &str) -> PathBuf {
    let file = dir.join("secret.txt");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    file
}

async fn send(receiver: &Receiver, secret: &str, more: &[&str]) -> Ran {
    let (url, file) = (receiver.webhook(), secret_file(&receiver.dir, secret));
    let known = [
        "send",
        "--url",
        &url,
        "--secret-file",
        file.to_str().unwrap(),
    ];
    run_aside(command(&[&known, more].concat())).await
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test]
async fn one_message_is_accepted_and_shown_in_a_table() {
    let receiver = Receiver::start().await;
    let ran = send(&receiver, SECRET, &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("1  200 accepted"), "{}", ran.stdout);
    for quantile in ["p50", "p90", "p99", "p99.9", "max"] {
        assert!(ran.stdout.contains(quantile), "{}", ran.stdout);
    }
}

#[tokio::test]
async fn a_mix_is_counted_by_answer_and_is_as_expected() {
    let receiver = Receiver::start().await;
    let mix = "success=4,duplicate=2,bad-signature=1,malformed=1";
    let ran = send(
        &receiver,
        SECRET,
        &["--count", "40", "--mix", mix, "--rate", "2000", "--json"],
    )
    .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let result = json(&ran);
    assert_eq!(
        result["answers"],
        serde_json::json!({"200 accepted": 20, "200 duplicate": 10, "400": 5, "401": 5})
    );
    assert_eq!(result["as_expected"], true);
    assert!(result["latency_ms"]["p99.9"].as_f64().unwrap() > 0.0);
    assert!(ran.stderr.contains("answered 40 of 40"), "{}", ran.stderr);
}

#[tokio::test]
async fn copies_of_one_body_are_accepted_once() {
    let receiver = Receiver::start().await;
    let body = receiver.dir.join("body.json");
    std::fs::write(&body, failure("s1")).unwrap();
    let more = ["--body", body.to_str().unwrap(), "--count", "5", "--json"];
    let first = send(&receiver, SECRET, &more).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(
        json(&first)["answers"],
        serde_json::json!({"200 accepted": 1, "200 duplicate": 4})
    );
    let again = send(&receiver, SECRET, &more).await;
    assert_eq!(again.code, 0);
    assert_eq!(
        json(&again)["answers"],
        serde_json::json!({"200 duplicate": 5})
    );
}

#[tokio::test]
async fn an_answer_that_its_kind_does_not_expect_exits_1() {
    let receiver = Receiver::start().await;
    let ran = send(&receiver, "another secret", &["--count", "3"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("3  401"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("200 accepted: expected 3, came 0"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_refused_connection_exits_1() {
    let temp = tempfile::tempdir().unwrap();
    let file = secret_file(temp.path(), SECRET);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{address}/");
        let ran = run(&mut command(&[
            "send",
            "--url",
            &url,
            "--secret-file",
            file.to_str().unwrap(),
        ]));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("1 without an answer"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn healthcheck_is_0_when_ready_and_1_when_nobody_answers() {
    let receiver = Receiver::start().await;
    let url = format!("http://{}/readyz", receiver.public);
    let ready = run_aside(command(&["healthcheck", "--url", &url])).await;
    assert_eq!(ready.code, 0, "{}", ready.stderr);
    assert!(ready.stdout.starts_with("200 "), "{}", ready.stdout);
    receiver.stop().await;
    assert!(http().get(&url).send().await.is_err());
    let gone = run_aside(command(&["healthcheck", "--url", &url])).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""));
}
