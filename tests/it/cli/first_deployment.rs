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

/// The calls of the binary in its shell blocks, without what is piped on and without comments.
fn calls(text: &str) -> Vec<String> {
    let blocks = blocks(text, "sh").concat().replace("\\\n", " ");
    let lines = blocks.lines().map(|line| line.split(" #").next().unwrap());
    let parts = lines.flat_map(|line| line.split(['|', '&', ';', '>']));
    parts
        .filter_map(|part| part.split_once("suki-receiver "))
        // A path that ends in the name, or the name as an argument, is no call.
        .filter(|(before, _)| {
            before.is_empty() || before.ends_with([' ', '/']) && !before.contains("docker build")
        })
        .map(|(_, words)| words.trim().to_owned())
        .collect()
}

#[test]
fn every_configuration_of_the_first_deployment_is_one_that_the_service_starts_with() {
    let temp = tempfile::tempdir().unwrap();
    let here = temp.path().display().to_string();
    for secret in ["suki-hmac", "partner-token", "sink-secret"] {
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
        let words: Vec<&str> = call.split_whitespace().collect();
        let known = (1..=words.len()).rev().find_map(|count| {
            let called = &words[..count];
            commands.iter().find(|(command, _)| command == called)
        });
        let (_, help) = known.unwrap_or_else(|| panic!("no such command: {call}"));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let said = help.split_whitespace().any(|word| word == *flag);
            assert!(said, "no {flag} in: {call}");
        }
    }
}
