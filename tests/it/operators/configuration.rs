//! What `check` says is what `serve` does, and commands need no more of the configuration than they use.

use std::path::Path;

use super::{run, run_with};
use crate::support::Binary;

fn certificate(dir: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(dir.join("cert.pem"), &cert).unwrap();
    std::fs::write(dir.join("key.pem"), &key).unwrap();
    (cert, key)
}

#[test]
fn check_and_serve_refuse_the_same_configurations_with_exit_code_2() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (cert, key) = certificate(dir);
    let write = |name: &str, content: &[u8]| std::fs::write(dir.join(name), content).unwrap();
    write("bom.pem", format!("\u{feff}{cert}").as_bytes());
    write("bom-key.pem", format!("\u{feff}{key}").as_bytes());
    write(
        "encrypted.pem",
        key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
            .as_bytes(),
    );
    write("text.pem", b"no PEM");
    write("cut.pem", &cert.as_bytes()[..cert.len() / 2]);
    write(
        "strange-key.pem",
        b"-----BEGIN EC PRIVATE KEY-----\nMAMCAQE=\n-----END EC PRIVATE KEY-----\n",
    );
    let other = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    write(
        "twice.pem",
        format!("{}{cert}", other.cert.pem()).as_bytes(),
    );
    // As what another user has made: not even root can open a folder as a file.
    for strange in ["lock.db.lock", "admin-token"] {
        std::fs::create_dir_all(dir.join("strange").join(strange)).unwrap();
    }
    write("no-folder", b"a file");
    let tls = |section: &str, cert: &str, key: &str| {
        format!("[{section}]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n")
    };
    let http = "[[sinks]]\nname = \"ehr\"\ntype = \"http\"\nurl = \"https://ehr.example/\"\n";
    for (toml, key, word) in [
        (
            tls("server.tls", "none.pem", "key.pem"),
            "server.tls.cert_file",
            "cannot be read",
        ),
        (
            tls("server.tls", "cert.pem", "none.pem"),
            "server.tls.key_file",
            "cannot be read",
        ),
        (
            tls("server.tls", "bom.pem", "key.pem"),
            "server.tls.cert_file",
            "byte order mark",
        ),
        (
            tls("server.tls", "cert.pem", "bom-key.pem"),
            "server.tls.key_file",
            "byte order mark",
        ),
        (
            tls("server.tls", "cert.pem", "encrypted.pem"),
            "server.tls.key_file",
            "is encrypted",
        ),
        (
            tls("server.tls", "key.pem", "cert.pem"),
            "server.tls.cert_file",
            "swapped",
        ),
        (
            tls("admin.tls", "text.pem", "key.pem"),
            "admin.tls.cert_file",
            "holds no PEM",
        ),
        (
            tls("admin.tls", "cut.pem", "key.pem"),
            "admin.tls.cert_file",
            "no END line",
        ),
        (
            tls("server.tls", "cert.pem", "strange-key.pem"),
            "server.tls.key_file",
            "damaged or of a kind that cannot be used",
        ),
        (
            tls("server.tls", "twice.pem", "key.pem"),
            "server.tls.key_file",
            "must be the leaf",
        ),
        (
            format!("{http}ca_file = \"bom.pem\""),
            "sinks.ehr.ca_file",
            "byte order mark",
        ),
        (
            "store.url = \"sqlite:/dev/null\"".to_owned(),
            "store.url",
            "not a regular file",
        ),
        (
            "store.url = \"sqlite:strange/lock.db\"".to_owned(),
            "store.url",
            "lock.db.lock cannot be written",
        ),
        (
            "store.url = \"sqlite:strange/receiver.db\"".to_owned(),
            "admin.tokens",
            "admin-token cannot be read",
        ),
        (
            "store.url = \"sqlite:no-folder/receiver.db\"".to_owned(),
            "store.url",
            "is not a folder",
        ),
        (
            "store.url = \"sqlite:/proc/nowhere/receiver.db\"".to_owned(),
            "store.url",
            "cannot be written",
        ),
        (
            "store = { url = \"postgres://u@localhost/d\", ca_file = \"none.pem\" }".to_owned(),
            "store.ca_file",
            "none.pem",
        ),
        (
            "[[sinks]]\nname = \"a\"\ntype = \"files\"\ndir = \"no-folder/out\"".to_owned(),
            "sinks.a.dir",
            "is not a folder",
        ),
        (
            format!("{http}ca_file = \"none.pem\""),
            "sinks.ehr.ca_file",
            "none.pem",
        ),
        (
            format!("{http}secret = \"whsec_no base64\""),
            "sinks.ehr.secret",
            "not base64",
        ),
        (
            format!("{http}secret = \"v1,whsec_AAAA\""),
            "sinks.ehr.secret",
            "with nothing before it",
        ),
        (
            format!("{http}secret = \"WHSEC_AAAA\""),
            "sinks.ehr.secret",
            "in lower case",
        ),
        (
            format!("{http}secret = \"whsec_\""),
            "sinks.ehr.secret",
            "nothing after",
        ),
        (
            format!("{http}secret = \"whsec_AAA\""),
            "sinks.ehr.secret",
            "= at its end",
        ),
    ] {
        write("receiver.toml", toml.as_bytes());
        for command in ["check", "serve"] {
            let more = [("SUKI_RECEIVER__SIGNATURE__SECRET", "a-secret-of-suki")];
            let args = [command, "--config", "receiver.toml"];
            // The helper's own address must not win.
            let url = toml
                .split('"')
                .find(|part| part.contains(":/") || part.starts_with("sqlite:"));
            let url = url.filter(|_| toml.starts_with("store"));
            let url = url.map(|url| ("SUKI_RECEIVER__STORE__URL", url));
            let more: Vec<_> = more.into_iter().chain(url).collect();
            let ran = run_with(dir, &args, &more);
            assert_eq!(ran.code, 2, "{command} {toml}: {}", ran.err);
            assert!(ran.err.contains(key), "{command} {toml}: {}", ran.err);
            assert!(ran.err.contains(word), "{command} {toml}: {}", ran.err);
        }
    }
    assert!(!dir.join("data").exists(), "a check makes nothing");
    write(
        "receiver.toml",
        tls("server.tls", "cert.pem", "key.pem").as_bytes(),
    );
    let more = [("SUKI_RECEIVER__SIGNATURE__SECRET", "a-secret-of-suki")];
    let well = run_with(dir, &["check", "--config", "receiver.toml"], &more);
    assert_eq!(well.code, 0, "{}", well.err);
    assert_eq!(well.err.lines().last(), Some("ok"));
}

