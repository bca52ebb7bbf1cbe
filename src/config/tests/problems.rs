//! Tests that all problems are reported at once, each with its key, its source, and what is allowed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::super::Env;
use super::{SECRET, Setup, problems_of};

#[test]
fn all_errors_are_named_at_once_with_their_sources() {
    let file = "\
[server]
listen = \"nowhere\"
max_connections = 0
[follow]
best_effort_for = 5
";
    let problems = Setup::toml(file)
        .env([("SUKI_RECEIVER__STORE__QUEUE", "many")])
        .flag("log.format", "yaml")
        .problems();
    let expected = "\
server.listen (receiver.toml:2): invalid address with port 'nowhere'; expected one such as 0.0.0.0:8080 or [::1]:8080
server.max_connections (receiver.toml:3): 0 is out of range; use 1 to 1000000
signature.secrets (not set): is missing; give the secret that Suki signs with, as secrets = [{ id = \"…\", file = \"…\" }] or in SUKI_RECEIVER__SIGNATURE__SECRET
store.queue (SUKI_RECEIVER__STORE__QUEUE): invalid whole number 'many'
follow.best_effort_for (receiver.toml:5): expected a string, found an integer; use a duration with its unit, such as \"5s\"
log.format (flag --set log.format): 'yaml' is not allowed; use auto or json or text";
    assert_eq!(problems, expected);
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_known_one_suggested() {
    let file = "[server]\nlistn = \"0.0.0.0:1\"\n[sever]\n[store]\nzzz = 1\n";
    let problems = Setup::toml(file)
        .env([
            SECRET,
            ("SUKI_RECEIVER__FOLLOW__RETRY__MAXX", "1s"),
            ("SUKI_RECEIVER__SIGNATURE__SECRETT", "hunter2"),
        ])
        .flag("signature.secret", "hunter2")
        .problems();
    let expected = "\
server.listn (receiver.toml:2): unknown key; did you mean 'listen'?
signature.secret (flag --set signature.secret): unknown key; did you mean 'secrets'?
signature.secrett (SUKI_RECEIVER__SIGNATURE__SECRETT): unknown key; did you mean 'secrets'?
store.zzz (receiver.toml:5): unknown key; known here: url, password, ca_file, pool_size, spool_dir, deadline, queue
follow.retry.maxx (SUKI_RECEIVER__FOLLOW__RETRY__MAXX): unknown key; did you mean 'max'?
sever (receiver.toml:3): unknown key; did you mean 'server'?";
    let problems: Vec<_> = problems.lines().collect();
    let expected: Vec<_> = expected.lines().collect();
    for line in expected {
        assert!(problems.contains(&line), "{line}\n{problems:#?}");
    }
}

#[test]
fn a_syntax_error_gives_line_and_column_and_not_the_text() {
    let problems = problems_of("[server]\npath = /hunter2\n");
    assert!(
        problems.starts_with("TOML syntax (receiver.toml:2): column 8: "),
        "{problems}"
    );
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_list_of_no_secrets_is_as_good_as_none() {
    let problems = Setup::toml("signature.secrets = []").problems();
    assert!(
        problems.starts_with("signature.secrets (receiver.toml:1): is missing"),
        "{problems}"
    );
}

#[test]
fn each_problem_is_one_line_whatever_the_value_holds() {
    let problems = problems_of("log.level = \"a\\nb\"");
    assert_eq!(problems.lines().count(), 1, "{problems}");
}

#[test]
fn a_file_that_was_named_and_is_missing_is_an_error() {
    let mut setup = Setup::nothing();
    setup.options.file = Some(PathBuf::from("/no/such/receiver.toml"));
    let problems = setup.problems();
    assert!(
        problems.contains("cannot read /no/such/receiver.toml"),
        "{problems}"
    );
}

#[test]
fn a_variable_that_cannot_be_used_is_an_error() {
    let mut setup = Setup::nothing().env([
        SECRET,
        ("SUKI_RECEIVER__SERVER", "x"),
        ("SUKI_RECEIVER__LOG__LEVEL__DEEP", "x"),
        ("SUKI_RECEIVER__LOG__LEVEL", "info"),
        ("SUKI_RECEIVER__SINKS__EHR", "x"),
    ]);
    let problems = setup.problems();
    for part in [
        "server (SUKI_RECEIVER__SERVER): expected a table, found a string",
        "log.level.deep (SUKI_RECEIVER__LOG__LEVEL__DEEP): 'level' is not a table",
        "sinks (SUKI_RECEIVER__SINKS__EHR): names no key of a sink; a sink's key is set by SUKI_RECEIVER__SINKS__NAME__KEY",
    ] {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
    let bytes = OsString::from_vec(vec![0xff]);
    setup.options.env = Env::from_iter([("SUKI_RECEIVER__SIGNATURE__SECRET", bytes)]);
    let problems = setup.problems();
    assert!(problems.contains("is not valid Unicode"), "{problems}");
}
