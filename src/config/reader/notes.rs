//! The notes of a section while it is read: problems, warnings, and effective values.

use super::Source;
use super::dump::{Entry, KeyedHash};
use super::problem::Problem;
use super::section::Section;

impl Section<'_> {
    /// Notes a problem with a key of this section that was read or is missing.
    pub(in crate::config) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let read = self.reader.effective.source_of(&self.path_of(key));
        let source = read.or(self.source.as_ref()).cloned();
        self.problem_at(key, source, message);
    }

    /// Notes a problem with a key of this section that is set at `source`.
    pub(in crate::config) fn problem_at(
        &mut self,
        key: &str,
        source: Option<Source>,
        message: impl Into<String>,
    ) {
        let key = self.path_of(key);
        let message = message.into();
        self.reader.problems.push(Problem {
            key,
            source,
            message,
        });
    }

    /// Notes a problem with this section as a whole.
    pub(in crate::config) fn problem_here(&mut self, message: &str) {
        self.reader.problems.push(Problem {
            key: self.path.clone(),
            source: self.source.clone(),
            message: message.to_owned(),
        });
    }

    /// Notes the error of a check that concerns a key of this section, if it failed.
    pub(in crate::config) fn expect(&mut self, key: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.problem(key, message);
        }
    }

    /// Notes a warning about a setting that is valid but risky.
    pub(in crate::config) fn warn(&mut self, message: impl Into<String>) {
        self.reader.warnings.push(message.into());
    }

    /// The number of problems so far. A caller compares two numbers: if it has grown, a missing value may already have
    /// its error.
    pub(in crate::config) fn problem_count(&self) -> usize {
        self.reader.problems.len()
    }

    /// Notes a value for the effective configuration.
    pub(in crate::config) fn note(
        &mut self,
        key: &str,
        value: String,
        source: Source,
        note: Option<String>,
    ) {
        self.note_with_hidden(key, value, source, note, None);
    }

    /// As [`Self::note`], for a value of which a part or all is not shown.
    pub(in crate::config) fn note_with_hidden(
        &mut self,
        key: &str,
        value: String,
        source: Source,
        note: Option<String>,
        hidden: Option<&str>,
    ) {
        let path = self.path_of(key);
        self.reader.effective.value(Entry {
            path,
            key: key.to_owned(),
            value,
            source,
            note,
            hidden: hidden.map(KeyedHash::of),
        });
    }

    /// Notes for the effective configuration that a list of tables is empty.
    pub(in crate::config) fn note_empty<T>(&mut self, key: &str, items: &[T]) {
        if items.is_empty() {
            let header = self.header_of(key);
            self.reader.effective.absent(format!("[[{header}]]: none"));
        }
    }

    /// Starts an item of a list in the effective configuration.
    pub(in crate::config) fn list_item_header(&mut self, key: &str) {
        let header = self.header_of(key);
        self.reader.effective.header(format!("[[{header}]]"));
    }
}
