//! Errors of a store that is open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::OpenError;

/// Why a store could not carry out an operation. A copy goes to each caller whose write was in a failed batch.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// The store is not open yet, and opening it failed.
    #[error(transparent)]
    NotOpen(Arc<OpenError>),
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
    /// A query took too long.
    #[error(
        "this query took longer than {0:?} and was cancelled; narrow it down, for instance by time"
    )]
    TooSlow(Duration),
    /// A file or folder of the store cannot be used.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// SQLite returned an error.
    #[error("the store failed: {0}")]
    Sqlite(#[source] Arc<rusqlite::Error>),
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
    /// The batch that the write was in could not be committed because of this error, which another write may have met.
    #[error("the store could not commit: {0}")]
    RolledBack(Arc<Error>),
    /// The write was not committed, for a reason that is not an error of the database.
    #[error("the store could not commit: {0}")]
    NotCommitted(&'static str),
    /// A stored row does not have the form that this version writes.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// Which column.
        what: &'static str,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error,
            other => Self::NotOpen(Arc::new(other)),
        }
    }
}

impl Error {
    /// Makes the error of a failed operation on the file or folder at `path`.
    pub(super) fn io(path: impl AsRef<Path>) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.as_ref().to_owned(),
            source: Arc::new(source),
        }
    }

    /// Whether the store as a whole does not accept writes now. Not so when only this write is refused, or when the
    /// queue is full for a moment.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Deadline
            | Self::Closed
            | Self::NotOpen(_)
            | Self::Io { .. }
            | Self::Replaced { .. }
            | Self::RolledBack(_)
            | Self::NotCommitted(_)
            | Self::Unreachable { .. } => true,
            Self::Database { code, .. } => !is_about_the_data(code),
            Self::Sqlite(error) => !says_refused(error),
            Self::Overloaded | Self::TooSlow(_) | Self::Corrupt { .. } => false,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::Deadline
            | Self::RolledBack(_)
            | Self::NotCommitted(_)
            | Self::Unreachable { .. }
            | Self::Replaced { .. }
            | Self::Io { .. } => true,
            Self::Database { code, .. } => !is_about_the_data(code),
            Self::Sqlite(error) => !says_refused(error) && !says_damaged(error),
            Self::Closed | Self::NotOpen(_) | Self::TooSlow(_) | Self::Corrupt { .. } => false,
        }
    }

    /// Whether only the stored row that was read is the cause: other rows can be read.
    pub(super) fn is_of_the_row(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Sqlite(error) => matches!(
                **error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
            ),
            _ => false,
        }
    }

    /// Whether SQLite found the file to be damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => says_damaged(error),
            Self::RolledBack(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether the file system is the cause, and only for now: it is full, read-only or failing.
    pub(super) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Sqlite(error) => says_disk(error),
            _ => false,
        }
    }
}

/// Whether SQLite refuses the values of one statement.
fn says_refused(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}

/// Whether SQLite's error says that the file is damaged.
pub(super) fn says_damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Whether SQLite's error says that the disk does not take or give what it should.
pub(super) fn says_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
        )
    )
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
