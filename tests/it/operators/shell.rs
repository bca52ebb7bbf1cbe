//! The commands of the shell, as people use them: filters, pipes, and what they say.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{run, run_with};
use crate::support::{Binary, EXE, HttpReceiver, Signed, eventually, failure, http, until};

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_panic_and_no_failure() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    for n in 0..20 {
        Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
    }
    std::fs::write(dir.join("secret"), "a-secret-of-suki\n").unwrap();
    std::fs::write(dir.join("body"), "{}").unwrap();
    let url = format!("sqlite:{}", dir.join("data/receiver.db").display());
    for args in [
        "events list",
        "events list --json",
        "events export",
        "check",
        "sign --secret-file secret body",
        "verify --secret-file secret --generated-at 1 --signature 00 body",
        "store check",
        "sinks list",
        "--help",
        "events show --help",
    ] {
        for both in ["", "2>&1"] {
            for reader in ["true", "head -1"] {
                let line = format!("{EXE} {args} {both} | {reader}; exit ${{PIPESTATUS[0]}}");
                let ran = Command::new("bash")
                    .args(["-c", &line])
                    .current_dir(dir)
                    .env("SUKI_RECEIVER__STORE__URL", &url)
                    .env("SUKI_RECEIVER__SIGNATURE__SECRET", "a-secret-of-suki")
                    .stdin(Stdio::null())
                    .output()
                    .unwrap();
                let err = String::from_utf8_lossy(&ran.stderr);
                assert!(!err.contains("panicked"), "{line}: {err}");
                let expected = i32::from(args.starts_with("verify"));
                assert_eq!(ran.status.code(), Some(expected), "{line}: {err}");
            }
        }
    }
}

#[tokio::test]
async fn many_are_replayed_purged_and_requeued_by_filters_after_a_look_at_how_many() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    for n in 0..5 {
        Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
    }
    let (status, _) = Signed::new(*b"no notification")
        .post(&binary.webhook())
        .await;
    assert_eq!(status, 400);
    let sinks = [
        ("SUKI_RECEIVER__SINKS__ARCHIVE__TYPE", "files"),
        ("SUKI_RECEIVER__SINKS__ARCHIVE__DIR", "out"),
    ];
    let said = |args: &[&str]| {
        let ran = run_with(dir, args, &sinks);
        assert_eq!(ran.code, 0, "{args:?} {}", ran.err);
        ran.out
    };
    until("all are done", || {
        said(&["events", "list", "--state", "done"])
            .matches("session s")
            .count()
            == 5
    })
    .await;
    assert_eq!(run_with(dir, &["events", "replay"], &sinks).code, 1);
    for (args, answer) in [
        (
            &[
                "events",
                "replay",
                "--since",
                "1h",
                "--state",
                "done",
                "--dry-run",
            ][..],
            "5 events match (5 done)",
        ),
        (
            &["events", "replay", "--session-id", "s1", "--rate", "100"],
            "replay: 1 events",
        ),
        (
            &["events", "replay", "--until", "2020-01-01"],
            "no events match",
        ),
        (
            &["events", "requeue", "--dry-run"],
            "1 events match (1 quarantined)",
        ),
        (&["events", "requeue"], "it still cannot be read"),
        (
            &["events", "purge", "--state", "quarantined", "--yes"],
            "purge: 1 events",
        ),
        (&["events", "list", "--state", "purged"], "purged"),
        (&["store", "check"], "0 quarantined, 1 purged"),
    ] {
        let out = said(args);
        assert!(out.contains(answer), "{args:?}: {out}");
    }
    let none = run(dir, &["events", "list", "--state", "dead"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert!(none.err.contains("no events match"), "{}", none.err);
    for line in said(&["events", "list"]).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let odd = run(dir, &["events", "list", "--since", "yesterday"]);
    assert_eq!(odd.code, 2);
    assert!(odd.err.contains("24h"), "{}", odd.err);
}

#[tokio::test]
async fn what_waits_for_a_sink_that_is_gone_is_said_and_given_to_another() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let old = [
        ("SINKS__OLD__TYPE", "http".to_owned()),
        ("SINKS__OLD__URL", url),
    ];
    let binary = Binary::start(dir, &old).await;
    for n in 0..3 {
        Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
    }
    let list = |args: &[&str]| run(dir, args).out;
    until("they wait", || {
        list(&["sinks", "list"]).contains("old: 3 deliveries wait; not configured")
    })
    .await;
    binary.signal(nix::sys::signal::Signal::SIGTERM);
    binary.ended().await;

    let sink = HttpReceiver::start().await;
    let new = [
        ("SINKS__NEW__TYPE", "http".to_owned()),
        ("SINKS__NEW__URL", sink.url().to_string()),
    ];
    let binary = Binary::start(dir, &new).await;
    let ready = async || {
        let url = format!("http://{}/readyz", binary.public);
        http().get(url).send().await.unwrap().text().await.unwrap()
    };
    eventually("it is a note", || async {
        ready()
            .await
            .contains("3 deliveries wait for the sink 'old'")
    })
    .await;
    binary.logs("3 deliveries wait for the sink 'old'").await;
    let check = run(dir, &["store", "check"]);
    assert_eq!(check.code, 1);
    assert!(check.out.contains("sink 'old'"), "{}", check.out);
    // Nothing is damaged, so a backup is not what is to be restored.
    assert!(!check.out.contains("backup"), "{}", check.out);
    assert!(check.out.contains("the store is intact"), "{}", check.out);

    let id = list(&["events", "list", "--session-id", "s0", "--json"]);
    let id: Value = serde_json::from_str(&id).unwrap();
    let id = id["events"][0]["id"].as_str().unwrap();
    let names = [
        ("SUKI_RECEIVER__SINKS__NEW__TYPE", "http"),
        ("SUKI_RECEIVER__SINKS__NEW__URL", "http://127.0.0.1:1/"),
    ];
    let replay = run_with(dir, &["events", "replay", id, "--from", "deliver"], &names);
    assert_eq!(replay.code, 1, "nobody delivers to its sink");
    let unknown = run(dir, &["sinks", "readdress", "old", "--to", "nowhere"]);
    assert_eq!(unknown.code, 1);

    let given = run_with(dir, &["sinks", "readdress", "old", "--to", "new"], &names);
    assert_eq!(given.code, 0, "{}", given.err);
    assert!(given.out.contains("3 deliveries"), "{}", given.out);
    until("all came", || sink.received().len() == 3).await;
    eventually("the note is gone", || async {
        !ready().await.contains("'old'")
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_sink_that_is_gone_can_be_dropped_by_the_api() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let old = [
        ("SINKS__OLD__TYPE", "http".to_owned()),
        ("SINKS__OLD__URL", "http://127.0.0.1:1/".to_owned()),
    ];
    let binary = Binary::start(dir, &old).await;
    Signed::new(failure("s")).post(&binary.webhook()).await;
    until("it waits", || {
        run(dir, &["sinks", "list"]).out.contains("old: 1 ")
    })
    .await;
    binary.kill();
    let binary = Binary::start(dir, &[]).await;
    let token = std::fs::read_to_string(dir.join("data/admin-token")).unwrap();
    let url = format!("http://{}/api/v1/sinks/old/drop", binary.admin);
    let call = http().post(url).bearer_auth(token.trim());
    let answer = call.send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"dropped":1}"#);
    until("the event has ended", || {
        run(dir, &["events", "list", "--state", "done"])
            .out
            .contains("session s")
    })
    .await;
    assert_eq!(run(dir, &["store", "check"]).code, 0);
}
