//! Rules about the tree: who may import whom, and that every file says what it is.

use std::path::{Path, PathBuf};

/// What each folder may import of ours. The support folders below may use `domain` and `config`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("signature", &["domain", "config"]),
    ("net", &["domain", "config", "lifecycle", "metrics"]),
    ("lifecycle", &["domain"]),
    ("metrics", &["domain"]),
    (
        "traces",
        &["domain", "config", "net", "lifecycle", "metrics"],
    ),
    (
        "journal",
        &[
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
        ],
    ),
    (
        "sdp",
        &[
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
            "traces",
        ],
    ),
    (
        "sinks",
        &[
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
            "traces",
        ],
    ),
    (
        "ingress",
        &[
            "journal",
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
            "traces",
        ],
    ),
    (
        "worker",
        &[
            "journal",
            "sdp",
            "sinks",
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
            "traces",
        ],
    ),
    (
        "admin",
        &[
            "journal",
            "sinks::schema",
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
        ],
    ),
    (
        "console",
        &[
            "admin",
            "journal",
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
            "traces",
        ],
    ),
    (
        "lab/simulator",
        &[
            "domain",
            "config",
            "signature",
            "net",
            "lifecycle",
            "metrics",
        ],
    ),
];

/// Crates that a folder must not know.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("domain", &["axum", "tokio", "rusqlite", "reqwest"]),
    ("worker", &["axum"]),
    ("journal", &["axum", "reqwest"]),
    ("config", &["axum", "reqwest", "rusqlite"]),
];

/// Every file of `src`: its path there, and its text.
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    found
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file without its test modules: from the attribute to the declaration's end, or to the brace that closes the module.
pub fn code(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\nmod ");
    let mut code = parts.next().unwrap().to_owned();
    for part in parts {
        let (head, rest) = part.split_once('\n').unwrap_or((part, ""));
        code += if head.ends_with(';') {
            rest
        } else {
            rest.split_once("\n}\n").map_or("", |(_, after)| after)
        };
    }
    code
}

/// The paths after each `crate::`, groups opened one level.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with("suki_receiver::") {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let inner = group.split(';').next().unwrap();
            found.extend(
                inner
                    .split(',')
                    .map(|part| part.trim().trim_end_matches('}').to_owned()),
            );
        } else {
            found.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn no_folder_imports_what_it_may_not() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let Some((folder, allowed)) = ALLOWED.iter().find(|(folder, _)| name.starts_with(folder))
        else {
            continue;
        };
        let own = folder.replace('/', "::");
        for import in imports(&code(&text)) {
            let is_fine = import == own
                || import.starts_with(&format!("{own}::"))
                || import.is_empty()
                || allowed
                    .iter()
                    .any(|folder| import == *folder || import.starts_with(&format!("{folder}::")));
            if !is_fine {
                wrong.push(format!("{name} imports crate::{import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_commands_import_the_laboratory() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if name.starts_with("cli/") || name.starts_with("lab/") {
            continue;
        }
        let imports = imports(&code(&text)).into_iter();
        let of_lab = imports.filter(|import| import == "lab" || import.starts_with("lab::"));
        wrong.extend(of_lab.map(|import| format!("{name} imports crate::{import}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_folder_knows_a_crate_that_is_not_its_business() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (folder, crates) in FORBIDDEN {
            for forbidden in *crates {
                let uses = format!("{forbidden}::");
                if name.starts_with(folder) && code(&text).contains(&uses) {
                    wrong.push(format!("{name} uses {forbidden}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_environment_is_read_in_one_place_only() {
    let readers: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| {
            !name.starts_with("config/")
                && (text.contains("env::var(") || text.contains("env::vars("))
        })
        .map(|(name, _)| name)
        .collect();
    assert!(readers.is_empty(), "{readers:#?}");
}

#[test]
fn nothing_prints_with_macros_that_panic_once_nobody_reads() {
    let printing: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| {
            code(text)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .any(|line| {
                    ["println!(", "print!("]
                        .iter()
                        .any(|macro_| line.contains(macro_))
                })
        })
        .map(|(name, _)| name)
        .collect();
    assert!(printing.is_empty(), "{printing:#?}");
}

/// Words of our own for what the field has a word for, and how they were used.
const NOT_OUR_WORDS: &[(&str, &str)] = &[
    (
        " is no event state",
        "unknown event state 'x'; expected one of …",
    ),
    ("' is no ", "invalid or unknown …; expected …"),
    ("nothing takes writes", "store unavailable: answering 503"),
    ("fn unwell", "set_unhealthy"),
    ("struct Bell", "Notify"),
    ("struct Turn", "WriteLock"),
    ("struct Shutdown", "TaskGroup"),
    ("struct Room", "MemoryBudget"),
    ("fn insist", "retry_until"),
    ("Unauthentic", "rejected"),
    ("enum Junk", "Malformed"),
    (" mended", "fixed"),
    (" mend the", "fix the"),
    ("well again", "works again"),
    ("const LOOK", "CHECK_INTERVAL"),
    ("fn look(", "refresh, check, observe"),
    ("Teller", "AlertSender"),
    ("let (tell, told)", "(sender, receiver), (reply, answer)"),
];

#[test]
fn words_that_a_stranger_would_not_understand_do_not_come_back() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (word, instead) in NOT_OUR_WORDS {
            if code(&text).contains(word) {
                found.push(format!("{name}: '{word}'; say: {instead}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
