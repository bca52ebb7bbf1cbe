//! SIGHUP: what it takes up, what it names, and that it ends nothing.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{Binary, HttpReceiver, Signed, eventually, failure, http, until};

const OPERATOR: &str = "an-operators-token-of-32-bytes";

async fn reloaded(binary: &Binary, times: usize) {
    binary.signal(Signal::SIGHUP);
    until("it has reloaded", || {
        binary.log().matches("\"reloaded: ").count() >= times
    })
    .await;
}

/// As docs/OPERATIONS.md, "Day to day", says it: the new secret beside the old, a reload, Suki switches, the old one goes,
/// a reload.
#[tokio::test]
async fn a_signing_secret_is_rotated_by_files_and_reloads_without_a_refusal() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::write(dir.join("old"), "the-old-secret-of-suki\n").unwrap();
    let secrets = |names: &[&str]| {
        let items: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    "{{ id = \"{name}\", file = \"{}\" }}",
                    dir.join(name).display()
                )
            })
            .collect();
        std::fs::write(
            dir.join("config/receiver.toml"),
            format!("[signature]\nsecrets = [{}]\n", items.join(", ")),
        )
        .unwrap();
    };
    std::fs::create_dir(dir.join("config")).unwrap();
    secrets(&["old"]);
    let binary = Binary::start(dir, &[]).await;
    let answer = async |session: &str, secret: &str| {
        let signed = Signed::new(failure(session)).with_secret(secret);
        signed.post(&binary.webhook()).await.0
    };
    assert_eq!(answer("a", "the-old-secret-of-suki").await, 200);
    assert_eq!(answer("b", "the-new-secret-of-suki").await, 401);

    std::fs::write(dir.join("new"), "the-new-secret-of-suki\n").unwrap();
    secrets(&["old", "new"]);
    reloaded(&binary, 1).await;
    assert_eq!(answer("c", "the-old-secret-of-suki").await, 200);
    assert_eq!(answer("d", "the-new-secret-of-suki").await, 200);

    secrets(&["new"]);
    reloaded(&binary, 2).await;
    assert_eq!(answer("e", "the-old-secret-of-suki").await, 401);
    assert_eq!(answer("f", "the-new-secret-of-suki").await, 200);
}

#[tokio::test]
async fn the_shipped_unit_names_secrets_by_paths_that_a_reload_reads_again_and_never_gives_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = std::fs::read_to_string(root.join("config/suki-receiver.service")).unwrap();
    let lines: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!lines.iter().any(|line| line.starts_with("LoadCredential")));
    assert!(lines.contains(&"StartLimitIntervalSec=0"));
    let section = |line: &str| lines.iter().position(|found| *found == line).unwrap();
    assert!(section("StartLimitIntervalSec=0") < section("[Service]"));
}

#[tokio::test]
async fn the_last_admin_token_that_is_removed_works_no_more_after_a_reload() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir(dir.join("config")).unwrap();
    let write = |toml: &str| std::fs::write(dir.join("config/receiver.toml"), toml).unwrap();
    write(&format!(
        "admin.tokens = [{{ name = \"ops\", role = \"operator\", value = \"{OPERATOR}\" }}]"
    ));
    let binary = Binary::start(dir, &[]).await;
    let status = async |token: &str| {
        let url = format!("http://{}/api/v1/stats", binary.admin);
        let answer = http().get(url).bearer_auth(token).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(status(OPERATOR).await, 200);
    write("");
    reloaded(&binary, 1).await;
    assert_eq!(status(OPERATOR).await, 401);
    let made = std::fs::read_to_string(dir.join("data/admin-token")).unwrap();
    assert_eq!(status(made.trim()).await, 200);
}

