//! The store's errors.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why the store could not carry out an operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More writes are queued than `store.queue` allows.
    #[error("the store is behind: more writes wait than store.queue allows")]
    Overloaded,
    /// The write was not committed within `store.deadline`.
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
    /// The file is damaged and was moved aside.
    #[error(
        "{path} is damaged ({reason}) and was moved to {aside}. What was kept in it is not delivered: restore a backup \
         (suki-receiver store restore FILE), or recover what can be read (sqlite3 {aside} .recover | sqlite3 {path}), then \
         start again. Without that there is no start, unless you begin with an empty store (suki-receiver store init --empty). \
         If a backup was copied over the store: it does not go with the log that lay beside it; use store restore"
    )]
    Damaged {
        /// The store's path.
        path: PathBuf,
        /// Where the damaged file is now.
        aside: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A file of the store was replaced or removed while it was open.
    #[error(
        "{path} is not the file that is open: {why}. Put the file back that was there, or restart the service to go on with what is there now"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// What is at its path now.
        why: String,
    },
    /// There is no store at a path that still has other files of one.
    #[error(
        "there is no store at {path}, but files of an earlier one are still there: {}. Nothing was begun. Restore a backup \
         (`suki-receiver store restore FILE`), or begin with an empty store (`suki-receiver store init --empty`)",
        listed(traces)
    )]
    Missing {
        /// The store's path.
        path: PathBuf,
        /// The files that are left.
        traces: Vec<PathBuf>,
    },
    /// There is already a store at the path where an empty one was to be created.
    #[error("there is a store at {path}; an empty one is made only where there is none")]
    Exists {
        /// The store's path.
        path: PathBuf,
    },
    /// A backup that cannot be restored.
    #[error("{path} cannot be restored: {why}; the store is as it was")]
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
        "{path} is an older version's store, and a process of that version works on it: this version brings it up to date and cannot do so beside that one. Stop that process, then start this one; sockets that the service manager holds keep what comes meanwhile (docs/UPGRADE.md)"
    )]
    OlderRuns {
        /// The store's path.
        path: PathBuf,
    },
    /// A query took too long.
    #[error(
        "this query took longer than {0:?} and was cancelled; narrow it down, for instance by time"
    )]
    TooSlow(std::time::Duration),
    /// The store's folder or lock file cannot be created.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The schema cannot be migrated.
    #[error("cannot migrate the store (was it written by a newer version?): {0}")]
    Migration(#[from] refinery::Error),
    /// SQLite returned an error.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database cannot be reached, or did not answer in time.
    #[error("the database cannot be reached: {reason}")]
    Unreachable {
        /// The error of the driver, the socket or TLS. It holds no stored data.
        reason: String,
    },
    /// The database returned an error.
    #[error("the database refused (SQLSTATE {code}){}{}", if message.is_some() { ": " } else { "" }, message.as_deref().unwrap_or_default())]
    Database {
        /// The SQLSTATE: PostgreSQL's manual, appendix A.
        code: String,
        /// The database's message, left out where it could quote stored data.
        message: Option<String>,
    },
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
    /// A batch was rolled back because its commit failed.
    #[error("the store could not commit: {0}")]
    Commit(String),
    /// A stored row does not have the form that this version writes.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// Which column.
        what: &'static str,
    },
}

impl Error {
    /// Whether the store as a whole does not accept writes now. Not so when only this write is refused, or when the
    /// queue is full for a moment.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Deadline
            | Self::Closed
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Backup { .. }
            | Self::Older
            | Self::OlderRuns { .. }
            | Self::Io { .. }
            | Self::Replaced { .. }
            | Self::CaFile { .. }
            | Self::Tls(_)
            | Self::Migration(_)
            | Self::Commit(_)
            | Self::Unreachable { .. } => true,
            Self::Database { code, .. } => !is_about_the_data(code),
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
            ),
            Self::Overloaded | Self::TooSlow(_) | Self::Corrupt { .. } => false,
        }
    }

    /// Whether the file system is the cause, and only for now: it is full, read-only or failing.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Io { .. })
            || matches!(
                self.sqlite_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::ReadOnly
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                )
            )
    }

    /// Whether SQLite found the file to be damaged.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self.sqlite_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// SQLite's error code, at any depth of the error.
    fn sqlite_code(&self) -> Option<ErrorCode> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(rusqlite::Error::SqliteFailure(failure, _)) = error.downcast_ref() {
                return Some(failure.code);
            }
            cause = error.source();
        }
        None
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::Deadline
            | Self::Sqlite(_)
            | Self::Commit(_)
            | Self::Unreachable { .. }
            | Self::Replaced { .. }
            | Self::Io { .. } => true,
            Self::Database { code, .. } => !is_about_the_data(code),
            Self::Closed
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Backup { .. }
            | Self::Older
            | Self::OlderRuns { .. }
            | Self::TooSlow(_)
            | Self::CaFile { .. }
            | Self::Tls(_)
            | Self::Migration(_)
            | Self::Corrupt { .. } => false,
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// Whether a SQLSTATE concerns the values of one statement: its class is cardinality violation, data exception,
/// integrity constraint violation, WITH CHECK OPTION violation or program limit exceeded.
fn is_about_the_data(code: &str) -> bool {
    ["21", "22", "23", "44", "54"]
        .iter()
        .any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_what_no_event_could_be_written_in() {
        let database = |code: &str| Error::Database {
            code: code.to_owned(),
            message: None,
        };
        for code in [
            "25006", "53100", "57P01", "28P01", "42P01", "08006", "XX000",
        ] {
            assert!(database(code).is_outage(), "{code}");
        }
        for code in ["22021", "23514", "54000"] {
            assert!(!database(code).is_outage(), "{code}");
            assert!(!database(code).is_retryable(), "{code}");
        }
        assert!(!Error::Overloaded.is_outage());
        assert!(!Error::Corrupt { what: "row" }.is_outage());
    }
}
