//! `check`: shows what is in force without a secret, and everything that is wrong at once.

use std::path::Path;

use super::{Ran, command, run};

fn check(dir: &Path, toml: &str) -> Ran {
    let file = dir.join("receiver.toml");
    std::fs::write(&file, toml).unwrap();
    run(command(&["check", "--config", file.to_str().unwrap()]).current_dir(dir))
}

#[test]
fn the_effective_configuration_is_printed_and_its_secrets_are_masked() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("token"), "SECRET-of-file").unwrap();
    let ran = check(
        temp.path(),
        r#"
            [server]
            listen = "127.0.0.1:18080"
            [signature]
            secrets = [{ id = "2026-a", value = "SECRET-literal" }]
            [sdp.auth]
            partner_id = "p"
            partner_token = { file = "token" }
            [[sinks]]
            name = "ehr"
            type = "http"
            url = "https://ehr.example/?key=SECRET-in-query"
            secret = "SECRET-of-sink"
        "#,
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("127.0.0.1:18080") && ran.stdout.contains("2026-a"));
    assert!(!ran.stdout.contains("SECRET"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("SECRET"), "{}", ran.stderr);
}

#[test]
fn everything_that_is_wrong_is_named_at_once_and_exits_2() {
    let temp = tempfile::tempdir().unwrap();
    let ran = check(
        temp.path(),
        r#"
            [server]
            listen = "nowhere"
            lisen = "0.0.0.0:8080"
            [follow.retry]
            initial = "SECRET-no-duration"
            [[sinks]]
            name = "archive"
            type = "files"
        "#,
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    for key in [
        "server.listen",
        "server.lisen",
        "follow.retry.initial",
        "dir",
        "signature.secrets",
    ] {
        assert!(ran.stderr.contains(key), "no {key} in {}", ran.stderr);
    }
}
