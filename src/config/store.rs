//! `[store]`: where notifications are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where notifications are kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store.
    pub url: StoreUrl,
    /// Folder of the local spool. Only used with PostgreSQL.
    pub spool_dir: PathBuf,
    /// How long an answer waits for the commit before it is a 503.
    pub deadline: Duration,
    /// Most notifications waiting for their commit at once; beyond it the answer is 503 at once.
    pub queue: usize,
}

/// The kinds of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: the embedded store, for one instance.
    Sqlite(PathBuf),
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/receiver.db")),
            spool_dir: PathBuf::from("data/spool"),
            deadline: Duration::from_secs(2),
            queue: 8192,
        }
    }
}
