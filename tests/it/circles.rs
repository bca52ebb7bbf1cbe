//! No two files of `src` need each other, directly or in a circle of any length.
//!
//! A folder's `mod.rs` and the files below it do not count: the one names the others, and they share what it holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::{code, sources};

/// Files by their module paths, as `journal::sqlite`, each with those that it imports from.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_need_each_other_in_a_circle() {
    let graph = graph(&sources());
    assert!(graph.len() > 100, "the sources are not read");
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > 300, "the imports are not read: {edges}");
    assert_eq!(circles(&graph), Vec::<BTreeSet<String>>::new());
}

#[test]
fn a_circle_is_found_over_groups_over_super_and_over_several_files() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let sources = [
        file("a/mod.rs", "mod one;\nmod two;\npub use self::one::One;\n"),
        file(
            "a/one.rs",
            "use std::fmt;\nuse super::{\n    Shared,\n    two::{self, Two as Other},\n};\n",
        ),
        file("a/two.rs", "pub(crate) use crate::{b::Three, c};\n"),
        file("b.rs", "use crate::a::one::One;\n"),
        file(
            "c.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::b::Three;\n}\n",
        ),
    ];
    let circle = ["a::one", "a::two", "b"].map(str::to_owned);
    assert_eq!(circles(&graph(&sources)), [BTreeSet::from(circle)]);
}

fn graph(sources: &[(String, String)]) -> Graph {
    let is_test = |name: &str| name.contains("/tests/") || name.ends_with("/tests.rs");
    let files: BTreeMap<String, &(String, String)> = sources
        .iter()
        .filter(|(name, _)| !is_test(name))
        .map(|file| (module(&file.0), file))
        .collect();
    let needs = |own: &String, (_, text): &(String, String)| -> BTreeSet<String> {
        imports(&code(text))
            .iter()
            .filter_map(|import| absolute(own, import))
            .filter_map(|path| file_of(&path, |known| files.contains_key(known)))
            .filter(|other| other != own && !is_below(own, other) && !is_below(other, own))
            .collect()
    };
    let edges = files
        .iter()
        .map(|(own, file)| (own.clone(), needs(own, file)));
    edges.collect()
}

/// `journal/sqlite/mod.rs` as `journal::sqlite`.
fn module(name: &str) -> String {
    let path = name.trim_end_matches(".rs").replace('/', "::");
    path.trim_end_matches("::mod").to_owned()
}

/// Whether a file lies in the folder of another one.
fn is_below(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with("::"))
}

/// The paths of every `use`, groups opened.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let line = line.trim();
        // `pub use`, `pub(super) use`.
        let start = line.strip_prefix("use ").or_else(|| {
            let (before, path) = line.split_once(" use ")?;
            (before.starts_with("pub") && !before.contains(' ')).then_some(path)
        });
        match (&mut statement, start) {
            (Some(begun), _) => *begun += line,
            (None, Some(path)) => statement = Some(path.to_owned()),
            (None, None) => continue,
        }
        if line.ends_with(';') {
            let whole = statement.take().unwrap();
            open("", whole.trim_end_matches(';'), &mut found);
        }
    }
    found
}

/// Opens groups of any depth.
fn open(prefix: &str, path: &str, found: &mut Vec<String>) {
    let path = path.trim();
    let Some((head, group)) = path.strip_suffix('}').and_then(|path| path.split_once('{')) else {
        let path = path.split(" as ").next().unwrap();
        return found.push(format!("{prefix}{path}"));
    };
    let (mut depth, mut from) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                open(&format!("{prefix}{head}"), &group[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !group[from..].trim().is_empty() {
        open(&format!("{prefix}{head}"), &group[from..], found);
    }
}

/// The path from the crate's root; `None` for other crates.
fn absolute(own: &str, import: &str) -> Option<String> {
    if let Some(path) = import.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    if let Some(path) = import.strip_prefix("self::") {
        return Some(format!("{own}::{path}"));
    }
    let (mut base, mut path): (Vec<&str>, _) = (own.split("::").collect(), import);
    while let Some(rest) = path.strip_prefix("super::") {
        base.pop();
        path = rest;
    }
    let is_ours = path != import;
    is_ours.then(|| {
        base.into_iter()
            .chain([path])
            .collect::<Vec<_>>()
            .join("::")
    })
}

/// The file that holds what this path names: the longest beginning of it that is a file.
fn file_of(path: &str, is_file: impl Fn(&str) -> bool) -> Option<String> {
    let mut path = path;
    loop {
        if is_file(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// The sets of files that reach each other, with more than one in them.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|file| (file, reachable(graph, file)))
        .collect();
    let mut found = BTreeSet::new();
    for (file, reached) in &reach {
        if reached.contains(file) {
            let circle = reached.iter().filter(|other| reach[**other].contains(file));
            found.insert(circle.map(|other| (**other).clone()).collect());
        }
    }
    found.into_iter().collect()
}

/// What a file needs, and what that needs.
fn reachable<'a>(graph: &'a Graph, from: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(graph[file].iter().filter(|other| reached.insert(*other)));
    }
    reached
}
