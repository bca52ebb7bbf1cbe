//! The effective configuration as TOML: every key with its value and where it was set. It never contains a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

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
    /// Tells values apart of which `value` shows only a part, or nothing.
    pub(in crate::config) hidden: Option<KeyedHash>,
}

/// A hash of a value that is not shown. It is keyed anew in each process, so it says nothing about the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct KeyedHash(u64);

impl KeyedHash {
    pub(in crate::config) fn of(value: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(value))
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
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
        fn values(effective: &Effective) -> BTreeMap<&str, Compared<'_>> {
            let entries = effective.entries();
            entries
                .map(|entry| (&*entry.path, entry.compared()))
                .collect()
        }
        let (old, new) = (values(self), values(other));
        let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        keys.into_iter()
            .filter(|key| old.get(key) != new.get(key) && !is_reloaded(key))
            .map(str::to_owned)
            .collect()
    }

    pub(in crate::config) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter().filter_map(|line| match line {
            Line::Value(entry) => Some(entry),
            Line::Header(_) | Line::Absent(_) => None,
        })
    }
}

/// What is compared of an entry: its value, its remark, and what is hidden of the value.
type Compared<'e> = (&'e str, Option<&'e str>, Option<KeyedHash>);

impl Entry {
    fn compared(&self) -> Compared<'_> {
        let note = self.note.as_deref();
        let is_reread = is_read_at_each_login(&self.path)
            && note.is_some_and(|note| note.starts_with("file ") || note.starts_with("command "));
        (&self.value, note, self.hidden.filter(|_| !is_reread))
    }
}

/// Whether the secret of this key is read again at each login, if a file or a command has it.
fn is_read_at_each_login(key: &str) -> bool {
    let mut parts = key.split('.');
    parts.next() == Some("sdp")
        && parts.any(|part| part == "partner_token" || part == "signing_key")
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
