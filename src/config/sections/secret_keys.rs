//! Reads secrets from a section: as a literal, or from a file, a variable or a command.
//!
//! No error of this module shows the text that was written for a secret key.

use std::path::PathBuf;

use super::{ProviderCommand, check, odd, provider};
use crate::config::reader::dump::quoted;
use crate::config::reader::secret::{NamedSecret, Secret, SecretError};
use crate::config::reader::section::Section;
use crate::config::reader::setting::Setting;
use crate::config::reader::source::Source;
use crate::config::reader::tree::{Node, Value};

/// The keys that describe a secret in a table; exactly one of them must be set.
const KINDS: [&str; 4] = ["value", "file", "env", "command"];

/// The error if not exactly one of them is set.
const ONE_OF_KINDS: &str = "needs exactly one of value, file, env and command";

/// The name in its list of a secret that a variable sets.
pub(super) const ENV_NAME: &str = "env";

/// A secret that was read, and where it was set.
pub(super) type Found = (Secret, Source);

impl Section<'_> {
    /// Reads the secret of a key: `"literal"`, `{ file | env | command = … }`, or the file that its variable `…_FILE`
    /// names.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let (node, file) = (self.take(key), self.take_env(&file_key(key)));
        self.secret_of(key, node, file)
    }

    /// Like [`Self::secret`], but a missing secret is an error.
    pub(super) fn required_secret(&mut self, key: &'static str) -> Option<Secret> {
        if self.peek(key).is_none() && self.peek(&file_key(key)).is_none() {
            self.problem(key, "is missing; use { file = \"…\" }");
        }
        self.secret(key)
    }

    /// Whether the key's command contains the placeholder for the provider.
    pub(super) fn has_provider_command(&self, key: &str) -> bool {
        let Some(Value::Table(table)) = self.peek(key).map(|node| &node.value) else {
            return false;
        };
        let command = table
            .get("command")
            .map(|node| Vec::<String>::parse(&node.value));
        command.is_some_and(|command| {
            command.is_ok_and(|it| it.iter().any(|part| provider::is_in(part)))
        })
    }

    /// Reads a key's command that prints a secret for one provider. The command is not run, because that needs a
    /// provider.
    pub(super) fn provider_command(&mut self, key: &'static str) -> Option<ProviderCommand> {
        let node = self.take(key)?;
        let source = node.source.clone();
        let command: Vec<String> = self.child(key, String::new(), Some(node), |table| {
            if KINDS
                .iter()
                .filter(|kind| table.peek(kind).is_some())
                .count()
                > 1
            {
                table.problem_here(ONE_OF_KINDS);
                table.take_rest();
            }
            table.unshown("command")
        })?;
        match ProviderCommand::new(command) {
            Ok(command) => {
                let origin = format!("command {}, for each provider", command.program());
                self.note(key, quoted("[redacted]"), source, Some(origin));
                Some(command)
            }
            Err(message) => {
                self.problem_at(key, Some(source), format!("the command {message}"));
                None
            }
        }
    }

    /// Reads a secret that only the variable of this key (or its `…_FILE`) can set, and where it was set.
    pub(super) fn env_secret(&mut self, key: &str) -> Option<Found> {
        let (node, file) = (self.take_env(key), self.take_env(&file_key(key)));
        self.resolve(key, node, file)
    }

    /// Reads the secrets of a list of `{ id, value | file | env | command }`.
    pub(super) fn named_secrets(&mut self, key: &'static str) -> Vec<NamedSecret> {
        self.list(key, |item| {
            let hint = "name the secret, such as \"2026-a\"";
            let id = item.required("id", hint, |id: &String| check::not_empty(id));
            let secret = item.secret_of_table();
            let (id, secret) = id.zip(secret)?;
            Some(NamedSecret { id, secret })
        })
    }

    /// Reads the secret that the section's own table describes, besides its other keys.
    pub(super) fn secret_of_table(&mut self) -> Option<Secret> {
        let found = self.described();
        self.note_secret("value", found)
    }

    /// Reads the secret of a key whose name is the operator's choice, from what sets the key and, in the environment, its
    /// `…_file`.
    pub(super) fn secret_of(
        &mut self,
        key: &str,
        node: Option<Node>,
        file: Option<Node>,
    ) -> Option<Secret> {
        let found = self.resolve(key, node, file);
        self.note_secret(key, found)
    }

    /// Shows the secret of a variable in the effective configuration as the list item that it represents.
    pub(super) fn note_as_item(
        &mut self,
        list: &str,
        words: &[(&str, &str)],
        found: Found,
    ) -> Secret {
        let (secret, source) = found;
        self.list_item_header(list);
        let step = format!("{list}.{ENV_NAME}");
        self.child(&step, self.header_of(list), None, |item| {
            for (key, word) in words {
                item.note(key, quoted(word), source.clone(), None);
            }
            item.mask("value", &secret, source);
        });
        secret
    }

    /// Reads the secret that is set for a key or, in the environment, for its `…_file`.
    fn resolve(&mut self, key: &str, node: Option<Node>, file: Option<Node>) -> Option<Found> {
        match (node, file) {
            (Some(Node { source, .. }), Some(file)) if matches!(source, Source::Env(_)) => {
                let message = format!("{} is set as well; set one of the two", file.source);
                self.problem_at(key, Some(source), message);
                None
            }
            _ if self.is_passed_over() => None,
            (node, Some(file)) if node.as_ref().is_none_or(|node| node.source < file.source) => {
                let path = file.value.text().unwrap_or_default();
                let secret = Secret::from_file(PathBuf::from(path));
                self.secret_or_problem(key, secret, file.source)
            }
            (node, _) => self.secret_of_node(key, node?),
        }
    }

    fn secret_of_node(&mut self, key: &str, node: Node) -> Option<Found> {
        match &node.value {
            Value::Table(_) => {
                let header = String::new();
                self.child(key, header, Some(node), |table| table.described())
            }
            // If this were taken literally, a mistake in the notation would become a wrong secret without anybody
            // noticing.
            Value::Text(text) if text.trim_start().starts_with('{') => {
                let message = "looks like a table and is not well-formed TOML";
                self.problem_at(key, Some(node.source), message);
                None
            }
            Value::String(text) | Value::Text(text) => {
                self.secret_or_problem(key, Secret::from_literal(text), node.source)
            }
            other => {
                let message = format!(
                    "expected \"…\", {{ file = \"…\" }}, {{ env = \"…\" }} or {{ command = [\"…\"] }}, found {}",
                    other.kind()
                );
                self.problem_at(key, Some(node.source), message);
                None
            }
        }
    }

    /// Reads the secret that this table describes.
    fn described(&mut self) -> Option<Found> {
        let set: Vec<(&str, Source)> = KINDS
            .into_iter()
            .filter_map(|kind| Some((kind, self.peek(kind)?.source.clone())))
            .collect();
        if self.is_passed_over() {
            for kind in KINDS {
                self.unshown::<Unread>(kind);
            }
            return None;
        }
        let value = self.unshown::<String>("value");
        let value = value.as_deref().map(Secret::from_literal);
        let file = self.unshown("file").map(Secret::from_file);
        let variable = self.unshown("env");
        let variable = variable.map(|name| Secret::from_env(name, &self.reader.env));
        let command = self.unshown("command").map(Secret::from_command);
        let Ok([(kind, source)]) = <[_; 1]>::try_from(set) else {
            self.problem_here(ONE_OF_KINDS);
            return None;
        };
        let secret = value.or(file).or(variable).or(command)?;
        self.secret_or_problem(kind, secret, source)
    }

    fn secret_or_problem(
        &mut self,
        key: &str,
        secret: Result<Secret, SecretError>,
        source: Source,
    ) -> Option<Found> {
        match secret {
            // A command that needs no secret must not fail because of one.
            _ if self.is_passed_over() => None,
            Ok(secret) => Some((secret, source)),
            Err(error) => {
                self.problem_at(key, Some(source), error.to_string());
                None
            }
        }
    }

    /// Shows the secret's origin in the effective configuration.
    fn note_secret(&mut self, key: &str, found: Option<Found>) -> Option<Secret> {
        let Some((secret, source)) = found else {
            self.reader.effective.absent(format!("{key}: not set"));
            return None;
        };
        self.mask(key, &secret, source);
        Some(secret)
    }

    fn mask(&mut self, key: &str, secret: &Secret, source: Source) {
        if let Some(oddity) = odd::oddity(secret) {
            let key = self.path_of(key);
            self.warn(format!("{key} ({source}) {oddity}"));
        }
        let is_in_file = matches!(source, Source::File { .. });
        self.reader.has_literal_in_file |= secret.is_literal() && is_in_file;
        let (shown, origin) = (quoted("[redacted]"), Some(secret.origin()));
        self.note_with_hidden(key, shown, source, origin, Some(secret.expose()));
    }
}

/// A value that is read and ignored.
struct Unread;

impl Setting for Unread {
    fn parse(_: &Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn show(&self) -> String {
        String::new()
    }
}

fn file_key(key: &str) -> String {
    format!("{key}_file")
}
