//! `config/receiver.toml` is the manual: it has every key, and its active values are the defaults.

use super::super::Source;
use super::super::reader::dump::Effective;
use super::{SECRET, Setup};

const REFERENCE: &str = include_str!("../../../config/receiver.toml");

/// The secret files that the examples name.
const SECRET_FILES: &str = "/run/secrets/";

/// The reference with its examples active: the lines whose `#` is not followed by a space.
fn with_examples() -> String {
    REFERENCE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The configuration of a text whose secret files are there.
fn effective_of(text: &str) -> Effective {
    effective_with(text, &[SECRET])
}

fn effective_with(text: &str, variables: &[(&str, &str)]) -> Effective {
    let setup = Setup::nothing();
    let folder = format!("{}/", setup.folder.path().display());
    for rest in text.split(SECRET_FILES).skip(1) {
        let name = rest.split(['"', '\n']).next().expect("a file's name");
        setup.file(name, "hunter2-hunter2-hunter2\n");
    }
    let file = setup.file("receiver.toml", &text.replace(SECRET_FILES, &folder));
    let mut setup = setup.env(variables.iter().copied());
    setup.options.file = Some(file);
    setup.loaded().effective
}

fn values(effective: &Effective) -> Vec<(&str, &str)> {
    let entries = effective.entries();
    entries
        .map(|entry| (entry.path.as_str(), entry.value.as_str()))
        .collect()
}

#[test]
fn the_reference_as_it_is_equals_the_typed_defaults() {
    let defaults = Setup::nothing().env([SECRET]).loaded().effective;
    assert_eq!(values(&effective_of(REFERENCE)), values(&defaults));
}

#[test]
fn the_reference_holds_every_key() {
    let effective = effective_of(&with_examples());
    let missing: Vec<_> = effective
        .entries()
        .filter(|entry| entry.source == Source::Default)
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(missing, [] as [&str; 0]);
    let keys = effective.entries().count();
    assert!(keys > 70, "only {keys} keys were read");
}

#[test]
fn the_effective_configuration_loads_as_what_it_is_once_its_secrets_are_filled_in() {
    let effective = effective_of(&with_examples());
    let filled_in = effective
        .to_string()
        .replace("\"[redacted]\"", "\"hunter2-hunter2-hunter2\"");
    // It has the secret of the variable, too.
    let again = effective_with(&filled_in, &[]);
    assert_eq!(values(&again), values(&effective));
}

#[test]
fn every_default_is_active_in_the_reference() {
    let effective = effective_of(REFERENCE);
    let missing: Vec<_> = effective
        .entries()
        .filter(|entry| entry.source == Source::Default)
        .map(|entry| entry.path.as_str())
        .collect();
    // Empty by default, and of no use unless both of a pair are set.
    let pairs = [
        "server.tls.cert_file",
        "server.tls.key_file",
        "admin.tls.cert_file",
        "admin.tls.key_file",
        "sdp.auth.partner_id",
    ];
    assert_eq!(missing, pairs);
}

/// The example of the documentation, with addresses and files put in.
#[test]
fn a_whole_configuration_loads() {
    let effective = effective_of(
        r#"
[server]
listen = "0.0.0.0:8080"
path = "/webhooks/notification"
max_body_bytes = 1048576
drain_delay = "5s"
drain_timeout = "25s"
[server.tls]
cert_file = ""
key_file = ""
[admin]
listen = "127.0.0.1:9464"
tokens = [{ name = "ops", role = "operator", file = "/run/secrets/ops" }]
[signature]
secrets = [{ id = "2026-a", file = "/run/secrets/suki-hmac" }]
tolerance = "5m"
on_stale = "keep"
[store]
url = "sqlite:data/receiver.db"
spool_dir = "data/spool"
[sdp]
base_url = "https://sdp.suki.ai"
timeout = "30s"
max_concurrency = 16
max_body_bytes = 33554432
[sdp.auth]
mode = "standard"
partner_id = "partner"
partner_token = { file = "/run/secrets/partner-token" }
provider_id = ""
[follow]
groups = ["contents", "encounter_content", "structured_data", "encounter_structured_data", "status", "transcripts"]
required = ["contents"]
best_effort_for = "10m"
allowed_hosts = []
[follow.retry]
initial = "1s"
max = "5m"
give_up_after = "72h"
[[sinks]]
name = "archive"
type = "files"
dir = "data/out"
[[sinks]]
name = "ehr"
type = "http"
url = "https://ehr.example"
secret = { file = "/run/secrets/ehr" }
events = ["completed", "failed"]
include = ["notification", "resources"]
[retention]
content = "30d"
receipts = "400d"
[log]
format = "auto"
level = "info"
"#,
    );
    let text = effective.to_string();
    assert!(
        text.contains("events = [\"completed\", \"failed\"] # "),
        "{text}"
    );
}
