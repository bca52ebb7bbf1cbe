//! What is wrong with a configuration. Everything at once, since fixing one error a restart is no way to start a service.
//!
//! Texts made here never hold a value; those that hold one come from keys that are no secrets.

use std::fmt;

use super::Source;
use super::dump::one_line;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, such as `server.listen` or `sinks.ehr.url`.
    pub key: String,
    /// Where its value stands; `None` where nothing was set.
    pub source: Option<Source>,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// What is wrong with a key's value when it is used, such as a file that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// The dotted key.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All that is wrong, in the order in which the sections are read. Displayed one a line.
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

/// How a message starts that can only list what is known.
pub(in crate::config) const UNKNOWN_KEY: &str = "unknown key; known here: ";

/// What to say about a key that nothing reads: the nearest known one, or else all of them.
pub(in crate::config) fn unknown_key(key: &str, known: &[&str]) -> String {
    /// Below this the nearest key is more likely a surprise than a help.
    const ALIKE: f64 = 0.6;
    // Keys are in small letters and have underscores; in TOML another spelling is another key.
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
