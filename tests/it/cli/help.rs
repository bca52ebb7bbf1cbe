//! What `--help` says of each command, word for word; each shows an example.

use std::collections::BTreeSet;
use std::path::Path;

use super::{command, run};

fn help(args: &[&str]) -> String {
    let ran = run(command(args).env("COLUMNS", "100"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
    ran.stdout
}

/// The commands that a help lists. Their names stand two columns in, and what is said of them further.
fn listed(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let lines = lines.filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command and subcommand by its words, with what its help says: as the binary's own help lists them.
pub(super) fn every_command() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        args.push("--help");
        let help = help(&args);
        open.extend(listed(&help).into_iter().map(|name| {
            let mut words: Vec<String> = words.clone();
            words.push(name);
            words
        }));
        found.push((words, help));
    }
    found
}

/// The snapshot's name.
fn snapshot(words: &[String]) -> String {
    let parts = std::iter::once("help").chain(words.iter().map(String::as_str));
    parts.collect::<Vec<_>>().join("_")
}

#[test]
fn the_help_of_every_command_is_as_recorded() {
    let commands = every_command();
    for (words, help) in &commands {
        insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(snapshot(words), help);
        });
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let files = crate::support::files_below(&folder);
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    let recorded: BTreeSet<String> = names
        .filter_map(|name| name.strip_suffix(".snap"))
        .filter(|name| name.starts_with("help"))
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<String> = commands.iter().map(|(words, _)| snapshot(words)).collect();
    assert_eq!(recorded, there, "a snapshot of a command that is gone");
}

#[test]
fn every_command_shows_an_example_or_the_one_above_it_does() {
    let commands = every_command();
    let has_example = |words: &[String]| {
        let known = commands.iter().find(|(known, _)| known == words);
        known.is_some_and(|(_, help)| help.contains("Example:\n  "))
    };
    let silent: Vec<_> = commands
        .iter()
        // What only leads to others has none of its own.
        .filter(|(_, help)| listed(help).is_empty())
        .filter(|(words, _)| !has_example(words) && !has_example(&words[..words.len() - 1]))
        .map(|(words, _)| words)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    assert!(
        commands.len() > 20,
        "the commands are not found: {commands:?}"
    );
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
