//! `sign` and `verify`, which check each other, and the documented example, which checks both.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ran, command, run};

/// A secret and a body in files.
fn files(dir: &Path) -> (String, String) {
    let (secret, body) = (dir.join("secret"), dir.join("body.json"));
    std::fs::write(&secret, "a secret\n").unwrap();
    std::fs::write(&body, r#"{"session_id":"s"}"#).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    (text(&secret), text(&body))
}

fn run_with_input(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The two headers' values.
fn headers(ran: &Ran) -> (String, String) {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let value = |name: &str| {
        let line = ran.stdout.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    (value("X-API-Key: "), value("generated-at: "))
}

#[test]
fn what_sign_prints_verify_takes_from_a_file_and_from_stdin() {
    let temp = tempfile::tempdir().unwrap();
    let (secret, body) = files(temp.path());
    let (signature, at) = headers(&run(&mut command(&[
        "sign",
        "--secret-file",
        &secret,
        &body,
    ])));
    let verify = [
        "verify",
        "--secret-file",
        &secret,
        "--generated-at",
        &at,
        "--signature",
        &signature,
    ];
    let from_file = run(&mut command(&[&verify[..], &[&body]].concat()));
    assert_eq!(from_file.code, 0, "{}", from_file.stdout);
    for args in [verify.to_vec(), [&verify[..], &["-"]].concat()] {
        let same = run_with_input(&mut command(&args), r#"{"session_id":"s"}"#);
        assert_eq!(same.code, 0, "{}", same.stdout);
        let other = run_with_input(&mut command(&args), r#"{"session_id":"t"}"#);
        assert_eq!(other.code, 1);
        assert!(other.stdout.contains("does not hold"), "{}", other.stdout);
    }
}

#[test]
fn sign_signs_the_given_time_and_stdin() {
    let temp = tempfile::tempdir().unwrap();
    let (secret, body) = files(temp.path());
    let sign = [
        "sign",
        "--secret-file",
        &secret,
        "--generated-at",
        "1765977748432",
    ];
    let of_file = headers(&run(&mut command(&[&sign[..], &[&body]].concat())));
    let of_stdin = headers(&run_with_input(
        &mut command(&sign),
        r#"{"session_id":"s"}"#,
    ));
    assert_eq!(of_file, of_stdin);
    assert_eq!(of_file.1, "1765977748432");
    // printf '1765977748432:{"session_id":"s"}' | openssl dgst -sha256 -hmac 'a secret'
    assert_eq!(
        of_file.0,
        "73da66ec779120aa140786621945a1db0a1f0ecd3454c56fd1b6f0a5f022330d"
    );
}

#[test]
fn a_file_that_cannot_be_read_exits_1_and_a_missing_argument_2() {
    let temp = tempfile::tempdir().unwrap();
    let (_, body) = files(temp.path());
    let missing = run(&mut command(&[
        "sign",
        "--secret-file",
        "/no/such/file",
        &body,
    ]));
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("/no/such/file"),
        "{}",
        missing.stderr
    );
    assert_eq!(run(&mut command(&["sign", &body])).code, 2);
    assert_eq!(run(&mut command(&["verify", &body])).code, 2);
}
