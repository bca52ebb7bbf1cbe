//! What can go wrong in the store.

use std::path::PathBuf;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More writes are waiting than `store.queue` allows.
    #[error("the store is behind: more writes wait than store.queue allows")]
    Overloaded,
    /// The commit did not come within `store.deadline`.
    #[error("the store did not answer within store.deadline")]
    Deadline,
    /// The store is shut down.
    #[error("the store is closed")]
    Closed,
    /// Another process serves from this file.
    #[error(
        "{path} is in use by another running receiver; stop it, or set store.url to another file"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file's folder or lock cannot be made.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the store (was it written by a newer version?): {0}")]
    Migration(#[from] refinery::Error),
    /// SQLite says no.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A batch was rolled back because its commit failed.
    #[error("the store could not commit: {0}")]
    Commit(String),
    /// A stored row is not what this version writes.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// Which column.
        what: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::Deadline
            | Self::Sqlite(_)
            | Self::Commit(_)
            | Self::Io { .. } => true,
            Self::Closed | Self::InUse { .. } | Self::Migration(_) | Self::Corrupt { .. } => false,
        }
    }
}
