//! `check`: shows what is in force without a secret, and everything that is wrong at once.

use std::path::Path;

use super::{Ran, command, run, run_aside};
use crate::support::{HttpReceiver, TlsFront, Vendor};

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

#[tokio::test]
async fn online_it_tells_what_is_wrong_with_each_connection_with_the_host_and_without_the_path() {
    let temp = tempfile::tempdir().unwrap();
    let endpoint = HttpReceiver::start().await;
    let front = TlsFront::start(endpoint.address, &["ehr.hospital.test"]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (refused, plain) = (closed.local_addr().unwrap(), endpoint.address);
    drop(closed);
    let tls = front.address;
    let toml = format!(
        r#"
            signature.secrets = [{{ id = "a", value = "secret" }}]
            net.proxy = "none"
            sdp.base_url = "http://{refused}"
            sdp.auth = {{ partner_id = "p", partner_token = "t" }}
            [[sinks]]
            name = "unknown-authority"
            type = "http"
            url = "https://{tls}/PHI-path"
            [[sinks]]
            name = "plain-port"
            type = "http"
            url = "https://{plain}/PHI-path"
            [[sinks]]
            name = "no-proxy"
            type = "http"
            url = "https://ehr.hospital.test/PHI-path"
            proxy = "http://{refused}"
        "#
    );
    let file = temp.path().join("receiver.toml");
    std::fs::write(&file, toml).unwrap();
    let mut command = command(&["check", "--online", "--config", file.to_str().unwrap()]);
    command.current_dir(temp.path());
    let ran = run_aside(command).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for part in [
        format!("login failed: connection refused ({refused})"),
        format!("or complete the chain at the server ({tls})"),
        format!("the port does not speak TLS; is it a plain HTTP port? ({plain})"),
        "the proxy cannot be reached (ehr.hospital.test)".to_owned(),
    ] {
        assert!(said.contains(&part), "no '{part}' in {said}");
    }
    let results = said.split("cannot reach the sink").skip(1);
    assert!(
        results.clone().all(|result| !result.contains("PHI")),
        "{said}"
    );
}

#[tokio::test]
async fn online_each_identity_logs_in_but_one_that_takes_a_providers_name() {
    let temp = tempfile::tempdir().unwrap();
    let vendor = Vendor::start().await;
    let toml = format!(
        r#"
            signature.secrets = [{{ id = "a", value = "secret" }}]
            net.proxy = "none"
            [sdp]
            base_url = "http://{}"
            [sdp.auth]
            partner_id = "p"
            partner_token = "SECRET-default"
            [[sdp.identities]]
            name = "north"
            partner_token = {{ signing_key = "SECRET-no-key", issuer = "i", audience = "a", subject = "s" }}
            [[sdp.identities]]
            name = "clinicians"
            match = ["*"]
            partner_token = {{ command = ["false", "{{provider}}"] }}
        "#,
        vendor.address
    );
    let file = temp.path().join("receiver.toml");
    std::fs::write(&file, toml).unwrap();
    let mut command = command(&["check", "--online", "--config", file.to_str().unwrap()]);
    command.current_dir(temp.path());
    let ran = run_aside(command).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let at = format!("SDP login at http://{}/", vendor.address);
    for part in [
        format!("ok: {at} as default\n"),
        format!("failed: {at} as north: sdp.identities.north signing_key is no RSA private key"),
        format!("ok: {at} as clinicians not tried: it needs a provider's name\n"),
    ] {
        assert!(ran.stderr.contains(&part), "no '{part}' in {}", ran.stderr);
    }
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("SECRET"));
    assert_eq!(vendor.sdp.logins(), 1);
}
