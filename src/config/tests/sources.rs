//! Tests of the sources of values, and of their precedence.

use std::path::PathBuf;
use std::time::Duration;

use super::super::load::load;
use super::super::{Env, LoadOptions, SinkTarget};
use super::{SECRET, Setup, loaded_of};
use crate::domain::LinkGroup;

#[test]
fn with_nothing_but_the_signing_secret_the_service_starts() {
    let loaded = Setup::nothing().env([SECRET]).loaded();
    let secrets = &loaded.config.signature.secrets;
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets[0].id, "env");
    assert_eq!(secrets[0].secret.expose(), "hunter2");
    assert_eq!(
        loaded.config.store.url.to_string(),
        "sqlite:data/receiver.db"
    );
    assert_eq!(loaded.file, None);
    let warnings = loaded.warnings.join("\n");
    assert!(warnings.contains("no link is followed;"), "{warnings}");
    assert!(warnings.contains("no sink is configured"), "{warnings}");
}

#[test]
fn flags_beat_variables_which_beat_the_file_which_beats_defaults() {
    let file = "[server]\nmax_connections = 2\n";
    let connections = |setup: Setup| setup.loaded().config.server.max_connections;
    let variable = ("SUKI_RECEIVER__SERVER__MAX_CONNECTIONS", "3");

    assert_eq!(connections(Setup::nothing().env([SECRET])), 10_000);
    assert_eq!(connections(Setup::toml(file).env([SECRET])), 2);
    assert_eq!(connections(Setup::toml(file).env([SECRET, variable])), 3);
    let all = Setup::toml(file).env([SECRET, variable]);
    assert_eq!(connections(all.flag("server.max_connections", "4")), 4);
}

#[test]
fn the_file_is_the_flags_or_the_variables_or_the_first_usual_one() {
    let setup = Setup::nothing();
    let file = |name: &str, connections: u8| {
        setup.file(name, &format!("server.max_connections = {connections}"))
    };
    let (by_flag, by_variable) = (file("flag.toml", 1), file("variable.toml", 2));
    let usual = [setup.folder.path().join("none.toml"), file("usual.toml", 3)];
    let variable = by_variable.display().to_string();
    let connections = |file: Option<&PathBuf>, variable: &str| {
        let options = LoadOptions {
            only_store: false,
            file: file.cloned(),
            env: Env::from_iter([SECRET, ("SUKI_RECEIVER_CONFIG", variable)]),
            overrides: Vec::new(),
        };
        let loaded = load(&options, &usual).expect("a good configuration");
        loaded.config.server.max_connections
    };
    assert_eq!(connections(Some(&by_flag), &variable), 1);
    assert_eq!(connections(None, &variable), 2);
    assert_eq!(connections(None, ""), 3);
}

#[test]
fn variables_set_nested_keys_numbers_lists_and_tables() {
    let config = Setup::nothing()
        .env([
            SECRET,
            ("SUKI_RECEIVER__FOLLOW__RETRY", "{ initial = \"2s\" }"),
            ("SUKI_RECEIVER__FOLLOW__RETRY__MAX", "2m"),
            ("SUKI_RECEIVER__FOLLOW__GROUPS", "contents, status"),
            ("SUKI_RECEIVER__FOLLOW__REQUIRED", "[\"status\"]"),
            ("SUKI_RECEIVER__STORE__QUEUE", "1_000"),
            ("SUKI_RECEIVER__SERVER__MAX_BODY_BYTES", "2MiB"),
            ("SUKI_RECEIVER__SDP__AUTH__PARTNER_ID", "partner"),
            ("SUKI_RECEIVER__SDP__AUTH__PARTNER_TOKEN", "token"),
        ])
        .loaded()
        .config;
    assert_eq!(config.follow.retry.initial, Duration::from_secs(2));
    assert_eq!(config.follow.retry.max, Duration::from_secs(120));
    assert_eq!(
        config.follow.groups,
        ["contents", "status"].map(LinkGroup::new)
    );
    assert_eq!(config.follow.required.ambient, [LinkGroup::new("status")]);
    assert_eq!(
        config.follow.required.form_filling,
        [LinkGroup::new("status")]
    );
    assert_eq!(config.store.queue, 1000);
    assert_eq!(config.server.max_body_bytes, 2 << 20);
    assert_eq!(config.sdp.auth.expect("credentials").partner_id, "partner");
}

#[test]
fn variables_change_a_sink_by_its_name_and_make_one_where_there_is_none() {
    let file = "[[sinks]]\nname = \"EHR\"\ntype = \"http\"\nurl = \"https://old.example\"\n";
    let sinks = Setup::toml(file)
        .env([
            SECRET,
            ("SUKI_RECEIVER__SINKS__EHR__URL", "https://new.example"),
            ("SUKI_RECEIVER__SINKS__MY_ARCHIVE__TYPE", "files"),
            ("SUKI_RECEIVER__SINKS__MY_ARCHIVE__DIR", "out"),
            ("SUKI_RECEIVER__SINKS__MY_ARCHIVE__RETRY__MAX", "1m"),
        ])
        .loaded()
        .config
        .sinks;
    let names: Vec<_> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(names, ["EHR", "my_archive"]);
    let SinkTarget::Http(http) = &sinks[0].target else {
        panic!("{:?}", sinks[0].target);
    };
    assert_eq!(http.url.as_str(), "https://new.example/");
    assert_eq!(sinks[1].retry.max, Duration::from_secs(60));
}

#[test]
fn the_effective_configuration_names_the_source_of_what_is_set() {
    let loaded = Setup::toml("[server]\n\nlisten = \"127.0.0.1:1\"\n")
        .env([SECRET, ("SUKI_RECEIVER__LOG__FORMAT", "json")])
        .flag("log.level", "debug")
        .loaded();
    let file = loaded.file.expect("a file").display().to_string();
    let effective = loaded.effective.to_string();
    for line in [
        format!("listen = \"127.0.0.1:1\" # {file}:3"),
        "path = \"/webhooks/notification\"".to_owned(),
        "format = \"json\" # SUKI_RECEIVER__LOG__FORMAT".to_owned(),
        "level = \"debug\" # flag --set log.level".to_owned(),
        "value = \"[redacted]\" # literal; SUKI_RECEIVER__SIGNATURE__SECRET".to_owned(),
    ] {
        assert!(
            effective.lines().any(|found| found == line),
            "{line}\n{effective}"
        );
    }
    toml::from_str::<toml::Table>(&effective).expect("well-formed TOML");
}

#[test]
fn a_secret_in_a_file_that_others_can_read_is_warned_of() {
    let loaded = loaded_of("[[signature.secrets]]\nid = \"a\"\nvalue = \"hunter3\"\n");
    let warnings = loaded.warnings.join("\n");
    assert!(
        warnings.contains("readable by more than its owner"),
        "{warnings}"
    );
}
