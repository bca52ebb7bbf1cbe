//! Problems of a configuration. All are reported at once, so that an operator need not restart after fixing each one.
//!
//! This module's own messages never contain a value; messages that do come only from keys that are not secret.

use std::fmt;

use super::Source;
use super::dump::one_line;

/// A problem of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, such as `server.listen` or `sinks.ehr.url`.
    pub key: String,
    /// Where the value was set; `None` if it was not set.
    pub source: Option<Source>,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// A problem that is found when a key's value is used, such as a missing file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// The dotted key.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All problems, in the order in which the sections are read. Displayed one on each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            source,
            message,
        } = self;
        let (key, message) = (one_line(key), one_line(message));
        match source {
            Some(source) => write!(f, "{key} ({source}): {message}"),
            None => write!(f, "{key} (not set): {message}"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The beginning of a message that lists the known keys because it has no better suggestion.
pub(in crate::config) const UNKNOWN_KEY: &str = "unknown key; known here: ";

/// The message for an unknown key: a suggestion of the most similar known key, or else a list of all.
pub(in crate::config) fn unknown_key(key: &str, known: &[&str]) -> String {
    /// Below this similarity a suggestion is more likely to confuse than to help.
    const ALIKE: f64 = 0.6;
    // Keys are in lower case with underscores. TOML treats any other spelling as another key.
    let plain = key.to_ascii_lowercase().replace('-', "_");
    let nearest = known
        .iter()
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(&plain, candidate),
                candidate,
            )
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((likeness, candidate)) if likeness >= ALIKE => {
            format!("unknown key; did you mean '{candidate}'?")
        }
        _ => format!("{UNKNOWN_KEY}{}", known.join(", ")),
    }
}
