//! The effective configuration as TOML: every key with its value and where it was set. It never contains a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Source;

/// Every key that was read, in order. It is displayed as TOML that can be loaded again once its secrets are filled in.
#[derive(Debug, Clone, Default)]
pub struct Effective(Vec<Line>);

#[derive(Debug, Clone)]
enum Line {
    /// `[table]` or `[[table]]`.
    Header(String),
    /// `key = value # source`.
    Value(Entry),
    /// `# text`: a key or list without a value.
    Absent(String),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(in crate::config) struct Entry {
    /// The dotted key, as errors name it.
    pub(in crate::config) path: String,
    /// The key within its table.
    pub(in crate::config) key: String,
    /// The value as TOML.
    pub(in crate::config) value: String,
    /// Where it was set.
    pub(in crate::config) source: Source,
    /// A remark after the source.
    pub(in crate::config) note: Option<String>,
}

impl Effective {
    pub(in crate::config) fn header(&mut self, header: String) {
        self.0.push(Line::Header(header));
    }

    pub(in crate::config) fn value(&mut self, entry: Entry) {
        self.0.push(Line::Value(entry));
    }

    pub(in crate::config) fn absent(&mut self, text: String) {
        self.0.push(Line::Absent(text));
    }

    /// Where the key was set; `None` if it was not read. Of two keys with the same name, the later one counts.
    pub(in crate::config) fn source_of(&self, path: &str) -> Option<&Source> {
        self.entries()
            .rev()
            .find(|entry| entry.path == path)
            .map(|entry| &entry.source)
    }

    /// The dotted keys whose values differ in another configuration and that take effect only at a start.
    pub fn changed_beyond_reload(&self, other: &Self) -> Vec<String> {
        let shown = |effective: &Self| -> BTreeMap<String, (String, Option<String>)> {
            effective
                .entries()
                .map(|entry| {
                    (
                        entry.path.clone(),
                        (entry.value.clone(), entry.note.clone()),
                    )
                })
                .collect()
        };
        let (old, new) = (shown(self), shown(other));
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        keys.into_iter()
            .filter(|key| old.get(*key) != new.get(*key) && !is_reloaded(key))
            .cloned()
            .collect()
    }

    pub(in crate::config) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter().filter_map(|line| match line {
            Line::Value(entry) => Some(entry),
            Line::Header(_) | Line::Absent(_) => None,
        })
    }
}

/// Whether a key takes effect at a reload.
fn is_reloaded(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').collect();
    match parts[..] {
        ["signature", "secrets", ..] | ["admin", "tokens", ..] | ["store", "password"] => true,
        ["sinks", _, key, ..] => matches!(key, "secret" | "secrets" | "headers"),
        _ => false,
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            match line {
                Line::Header(header) if index == 0 => writeln!(f, "{header}")?,
                Line::Header(header) => writeln!(f, "\n{header}")?,
                Line::Value(entry) => writeln!(f, "{entry}")?,
                Line::Absent(text) => writeln!(f, "# {}", one_line(text))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", bare_or_quoted(&self.key), self.value)?;
        match (&self.note, &self.source) {
            (None, Source::Default) => Ok(()),
            (None, source) => write!(f, " # {source}"),
            (Some(note), source) => write!(f, " # {}; {source}", one_line(note)),
        }
    }
}

/// A string as TOML.
pub(in crate::config) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A text on one line, so that it cannot start a new line where it is shown.
pub(in crate::config) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
