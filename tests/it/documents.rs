//! Rules about the documents: what they name is there, and so is what the code cites of them.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every document with its path from the root.
fn documents() -> Vec<(String, String)> {
    let docs = crate::support::files_below(&root().join("docs"));
    let all = docs
        .into_iter()
        .chain(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    all.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// A document's headings; a line of a code block is none.
fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.split("```")
        .step_by(2)
        .flat_map(str::lines)
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                root().join(&name)
            } else {
                folder.join(path)
            };
            let is_there = target.exists()
                && (wanted.is_empty()
                    || std::fs::read_to_string(&target).is_ok_and(|text| {
                        headings(&text).any(|heading| anchor(heading) == wanted)
                    }));
            if !is_there {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_is_cited_of_the_documents_is_there() {
    let folders = ["src", "tests", "benches", "config", "docs"].map(|name| root().join(name));
    let files = folders
        .iter()
        .flat_map(|folder| crate::support::files_below(folder))
        .chain(["README.md", "CHANGELOG.md", "Dockerfile"].map(|name| root().join(name)));
    let mut missing = Vec::new();
    for file in files {
        // What is no text cites nothing.
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let name = file.strip_prefix(root()).unwrap().display();
        for (path, cited) in citations(&text) {
            let document = ["", "docs"]
                .iter()
                .find_map(|folder| std::fs::read_to_string(root().join(folder).join(path)).ok());
            let is_there = document.is_some_and(|document| {
                cited.is_none_or(|cited| headings(&document).any(|heading| heading == cited))
            });
            if !is_there {
                missing.push(format!("{name}: {path} {}", cited.unwrap_or_default()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The documents that a text names, such as docs/VENDOR.md, each with the heading that it cites: docs/VENDOR.md, "Links".
fn citations(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let is_outside = |c: char| !(c.is_alphanumeric() || "/_-.".contains(c));
    text.match_indices(".md").filter_map(move |(at, _)| {
        let (before, rest) = text.split_at(at + ".md".len());
        let path = before.rsplit(is_outside).next()?;
        // Links are looked at above, and what stands behind a slash is of an address.
        let is_ours =
            !before[..before.len() - path.len()].ends_with("](") && !path.starts_with('/');
        let is_whole = path != ".md" && !rest.starts_with(char::is_alphanumeric);
        let cited = rest
            .strip_prefix(", \"")
            .and_then(|rest| rest.split('"').next());
        (is_ours && is_whole).then_some((path, cited))
    })
}

#[test]
fn every_test_that_the_documents_name_is_there() {
    let mut code = String::new();
    for folder in ["src", "tests"] {
        for file in crate::support::files_below(&root().join(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                code += &std::fs::read_to_string(file).unwrap();
            }
        }
    }
    let mut missing = Vec::new();
    for (document, text) in documents() {
        // A name in backticks with this many words is a sentence, and sentences are tests.
        let sentences = text.split('`').skip(1).step_by(2).filter(|name| {
            name.matches('_').count() > 3
                && !name.ends_with("_header")
                && !name.ends_with("_timestamp_seconds")
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        });
        missing.extend(
            sentences
                .filter(|name| !code.contains(&format!("fn {name}(")))
                .map(|name| format!("{document}: {name}")),
        );
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
