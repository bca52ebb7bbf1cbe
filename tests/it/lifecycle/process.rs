//! Signals, kills and exit codes of the real binary.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    Binary, EXE, SECRET, Signed, eventually, failure, files_below, http, post_until_refused, until,
};

#[tokio::test]
async fn what_was_acknowledged_is_delivered_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    // The sink's folder cannot be written to, so that everything is acknowledged and nothing delivered.
    let blocked = dir.path().join("blocked");
    let binary = Binary::start(
        dir.path(),
        &[(
            "SINKS__ARCHIVE__DIR",
            blocked.join("out").display().to_string(),
        )],
    )
    .await;
    std::fs::remove_dir_all(&blocked).unwrap();
    std::fs::write(&blocked, "in the way").unwrap();
    for n in 0..50 {
        let (status, _) = Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
        assert_eq!(status, 200);
    }
    binary.kill();
    std::fs::remove_file(&blocked).unwrap();
    let out = dir.path().join("out");
    let again = Binary::start(
        dir.path(),
        &[("SINKS__ARCHIVE__DIR", out.display().to_string())],
    )
    .await;
    until("all 50 are delivered", || files_below(&out).len() == 50).await;
    let (_, answer) = Signed::new(failure("s7")).post(&again.webhook()).await;
    assert_eq!(answer["result"], "duplicate");
}

/// Waits until each of these events is a file.
pub async fn all_are_files(out: &std::path::Path, ids: &[String]) {
    until("every acknowledged one is delivered", || {
        let names: std::collections::HashSet<String> = files_below(out)
            .iter()
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        ids.iter().all(|id| names.contains(id))
    })
    .await;
}

#[tokio::test]
async fn a_kill_under_load_loses_nothing_that_was_answered_200() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    let senders: Vec<_> = (0..8)
        .map(|n| post_until_refused(&binary.webhook(), n))
        .collect();
    let out = dir.path().join("out");
    until("some are delivered", || files_below(&out).len() > 20).await;
    binary.kill();
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    let _again = Binary::start(dir.path(), &[]).await;
    all_are_files(&out, &acknowledged).await;
}

#[tokio::test]
async fn sigterm_under_load_answers_200_to_all_it_takes_turns_readiness_off_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    // Much longer than what is to be seen in it takes, also on a busy machine.
    let binary = Binary::start(
        dir.path(),
        &[
            ("SERVER__DRAIN_DELAY", "3s".to_owned()),
            ("SERVER__DRAIN_TIMEOUT", "20s".to_owned()),
        ],
    )
    .await;
    let ready = format!("http://{}/readyz", binary.public);
    let senders: Vec<_> = (0..4)
        .map(|n| post_until_refused(&binary.webhook(), n))
        .collect();
    let out = dir.path().join("out");
    until("some are delivered", || files_below(&out).len() > 20).await;
    let client = http();
    binary.signal(Signal::SIGTERM);
    eventually("readiness is off", || async {
        client
            .get(&ready)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    let (status, late) = Signed::new(failure("late"))
        .try_post(&client, &binary.webhook())
        .await
        .unwrap();
    assert_eq!(status, 200, "a notification is still taken while it drains");
    assert_eq!(binary.ended().await.code(), Some(0));
    let mut acknowledged = vec![late["id"].as_str().unwrap().to_owned()];
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    let _again = Binary::start(dir.path(), &[]).await;
    all_are_files(&out, &acknowledged).await;
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(
        dir.path(),
        &[
            ("SERVER__DRAIN_DELAY", "60s".to_owned()),
            ("SERVER__DRAIN_TIMEOUT", "90s".to_owned()),
        ],
    )
    .await;
    binary.signal(Signal::SIGINT);
    until("it drains", || binary.log().contains("draining")).await;
    binary.signal(Signal::SIGINT);
    assert_eq!(binary.ended().await.code(), Some(1));
}

#[tokio::test]
async fn sighup_takes_up_a_new_secret_and_keeps_the_old_one_when_the_new_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let secrets = format!("[{{ id = \"a\", file = \"{}\" }}]", file.display());
    let binary = Binary::start(
        dir.path(),
        &[
            ("SIGNATURE__SECRET", "other".to_owned()),
            ("SIGNATURE__SECRETS", secrets),
        ],
    )
    .await;
    let post = |session: &'static str, secret: &'static str| {
        let url = binary.webhook();
        async move {
            Signed::new(failure(session))
                .with_secret(secret)
                .post(&url)
                .await
                .0
        }
    };
    assert_eq!(post("a", SECRET).await, 200);
    std::fs::write(&file, "rotated").unwrap();
    binary.signal(Signal::SIGHUP);
    until("it reloads", || binary.log().contains("reloaded")).await;
    assert_eq!(post("b", "rotated").await, 200);
    assert_eq!(post("c", SECRET).await, 401);
    std::fs::remove_file(&file).unwrap();
    binary.signal(Signal::SIGHUP);
    until("it says why not", || binary.log().contains("not reloaded")).await;
    assert_eq!(post("d", "rotated").await, 200);
}

#[tokio::test]
async fn the_log_says_what_happened_and_nothing_private() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[("LOG__LEVEL", "trace".to_owned())]).await;
    let (_, answer) = Signed::new(failure("logged-session"))
        .post(&binary.webhook())
        .await;
    Signed::new(b"PHI-junk".to_vec())
        .post(&binary.webhook())
        .await;
    Signed::new(failure("x"))
        .with_secret("wrong")
        .post(&binary.webhook())
        .await;
    until("its end is logged", || binary.log().contains("event ended")).await;
    binary.signal(Signal::SIGTERM);
    let log = dir.path().join("log");
    binary.ended().await;
    let log = std::fs::read_to_string(log).unwrap();
    let id = answer["id"].as_str().unwrap();
    for expected in [
        id,
        "logged-session",
        "e-logged-session",
        "request.id",
        "\"outcome\":\"failed\"",
        "\"status\":\"failure\"",
    ] {
        assert!(log.contains(expected), "{expected} is not in the log");
    }
    for private in ["PHI", SECRET] {
        assert!(!log.contains(private), "{private} is in the log");
    }
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_names_the_key() {
    let output = Command::new(EXE)
        .args(["serve", "--set", "server.lisen=1.2.3.4:5"])
        .env_clear()
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("server.lisen") && text.contains("did you mean 'listen'"),
        "{text}"
    );
    assert!(
        text.contains("signature.secrets"),
        "all errors at once: {text}"
    );
    let usage = Command::new(EXE)
        .args(["serve", "--nonsense"])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::spawn(dir.path(), &[("SERVER__LISTEN", address.clone())]);
    assert_eq!(binary.ended().await.code(), Some(1));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(
        log.contains(&format!("cannot listen on {address}")),
        "{log}"
    );
}