#[tokio::test]
async fn commands_that_read_need_no_secret_and_the_health_check_finds_the_address() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let binary = Binary::start(dir, &[]).await;
    let toml = format!(
        "server.listen = \"{}\"\nadmin.tokens = [{{ name = \"a\", role = \"viewer\", file = \"/no/such/file\" }}]\n",
        binary.public
    );
    std::fs::create_dir(dir.join("config")).unwrap();
    std::fs::write(dir.join("config/receiver.toml"), toml).unwrap();
    for args in [
        &["events", "list"][..],
        &["events", "export"],
        &["store", "check"],
        &["store", "backup", "copy.db"],
        &["sinks", "list"],
        &["healthcheck"],
    ] {
        let ran = run(dir, args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    }
    assert!(run(dir, &["healthcheck"]).out.starts_with("200 "));
    let elsewhere = run_with(
        dir,
        &["events", "list"],
        &[("SUKI_RECEIVER__STORE__URL", "sqlite:nowhere.db")],
    );
    assert_eq!(elsewhere.code, 1);
    for part in ["nowhere.db", "config/receiver.toml"] {
        assert!(elsewhere.err.contains(part), "{part}: {}", elsewhere.err);
    }
}

#[test]
fn an_error_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run_with(
        dir,
        &["serve"],
        &[
            ("SUKI_RECEIVER__SIGNATURE__SECRET", "a-secret-of-suki"),
            ("SUKI_RECEIVER__SERVER__LISTEN", &address),
            ("SUKI_RECEIVER__ADMIN__LISTEN", "127.0.0.1:0"),
        ],
    );
    assert_eq!(ran.code, 1);
    for line in ran.err.lines().filter(|line| line.contains("os error 98")) {
        assert_eq!(line.matches("os error 98").count(), 1, "{line}");
    }
    assert!(ran.err.lines().last().unwrap().contains("os error 98"));
}

/// A certificate for this machine that ends in so many days, from an authority that nobody knows: leaf, intermediate, key.
fn issued(days: i64) -> (String, String, String) {
    let now = std::time::SystemTime::now();
    let key = || rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Some intermediate");
    let (authority_key, leaf_key) = (key(), key());
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let end = now + std::time::Duration::from_secs(u64::try_from(days).unwrap() * 86_400 + 3600);
    leaf.not_after = end.into();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    (leaf.pem(), authority_cert.pem(), leaf_key.serialize_pem())
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_in_metrics_readiness_and_log_and_one_without_intermediate_is_named()
 {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (leaf, intermediate, key) = issued(10);
    let write = |name: &str, content: &str| std::fs::write(dir.join(name), content).unwrap();
    write("leaf.pem", &leaf);
    write("chain.pem", &format!("{leaf}{intermediate}"));
    write("key.pem", &key);
    let more = |cert: &str| {
        [
            (
                "ADMIN__TLS__CERT_FILE",
                dir.join(cert).display().to_string(),
            ),
            (
                "ADMIN__TLS__KEY_FILE",
                dir.join("key.pem").display().to_string(),
            ),
        ]
    };
    let binary = Binary::start(dir, &more("leaf.pem")).await;
    let log = binary.logs("the leaf without its intermediate").await;
    assert!(log.contains("Some intermediate"), "{log}");
    binary
        .logs("the certificate of the admin listener ends at")
        .await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let get = async |path: &str| {
        let url = format!("https://{}{path}", binary.admin);
        client.get(url).send().await.unwrap().text().await.unwrap()
    };
    let metrics = get("/metrics").await;
    let line = "suki_receiver_certificate_not_after_timestamp_seconds{listener=\"admin\"} ";
    assert!(metrics.contains(line), "{metrics}");
    let ready = get("/readyz").await;
    assert!(ready.contains("in 10 days"), "{ready}");
    binary.kill();
    std::fs::remove_file(dir.join("log")).unwrap();
    let binary = Binary::start(dir, &more("chain.pem")).await;
    binary
        .logs("the certificate of the admin listener ends at")
        .await;
    assert!(!binary.log().contains("without its intermediate"));
}
