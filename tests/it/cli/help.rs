//! What `--help` says of each command, word for word; each shows an example.

use super::{command, run};

const COMMANDS: [&str; 8] = [
    "serve",
    "demo",
    "check",
    "sign",
    "verify",
    "send",
    "simulate",
    "healthcheck",
];

fn help(args: &[&str]) -> String {
    let ran = run(command(args).env("COLUMNS", "100"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
    ran.stdout
}

#[test]
fn the_help_names_every_command() {
    let help = help(&["--help"]);
    for name in COMMANDS {
        assert!(help.contains(&format!("\n  {name} ")), "{name} is missing");
    }
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("help", help);
    });
}

#[test]
fn the_help_of_every_command_is_as_recorded_and_has_an_example() {
    for name in COMMANDS {
        let help = help(&[name, "--help"]);
        assert!(help.contains("Example:\n  "), "{name} has no example");
        insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("help_{name}"), help);
        });
    }
}

#[test]
fn a_wrong_argument_is_a_usage_error_and_its_answer_goes_to_stderr() {
    for args in [
        &["send"][..],
        &["demo", "--events", "0"],
        &["simulate", "--faults", "content=what"],
        &["simulate", "--token-lifetime", "soon"],
        &[
            "send",
            "--url",
            "http://x",
            "--secret-file",
            "s",
            "--rate",
            "-1",
        ],
        &[
            "send",
            "--url",
            "http://x",
            "--secret-file",
            "s",
            "--mix",
            "duplicate",
        ],
        &["no-such-command"],
    ] {
        let ran = run(&mut command(args));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ran.stderr.is_empty());
    }
}
