//! Errors of opening, creating or restoring a store.

use std::path::PathBuf;

use super::Error;
use super::error::{says_damaged, says_disk};

/// Why a store cannot be opened, created or restored.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves from this file.
    #[error(
        "{path} is in use by another running receiver; stop it, or set store.url to another file (with PostgreSQL, store.spool_dir to another folder)"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged and was moved aside.
    #[error(
        "{path} is damaged ({reason}) and was moved to {aside}. The notifications in it are not delivered unless you restore \
         a backup (suki-receiver store restore FILE) or recover what can be read (sqlite3 {aside} .recover | sqlite3 {path}). \
         The service does not start until then, or until you create an empty store (suki-receiver store init --empty). \
         If a backup was copied over the store by hand, the log beside it is not the backup's; use store restore"
    )]
    Damaged {
        /// The store's path.
        path: PathBuf,
        /// Where the damaged file is now.
        aside: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// There is no store at a path that still has other files of one.
    #[error(
        "there is no store at {path}, but files of an earlier one are still there: {}. No new store was created. Restore a \
         backup (`suki-receiver store restore FILE`), or create an empty store (`suki-receiver store init --empty`)",
        listed(traces)
    )]
    Missing {
        /// The store's path.
        path: PathBuf,
        /// The files that are left.
        traces: Vec<PathBuf>,
    },
    /// There is already a store at the path where an empty one was to be created.
    #[error("there already is a store at {path}; an empty one is created only where there is none")]
    Exists {
        /// The store's path.
        path: PathBuf,
    },
    /// A backup that cannot be restored.
    #[error("{path} cannot be restored: {why}; the store was not changed")]
    Backup {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store has an older version's schema, and this process may not migrate it.
    #[error(
        "the store was last used by an older version; start the service with this version once, or use that version's command"
    )]
    Older,
    /// A process of an older version is using the store, so this version may not migrate it.
    #[error(
        "{path} is the store of an older version, and a process of that version is using it. This version must migrate the schema and cannot do so until that process has ended. Stop it, then start this one; connections to sockets that the service manager holds wait meanwhile (docs/UPGRADE.md)"
    )]
    OlderRuns {
        /// The store's path.
        path: PathBuf,
    },
    /// The schema cannot be migrated.
    #[error("cannot migrate the store (was it written by a newer version?): {0}")]
    Migration(#[from] refinery::Error),
    /// The file of additional trusted certificate authorities cannot be used.
    #[error("store.ca_file {path}: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// rustls refuses the TLS settings.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// An operation on the store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl OpenError {
    /// Whether SQLite found the file to be damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::Migration(error) => of_sqlite(error).is_some_and(says_damaged),
            _ => false,
        }
    }

    /// Whether the file system is the cause, and only for now: it is full, read-only or failing.
    pub(super) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Store(error) => error.is_of_the_disk(),
            Self::Migration(error) => of_sqlite(error).is_some_and(says_disk),
            _ => false,
        }
    }
}

/// SQLite's error, at any depth of a failed migration.
fn of_sqlite(error: &refinery::Error) -> Option<&rusqlite::Error> {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    })
    .find_map(|error| error.downcast_ref())
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}
