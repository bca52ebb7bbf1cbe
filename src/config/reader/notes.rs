//! What a section notes while it is read: what is wrong, what is risky, and what is in effect.

use super::Source;
use super::dump::Entry;
use super::problem::Problem;
use super::section::Section;

impl Section<'_> {
    /// Something is wrong with a key of this section that was read or is missing.
    pub(in crate::config) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let read = self.reader.effective.source_of(&self.path_of(key));
        let source = read.or(self.source.as_ref()).cloned();
        self.problem_at(key, source, message);
    }

    /// Something is wrong with a key of this section that is set there.
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

    /// Something is wrong with this section as a whole.
    pub(in crate::config) fn problem_here(&mut self, message: &str) {
        self.reader.problems.push(Problem {
            key: self.path.clone(),
            source: self.source.clone(),
            message: message.to_owned(),
        });
    }

    /// The result of a check that concerns a key of this section.
    pub(in crate::config) fn expect(&mut self, key: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.problem(key, message);
        }
    }

    /// Something is legal but risky.
    pub(in crate::config) fn warn(&mut self, message: impl Into<String>) {
        self.reader.warnings.push(message.into());
    }

    /// How much was wrong so far; where it has grown, what is missing may have its error already.
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
        let path = self.path_of(key);
        self.reader.effective.value(Entry {
            path,
            key: key.to_owned(),
            value,
            source,
            note,
        });
    }

    /// Shows that a list of tables has no items.
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
