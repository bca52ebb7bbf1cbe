//! Clinical content: gone when it is purged, and every look at it written down.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::run;
use crate::support::{Binary, Signed, all_files_below, files_below, http, until};

const NOTE: &str = "migraine-with-aura-since-childhood";

/// A notification with this text in it, long enough to need pages of its own.
fn clinical(session: &str) -> Vec<u8> {
    let text = format!("{NOTE} ").repeat(2000);
    format!(r#"{{"session_id":"{session}","status":"failure","note":"{text}"}}"#).into_bytes()
}

async fn admin(binary: &Binary, method: reqwest::Method, path: &str) -> u16 {
    let token = std::fs::read_to_string(binary.dir.join("data/admin-token")).unwrap();
    let url = format!("http://{}/api/v1{path}", binary.admin);
    let call = http().request(method, url).bearer_auth(token.trim());
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn nothing_of_purged_content_is_left_in_the_files_of_the_store() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let (status, answer) = Signed::new(clinical(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
        assert_eq!(status, 200);
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    until("all are delivered", || {
        files_below(&dir.join("out")).len() == ids.len()
    })
    .await;
    let is_there = || {
        all_files_below(&dir.join("data")).iter().any(|file| {
            let content = std::fs::read(file).unwrap_or_default();
            content
                .windows(NOTE.len())
                .any(|window| window == NOTE.as_bytes())
        })
    };
    assert!(is_there());
    let (by_api, by_shell) = ids.split_at(2);
    for id in by_api {
        let path = format!("/events/{id}");
        assert_eq!(admin(&binary, reqwest::Method::DELETE, &path).await, 204);
    }
    for id in by_shell {
        let ran = run(dir, &["events", "purge", id]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    until("nothing of it is left", || !is_there()).await;
    binary.signal(Signal::SIGTERM);
    binary.ended().await;
    assert!(!is_there());
}

#[tokio::test]
async fn looks_at_content_from_the_shell_are_audited_with_the_systems_user() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    let (_, answer) = Signed::new(clinical("s")).post(&binary.webhook()).await;
    let id = answer["id"].as_str().unwrap();
    assert_eq!(run(dir, &["events", "show", id, "--payload"]).code, 0);
    assert_eq!(run(dir, &["events", "export", "--content"]).code, 0);
    let token = std::fs::read_to_string(dir.join("data/admin-token")).unwrap();
    let audit = http()
        .get(format!("http://{}/api/v1/audit", binary.admin))
        .bearer_auth(token.trim());
    let audit = audit.send().await.unwrap().text().await.unwrap();
    let audit: Value = serde_json::from_str(&audit).unwrap();
    let user = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let actors: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors.len(), 2, "{audit}");
    for actor in actors {
        assert!(
            actor.starts_with(&format!("cli:{}", user.trim())),
            "{actor}"
        );
    }
}

#[tokio::test]
async fn a_refused_call_is_logged_with_the_address_of_the_caller() {
    let temp = tempfile::tempdir().unwrap();
    let binary = Binary::start(temp.path(), &[]).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .local_address(std::net::IpAddr::from([127, 0, 0, 77]))
        .build()
        .unwrap();
    let call = client.get(format!("http://{}/api/v1/audit", binary.admin));
    assert_eq!(call.send().await.unwrap().status(), 401);
    let refusal = "an admin call was denied";
    let log = binary.logs(refusal).await;
    let line = log.lines().find(|line| line.contains(refusal)).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let peer = line["peer"].as_str().unwrap_or_default();
    assert!(peer.starts_with("127.0.0.77:"), "{line}");
}
