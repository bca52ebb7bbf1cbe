//! A secret: its value and its origin. The value is always printed as `[redacted]`.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::text::read_text;
use super::{Env, command};

/// A secret value and its origin. `Debug` shows the origin and never the value.
#[derive(Clone)]
pub struct Secret {
    origin: Origin,
    value: SecretString,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Literal,
    File(PathBuf),
    Env(String),
    Command(Vec<String>),
}

/// A secret with a name, for lists of several secrets that are valid at the same time.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// The name, which logs and metrics show instead of the value.
    pub id: String,
    /// The secret.
    pub secret: Secret,
}

/// Why a secret could not be read. The error contains no part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, unreadable or not text.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The environment variable is missing or not text.
    #[error("{0}")]
    Env(String),
    /// The command failed.
    #[error("the command {program} {reason}")]
    Command {
        /// The program without its arguments.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// The value is empty or blank.
    #[error("the {0} is empty or blank; a secret must not be")]
    Empty(String),
}

impl Secret {
    /// A secret from its literal value.
    pub fn literal(value: impl Into<String>) -> Self {
        Self {
            origin: Origin::Literal,
            value: SecretString::from(value.into()),
        }
    }

    /// The value. Call this only where the value is used.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The origin in words, without the value; for a command only the program.
    pub fn origin(&self) -> String {
        self.origin.to_string()
    }

    /// Reads the secret again from its file or command; a secret from another origin is returned unchanged. Blocks.
    pub fn reread(&self) -> Result<Self, SecretError> {
        match &self.origin {
            Origin::Literal | Origin::Env(_) => Ok(self.clone()),
            Origin::File(path) => Self::from_file(path.clone()),
            Origin::Command(command) => Self::from_command(command.clone()),
        }
    }

    /// Reads the secret in a file.
    ///
    /// # Errors
    /// When the file cannot be read, is not text, or is empty.
    pub fn read_file(path: PathBuf) -> Result<Self, SecretError> {
        Self::from_file(path)
    }

    pub(in crate::config) fn from_literal(value: &str) -> Result<Self, SecretError> {
        Self::new(Origin::Literal, value)
    }

    pub(in crate::config) fn from_file(path: PathBuf) -> Result<Self, SecretError> {
        match File::open(&path).and_then(read_text) {
            Ok(text) => Self::new(Origin::File(path), &text),
            Err(source) => Err(SecretError::File { path, source }),
        }
    }

    pub(in crate::config) fn from_env(name: String, env: &Env) -> Result<Self, SecretError> {
        let value = env.get(&name).map_err(SecretError::Env)?;
        let value =
            value.ok_or_else(|| SecretError::Env(format!("the variable {name} is not set")))?;
        Self::new(Origin::Env(name), value)
    }

    pub(in crate::config) fn from_command(command: Vec<String>) -> Result<Self, SecretError> {
        match command::output(&command) {
            Ok(text) => Self::new(Origin::Command(command), &text),
            Err(reason) => Err(SecretError::Command {
                program: command.into_iter().next().unwrap_or_default(),
                reason,
            }),
        }
    }

    pub(in crate::config) fn is_literal(&self) -> bool {
        self.origin == Origin::Literal
    }

    /// Cleans the value in the same way for every origin: the value must not depend on how it is passed.
    fn new(origin: Origin, value: &str) -> Result<Self, SecretError> {
        let meant = without_wrapping(value);
        if meant.trim().is_empty() {
            return Err(SecretError::Empty(origin.to_string()));
        }
        let value = SecretString::from(meant.to_owned());
        Ok(Self { origin, value })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal => f.write_str("literal"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "variable {name}"),
            Self::Command(command) => {
                write!(f, "command {}", command.first().map_or("", String::as_str))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, [redacted])", self.origin)
    }
}

/// Removes line ends and a byte order mark, which editors, `echo` and copying add unintentionally. Anything else may be
/// intended.
fn without_wrapping(text: &str) -> &str {
    text.trim_matches(['\n', '\r', '\u{feff}'])
}
