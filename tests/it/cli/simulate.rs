//! `simulate`: the vendor's API from the shell, with faults on demand and routes to drive it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::command;
use crate::support::http;

/// A running simulator.
struct Simulator {
    child: Child,
    base: String,
    /// Kept open, so that it can go on writing.
    _stderr: BufReader<ChildStderr>,
}

impl Simulator {
    fn start(more: &[&str]) -> Self {
        let mut child = command(&[&["simulate", "--listen", "127.0.0.1:0"], more].concat())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let base = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(base.starts_with("http://127.0.0.1:"), "{line}");
        Self {
            child,
            base,
            _stderr: stderr,
        }
    }

    async fn login(&self) -> (u16, Value) {
        let body = json!({"partner_id": "p", "partner_token": "t", "provider_id": "dr"});
        let request = http().post(format!("{}/api/v1/auth/login", self.base));
        let request = request.header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn status_of_content(&self, token: &str, provider: Option<&str>) -> u16 {
        let url = format!("{}/api/v1/ambient/session/any/content", self.base);
        let mut request = http().get(url).header("sdp_suki_token", token);
        if let Some(provider) = provider {
            request = request.header("sdp_provider_id", provider);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn token(answer: &Value) -> String {
    answer["suki_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_answers_a_login_then_faults_as_told_then_the_note() {
    let simulator = Simulator::start(&["--faults", "content=503:1"]);
    let (status, answer) = simulator.login().await;
    assert_eq!(status, 200, "{answer}");
    let token = token(&answer);
    assert_eq!(simulator.status_of_content(&token, None).await, 503);
    assert_eq!(simulator.status_of_content(&token, None).await, 200);

    let faults = format!("{}/simulator/faults", simulator.base);
    let set = http()
        .post(&faults)
        .body("content=404")
        .send()
        .await
        .unwrap();
    assert_eq!(set.status(), 204);
    assert_eq!(simulator.status_of_content(&token, None).await, 404);
    let calls = http()
        .get(format!("{}/simulator/calls", simulator.base))
        .send()
        .await
        .unwrap();
    let calls: Vec<Value> = serde_json::from_str(&calls.text().await.unwrap()).unwrap();
    let statuses: Vec<_> = calls.iter().map(|call| &call["status"]).collect();
    assert_eq!(statuses, [200, 503, 200, 404]);
}

#[tokio::test]
async fn it_can_know_only_sessions_that_were_added_and_demand_the_provider() {
    let simulator = Simulator::start(&["--only-known-sessions", "--single-auth"]);
    let (_, answer) = simulator.login().await;
    let token = token(&answer);
    assert!((400..500).contains(&simulator.status_of_content(&token, None).await));
    assert_eq!(simulator.status_of_content(&token, Some("dr")).await, 404);
    let sessions = format!("{}/simulator/sessions", simulator.base);
    let added = http()
        .post(sessions)
        .header("content-type", "application/json")
        .body(r#"{"session_id":"any"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(added.status(), 204);
    assert_eq!(simulator.status_of_content(&token, Some("dr")).await, 200);
}

#[test]
fn it_ends_well_when_it_is_interrupted() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut simulator = Simulator::start(&[]);
        kill(Pid::from_raw(simulator.child.id().cast_signed()), signal).unwrap();
        assert_eq!(simulator.child.wait().unwrap().code(), Some(0));
    }
}
