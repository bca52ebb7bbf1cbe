//! `headers` of an HTTP sink: further headers besides those that a delivery sets itself.

use super::check;
use crate::config::reader::Secret;
use crate::config::reader::section::Section;

/// Reads `headers`: names are the operator's choice, except for those that the delivery sets itself.
pub(super) fn read(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let headers = section.secrets_by_key();
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
