//! What a package installs beside the binary: completions and manual pages.

use std::collections::BTreeSet;
use std::path::Path;

use super::help::every_command;
use super::{command, run};

#[test]
fn there_is_a_manual_page_for_every_command() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(command(&["man"]).arg(temp.path()));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let pages: BTreeSet<String> = crate::support::files_below(temp.path())
        .iter()
        .map(|page| page.file_name().unwrap().display().to_string())
        .collect();
    let wanted: BTreeSet<String> = every_command()
        .iter()
        .map(|(words, _)| {
            let parts = std::iter::once("suki-receiver").chain(words.iter().map(String::as_str));
            format!("{}.1", parts.collect::<Vec<_>>().join("-"))
        })
        .collect();
    assert_eq!(pages, wanted);
    let page = std::fs::read_to_string(temp.path().join("suki-receiver-events-replay.1")).unwrap();
    assert!(page.contains("Make an event due again"), "{page}");
}

#[test]
fn manual_pages_for_a_folder_that_is_not_there_are_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(command(&["man"]).arg(temp.path().join("none")));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cannot write to"), "{}", ran.stderr);
}

#[test]
fn completions_of_every_shell_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(&mut command(&["completions", shell]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        for (words, _) in every_command() {
            for word in words {
                assert!(ran.stdout.contains(&word), "{shell}: {word}");
            }
        }
    }
}

/// What the package takes from `config` is there, and its unit starts what the package installs.
#[test]
fn the_files_of_the_debian_package_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array();
    let sources: Vec<&str> = assets
        .unwrap()
        .iter()
        .map(|asset| asset[0].as_str().unwrap())
        .filter(|source| !source.starts_with("target/"))
        .collect();
    assert!(sources.len() > 4, "{sources:?}");
    for source in sources {
        let folder = source.split_once('*').map_or(source, |(folder, _)| folder);
        assert!(root.join(folder).exists(), "{source}");
    }
    // config/debian/build puts the package's path in this one's place.
    let unit = std::fs::read_to_string(root.join("config/suki-receiver.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/local/bin/suki-receiver serve\n"));
}