#[tokio::test]
async fn a_sinks_secret_and_headers_are_taken_up_and_what_is_not_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sink = HttpReceiver::start().await;
    std::fs::create_dir(dir.join("config")).unwrap();
    let write = |secret: &str, more: &str| {
        let toml = format!(
            "{more}\n[[sinks]]\nname = \"ehr\"\ntype = \"http\"\nurl = \"{}\"\nsecret = \"{secret}\"\nheaders = {{ \"X-Key\" = \"{secret}\" }}\n",
            sink.url()
        );
        std::fs::write(dir.join("config/receiver.toml"), toml).unwrap();
    };
    write("first-secret-of-the-sink", "");
    let binary = Binary::start(dir, &[]).await;
    Signed::new(failure("a")).post(&binary.webhook()).await;
    until("the first is there", || sink.received().len() == 1).await;

    write(
        "second-secret-of-the-sink",
        "signature.tolerance = \"7m\"\n",
    );
    reloaded(&binary, 1).await;
    Signed::new(failure("b")).post(&binary.webhook()).await;
    until("the second is there", || sink.received().len() == 2).await;
    let received = sink.received();
    let secrets = ["first-secret-of-the-sink", "second-secret-of-the-sink"];
    for (delivery, secret) in received.iter().zip(secrets) {
        assert_eq!(delivery.headers["x-key"], secret);
        let text = |name: &str| delivery.headers[name].to_str().unwrap().to_owned();
        let keys = suki_receiver::sinks::SigningKeys::new(&[suki_receiver::config::NamedSecret {
            id: "s".to_owned(),
            secret: suki_receiver::config::Secret::literal(secret),
        }])
        .unwrap();
        let at = text("webhook-timestamp").parse().unwrap();
        let expected = keys.sign(&text("webhook-id"), at, &delivery.body).unwrap();
        assert_eq!(text("webhook-signature"), expected);
    }
    let log = binary.logs("\"keys\":\"signature.tolerance\"").await;
    assert!(log.contains("need a restart"), "{log}");
    assert!(!log.contains("secret-of-the-sink"), "{log}");
}

#[tokio::test]
async fn a_hangup_while_it_starts_does_not_end_it_and_is_heeded_afterwards() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::write(dir.join("secret"), "wrong-secret-of-suki\n").unwrap();
    // The command says that it runs, and is slow from then on.
    let command = format!(
        "[\"sh\", \"-c\", \"cat {0}; touch {1}; while [ ! -e {2} ]; do sleep 0.01; done\"]",
        dir.join("secret").display(),
        dir.join("started").display(),
        dir.join("go-on").display()
    );
    std::fs::create_dir(dir.join("config")).unwrap();
    std::fs::write(
        dir.join("config/receiver.toml"),
        format!("signature.secrets = [{{ id = \"slow\", command = {command} }}]"),
    )
    .unwrap();
    let binary = Binary::spawn(dir, &[]);
    until("the secret was read", || dir.join("started").exists()).await;
    std::fs::write(dir.join("secret"), "right-secret-of-suki\n").unwrap();
    binary.signal(Signal::SIGHUP);
    std::fs::write(dir.join("go-on"), "").unwrap();
    eventually("it knows the new secret", || async {
        let signed = Signed::new(failure("a")).with_secret("right-secret-of-suki");
        let answer = signed.try_post(&http(), &binary.webhook()).await;
        answer.is_ok_and(|(status, _)| status == 200)
    })
    .await;
}

#[tokio::test]
async fn a_command_that_takes_its_time_at_a_reload_does_not_delay_the_stop() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (hold, begun) = (dir.join("hold"), dir.join("begun"));
    let script = format!(
        "echo the-secret-of-suki; while test -e {}; do touch {}; sleep 0.05; done",
        hold.display(),
        begun.display()
    );
    std::fs::create_dir(dir.join("config")).unwrap();
    std::fs::write(
        dir.join("config/receiver.toml"),
        format!(
            "[signature]\nsecrets = [{{ id = \"a\", command = [\"sh\", \"-c\", \"{script}\"] }}]\n"
        ),
    )
    .unwrap();
    let binary = Binary::start(dir, &[]).await;
    std::fs::write(&hold, "").unwrap();
    binary.signal(Signal::SIGHUP);
    until("the command runs", || begun.exists()).await;
    binary.signal(Signal::SIGTERM);
    until("it stops", || binary.log().contains("stopping; ")).await;
    let log = binary.log();
    assert!(!log.contains("reloaded"), "the command had ended: {log}");
    std::fs::remove_file(hold).unwrap();
}
