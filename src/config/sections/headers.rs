//! `headers` of an HTTP sink: further headers besides those that a delivery sets itself. Upper and lower case are the same
//! header. In the name of a variable, an underscore stands for a hyphen, and `_FILE` at the end for the path of a file.

use std::collections::BTreeMap;

use super::check;
use crate::config::reader::section::Section;
use crate::config::reader::tree::{Node, Table};
use crate::config::reader::{Secret, Source};

/// Reads `headers`: names are the operator's choice, except for those that the delivery sets itself.
pub(super) fn read(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let headers: Vec<_> = set(section.take_rest())
        .into_iter()
        .filter_map(|Header { name, node, file }| {
            let value = section.secret_of(&name, node, file)?;
            Some((name, value))
        })
        .collect();
    for (name, value) in &headers {
        section.expect(name, header_name(name));
        section.expect(name, header_value(value));
    }
    let names: Vec<String> = headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    if let Err(message) = check::unique(names.iter().map(String::as_str)) {
        section.problem_here(&message);
    }
    headers
}

/// A header, and what sets it.
struct Header {
    name: String,
    node: Option<Node>,
    /// The variable that holds the path of its file.
    file: Option<Node>,
}

/// The headers that a table sets. Variables and flags replace what the file sets.
fn set(table: Table) -> Vec<Header> {
    let (later, written): (Vec<_>, Vec<_>) = table
        .into_iter()
        .partition(|(_, node)| matches!(node.source, Source::Env(_) | Source::Flag(_)));
    let mut headers: Vec<Header> = written
        .into_iter()
        .map(|(name, node)| Header {
            name,
            node: Some(node),
            file: None,
        })
        .collect();
    let later: BTreeMap<_, _> = later
        .into_iter()
        .map(|(key, node)| ((node.source.clone(), key), node))
        .collect();
    for ((source, key), node) in later {
        // OpenTelemetry's variables hold the names of headers in their values, where each character is as it is meant.
        let is_name_of_variable = matches!(&source, Source::Env(variable)
            if variable.to_ascii_lowercase().ends_with(&format!("__{key}")));
        let stem = key.strip_suffix("_file").filter(|_| is_name_of_variable);
        let as_written = stem.unwrap_or(&key);
        let name = if is_name_of_variable {
            as_written.replace('_', "-")
        } else {
            as_written.to_owned()
        };
        let same = headers.iter_mut().find(|header| {
            header.name.eq_ignore_ascii_case(&name) || header.name.eq_ignore_ascii_case(as_written)
        });
        let (node, file) = match stem {
            Some(_) => (None, Some(node)),
            None => (Some(node), None),
        };
        match same {
            Some(header) => {
                header.node = node.or(header.node.take());
                header.file = file.or(header.file.take());
            }
            None => headers.push(Header { name, node, file }),
        }
    }
    headers
}

fn header_name(name: &str) -> Result<(), String> {
    const OURS: [&str; 4] = [
        "content-type",
        "content-length",
        "host",
        "transfer-encoding",
    ];
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    check::ensure(!name.is_empty() && name.chars().all(is_token), || {
        "invalid HTTP header name; expected letters, digits and -".to_owned()
    })?;
    let lower = name.to_ascii_lowercase();
    let is_ours = OURS.contains(&lower.as_str()) || lower.starts_with("webhook-");
    check::ensure(!is_ours, || {
        "is set by the delivery itself; use another name".to_owned()
    })
}

fn header_value(value: &Secret) -> Result<(), String> {
    let is_allowed = |c: char| c == ' ' || c.is_ascii_graphic();
    check::ensure(value.expose().chars().all(is_allowed), || {
        "has a value that no header can have; use one line of visible ASCII".to_owned()
    })
}
