//! No two files of the source need each other, be it by way of others.

use std::collections::{BTreeMap, BTreeSet};

use super::architecture::{code, sources};

/// A file's module path, such as `journal::sqlite::work`.
fn module(name: &str) -> String {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    path.replace('/', "::")
}

/// The paths of a `use`, its groups opened.
fn opened(path: &str) -> Vec<String> {
    let Some((prefix, group)) = path.split_once('{') else {
        let plain = path.split(" as ").next().unwrap();
        return vec![plain.trim().to_owned()];
    };
    let group = group.trim_end().trim_end_matches('}');
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in group.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    let inner = parts.iter().filter(|part| !part.trim().is_empty());
    inner
        .flat_map(|part| opened(part.trim()))
        .map(|part| format!("{}{part}", prefix.trim()))
        .collect()
}

/// Which modules each one imports. What a module says of its own children, and they of it, is how folders are built.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| !name.contains("/tests/") && !name.ends_with("/tests.rs"))
        .collect();
    let modules: BTreeSet<String> = files.iter().map(|(name, _)| module(name)).collect();
    let known = |path: &str| {
        let mut path = path;
        loop {
            if modules.contains(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut graph = BTreeMap::new();
    for (name, text) in &files {
        let own = module(name);
        let mut imports = BTreeSet::new();
        let uses = code(text)
            .split("use ")
            .skip(1)
            .filter_map(|rest| rest.split(';').next());
        for path in uses.flat_map(opened) {
            let absolute = if let Some(path) = path.strip_prefix("crate::") {
                path.to_owned()
            } else if path.starts_with("super::") {
                let ups = path.matches("super::").count();
                let levels: Vec<_> = own.split("::").collect();
                let left = levels.len().saturating_sub(ups);
                format!(
                    "{}::{}",
                    levels[..left].join("::"),
                    path.replace("super::", "")
                )
            } else {
                continue;
            };
            imports.extend(known(absolute.trim_start_matches("::")));
        }
        let is_kin = |other: &String| {
            own == *other
                || other.starts_with(&format!("{own}::"))
                || own.starts_with(&format!("{other}::"))
        };
        imports.retain(|other| !is_kin(other));
        graph.insert(own, imports);
    }
    graph
}

/// Whether `to` is reached from `from`.
fn leads(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(next) = left.pop() {
        for import in graph.get(next).into_iter().flatten() {
            if import == to {
                return true;
            }
            if seen.insert(import) {
                left.push(import);
            }
        }
    }
    false
}

#[test]
fn no_file_needs_another_that_needs_it() {
    let graph = graph();
    assert!(
        graph["worker::retrieve"].contains("worker::settle"),
        "imports are read"
    );
    let circles: Vec<_> = graph
        .keys()
        .filter(|name| leads(&graph, name, name))
        .collect();
    assert!(
        circles.is_empty(),
        "these are in circles of imports: {circles:#?}"
    );
}
