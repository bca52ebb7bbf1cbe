//! A secret: where it comes from and what it is. Prints `[redacted]`, whatever asks.

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

/// A secret with a name, for lists in which several are valid at once.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// Its name; in logs and metrics in place of the value.
    pub id: String,
    /// The secret.
    pub secret: Secret,
}

/// Why a secret could not be had. Holds nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, unreadable or not text.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
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
        /// What happened.
        reason: String,
    },
    /// There is a value, and it is empty.
    #[error("the {0} is empty or blank; a secret must not be")]
    Empty(String),
}

impl Secret {
    /// A secret given as such.
    pub fn literal(value: impl Into<String>) -> Self {
        Self {
            origin: Origin::Literal,
            value: SecretString::from(value.into()),
        }
    }

    /// The value. Call it where the value is used and nowhere else.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Where it comes from, in words and without the value; of a command only the program.
    pub fn origin(&self) -> String {
        self.origin.to_string()
    }

    /// The secret as its file or command has it now; one from elsewhere is what it was. Blocks.
    pub fn reread(&self) -> Result<Self, SecretError> {
        match &self.origin {
            Origin::Literal | Origin::Env(_) => Ok(self.clone()),
            Origin::File(path) => Self::from_file(path.clone()),
            Origin::Command(command) => Self::from_command(command.clone()),
        }
    }

    /// The secret in a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no text, or holds nothing.
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

    /// Of every origin the same: what a value is must not depend on how it is handed over.
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

/// Editors, `echo` and copying add line ends and a byte order mark that are not meant. Anything else may be.
fn without_wrapping(text: &str) -> &str {
    text.trim_matches(['\n', '\r', '\u{feff}'])
}
