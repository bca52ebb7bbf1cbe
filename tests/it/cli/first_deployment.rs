//! docs/FIRST-DEPLOYMENT.md: what it has a reader write and type is what the service takes.

use std::path::Path;

use super::help::every_command;
use super::{command, run};

fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("docs/FIRST-DEPLOYMENT.md")).unwrap()
}

/// The document's blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    let rest = text.split(&begin).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The calls of the binary in its shell blocks and between its words, without comments and what is piped on.
fn calls(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("<id>", "ID");
    let blocks = blocks(&text, "sh").concat();
    let lines = blocks.lines().map(|line| line.split(" #").next().unwrap());
    let between = text
        .split('`')
        .filter(|code| code.starts_with("suki-receiver "));
    let parts = lines.chain(between);
    let parts = parts.flat_map(|part| part.split(['|', '&', ';', '>']));
    parts
        .filter_map(|part| call(&part.split_whitespace().collect::<Vec<_>>()))
        .collect()
}

/// What follows the binary's name in a command. The name is also that of a user, of a unit and of a file to install:
/// there it stands behind a flag, or nothing or a path follows.
fn call(words: &[&str]) -> Option<Vec<String>> {
    let at = (0..words.len()).find(|&at| {
        let is_value = at > 0 && words[at - 1].starts_with('-');
        words[at] == "suki-receiver" && !is_value
    })?;
    let rest = &words[at + 1..];
    let is_call = rest.first().is_some_and(|next| !next.contains('/'));
    is_call.then(|| rest.iter().map(|&word| word.to_owned()).collect())
}

#[test]
fn every_configuration_of_the_first_deployment_is_one_that_the_service_starts_with() {
    let temp = tempfile::tempdir().unwrap();
    let here = temp.path().display().to_string();
    for secret in ["suki-hmac", "partner-token", "sink-secret", "ehr"] {
        std::fs::write(temp.path().join(secret), "a secret for trying out").unwrap();
    }
    let text = document();
    let blocks = blocks(&text, "toml");
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in blocks {
        let toml = block
            .replace("/etc/suki-receiver/credentials", &here)
            .replace("/var/lib/suki-receiver", &here);
        let file = temp.path().join("receiver.toml");
        std::fs::write(&file, toml).unwrap();
        let mut check = command(&["check", "--config", file.to_str().unwrap()]);
        let ran = run(check.current_dir(temp.path()));
        assert_eq!(ran.code, 0, "{block}\n{}", ran.stderr);
        assert!(!ran.stderr.contains("warning"), "{block}\n{}", ran.stderr);
    }
}

#[test]
fn every_command_and_flag_of_the_first_deployment_is_real() {
    let (text, commands) = (document(), every_command());
    let calls = calls(&text);
    assert!(calls.len() >= 8, "{calls:?}");
    for call in calls {
        let known = (0..=call.len()).rev().find_map(|count| {
            let called = &call[..count];
            commands.iter().find(|(command, _)| command == called)
        });
        let (command, help) = known.unwrap();
        let next = call.get(command.len());
        let is_whole =
            !help.contains("\nCommands:\n") || next.is_some_and(|next| next.starts_with('-'));
        assert!(is_whole, "no such command: {call:?}");
        for flag in call.iter().filter(|word| word.starts_with("--")) {
            let is_there = help.split_whitespace().any(|word| word == flag);
            assert!(is_there, "no {flag}: {call:?}");
        }
    }
}
