//! Where a value was set, as errors and the effective configuration show it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value was set. Ordered by precedence: later ones win.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nowhere: the value is the typed default.
    Default,
    /// In the TOML file.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
    },
    /// In the environment variable of this name.
    Env(String),
    /// By a flag for this dotted key.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(key) => write!(f, "flag --set {key}"),
        }
    }
}
