//! Reads the keys of sections. Each key that is read is noted: any other key is unknown, and the values that were read
//! can be shown.
//!
//! After an error the default is returned and reading goes on, so all errors are found in one run.

use super::dump::Effective;
use super::problem::{Problem, unknown_key};
use super::setting::Setting;
use super::tree::{Node, Table, Value};
use super::{Env, Source};

/// The state that all sections share while they are read.
pub(in crate::config) struct Reader {
    pub(in crate::config) env: Env,
    pub(in crate::config) problems: Vec<Problem>,
    pub(in crate::config) warnings: Vec<String>,
    pub(in crate::config) effective: Effective,
    /// Whether only the store's settings are needed, in which case no other secret is read.
    pub(in crate::config) only_store: bool,
    /// Whether the file itself contains a secret.
    pub(in crate::config) has_literal_in_file: bool,
}

/// A table while it is read: its remaining keys, and its place in the configuration.
pub(in crate::config) struct Section<'r> {
    pub(in crate::config) reader: &'r mut Reader,
    /// The dotted key of the table, with items of a list by their names; empty at the root.
    pub(in crate::config) path: String,
    /// The table's name in TOML.
    header: String,
    /// Where the table was set; `None` if it is not written at all.
    pub(in crate::config) source: Option<Source>,
    table: Table,
    known: Vec<&'static str>,
}

impl Reader {
    /// A reader that begins with the problems that are already known.
    pub(in crate::config) fn new(env: Env, problems: Vec<Problem>) -> Self {
        Self {
            env,
            problems,
            warnings: Vec::new(),
            effective: Effective::default(),
            only_store: false,
            has_literal_in_file: false,
        }
    }

    /// Reads the whole tree.
    pub(in crate::config) fn read<T>(
        &mut self,
        tree: Table,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let root = Section {
            reader: self,
            path: String::new(),
            header: String::new(),
            source: None,
            table: tree,
            known: Vec::new(),
        };
        root.read(read)
    }
}

impl Section<'_> {
    /// The value of a key, or `default`.
    pub(in crate::config) fn get<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// The value of a key if it passes the check, or `default`.
    pub(in crate::config) fn checked<T: Setting>(
        &mut self,
        key: &'static str,
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        let node = self.take(key);
        let source = node
            .as_ref()
            .map_or(Source::Default, |node| node.source.clone());
        let value = node
            .and_then(|node| self.parse(key, &node, check))
            .unwrap_or(default);
        self.note_setting(key, &value, source);
        value
    }

    /// The value of a key that has no default, if it is set and passes the check. If it is missing, the error ends with
    /// `hint`.
    pub(in crate::config) fn required<T: Setting>(
        &mut self,
        key: &'static str,
        hint: &str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let Some(node) = self.take(key) else {
            self.problem(key, format!("is missing; {hint}"));
            return None;
        };
        let value = self.parse(key, &node, check)?;
        self.note_setting(key, &value, node.source);
        Some(value)
    }

    fn note_setting<T: Setting>(&mut self, key: &str, value: &T, source: Source) {
        let hidden = value.hidden();
        self.note_with_hidden(key, value.show(), source, None, hidden.as_deref());
    }

    /// The value of a key that describes a secret, which is not shown in the effective configuration.
    pub(in crate::config) fn unshown<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let node = self.take(key)?;
        self.parse(key, &node, |_| Ok(()))
    }

    /// Reads the table at `key`, or an empty one if it is missing.
    pub(in crate::config) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let node = self.take(key);
        let header = self.header_of(key);
        self.reader.effective.header(format!("[{header}]"));
        self.child(key, header, node, read)
    }

    /// Reads the tables of the list at `key`. An item for which `read` returns `None` is left out; its errors are
    /// already noted.
    pub(in crate::config) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let items = match self.take(key) {
            Some(Node {
                value: Value::Array(items),
                ..
            }) => items,
            Some(node) => {
                let found = node.value.kind();
                self.problem_at(
                    key,
                    Some(node.source),
                    format!(
                        "expected a list of tables, found {found}; write [[{key}]] or [{{ … }}]"
                    ),
                );
                return Vec::new();
            }
            None => Vec::new(),
        };
        let header = self.header_of(key);
        let mut values = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let step = match name_of(&item) {
                Some(name) => format!("{key}.{name}"),
                None => format!("{key}[{index}]"),
            };
            self.list_item_header(key);
            values.extend(self.child(&step, header.clone(), Some(item), &mut read));
        }
        values
    }

    /// Reads a table that is part of this section and has no header of its own.
    pub(in crate::config) fn child<T>(
        &mut self,
        step: &str,
        header: String,
        node: Option<Node>,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let source = node.as_ref().map(|node| node.source.clone());
        let table = match node.map(|node| node.value) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let message = format!("expected a table, found {}", other.kind());
                self.problem_at(step, source.clone(), message);
                Table::new()
            }
        };
        let child = Section {
            path: self.path_of(step),
            header,
            source,
            table,
            known: Vec::new(),
            reader: &mut *self.reader,
        };
        child.read(read)
    }

    /// Removes and returns the value of a key. From now on the key is known.
    pub(in crate::config) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Removes and returns a value that only a variable can set. The key is never suggested for a file.
    pub(in crate::config) fn take_env(&mut self, key: &str) -> Option<Node> {
        let is_env = matches!(self.table.get(key)?.source, Source::Env(_));
        is_env.then(|| self.table.remove(key))?
    }

    /// Removes and returns all remaining keys, for tables whose keys are the operator's choice.
    pub(in crate::config) fn take_rest(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    /// Whether this section's secrets are not read, because only the store's settings are needed.
    pub(in crate::config) fn is_passed_over(&self) -> bool {
        self.reader.only_store && self.path.split('.').next() != Some("store")
    }

    /// The value of a key, if it is set. The key stays unread.
    pub(in crate::config) fn peek(&self, key: &str) -> Option<&Node> {
        self.table.get(key)
    }

    /// The dotted key of one of this section's keys.
    pub(in crate::config) fn path_of(&self, key: &str) -> String {
        dotted(&self.path, key)
    }

    /// The name in TOML of a table within this one.
    pub(in crate::config) fn header_of(&self, key: &str) -> String {
        dotted(&self.header, key)
    }

    fn parse<T: Setting>(
        &mut self,
        key: &str,
        node: &Node,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        T::parse(&node.value)
            .and_then(|value| check(&value).map(|()| value))
            .map_err(|message| self.problem_at(key, Some(node.source.clone()), message))
            .ok()
    }

    /// Reads the section, then reports the keys that were not read as unknown.
    fn read<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let value = read(&mut self);
        for (key, node) in self.take_rest() {
            let message = unknown_key(&key, &self.known);
            self.problem_at(&key, Some(node.source), message);
        }
        value
    }
}

/// The name of a list's item, for its dotted key.
fn name_of(item: &Node) -> Option<&str> {
    let Value::Table(table) = &item.value else {
        return None;
    };
    let name = table.get("name").or_else(|| table.get("id"))?;
    name.value.text().ok().filter(|name| !name.is_empty())
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
