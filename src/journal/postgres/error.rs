//! Translates errors of the server and the driver into the journal's errors, without any stored data: a server's
//! message may quote it ("Key (session_id)=(…) already exists").

use std::error::Error as _;
use std::time::Duration;

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::journal::Error;

/// The classes of SQLSTATE whose messages concern the connection or the server, never data: connection, authorization,
/// unknown database, resources, operator intervention.
const ABOUT_THE_SERVER: [&str; 5] = ["08", "28", "3D", "53", "57"];

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refused) = error.as_db_error() {
            return refusal(refused);
        }
        // These are messages of the driver, the socket or TLS.
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason.push_str(": ");
            reason.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::Unreachable { reason }
    }
}

fn refusal(refused: &DbError) -> Error {
    let code = refused.code().code();
    let is_safe = ABOUT_THE_SERVER.iter().any(|class| code.starts_with(class));
    let message = if refused.code() == &SqlState::UNDEFINED_TABLE {
        Some("its tables are not there; the service makes them when it starts".to_owned())
    } else {
        is_safe.then(|| refused.message().to_owned())
    };
    Error::Database {
        code: code.to_owned(),
        message,
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        let unreachable = |reason: &str| Self::Unreachable {
            reason: reason.to_owned(),
        };
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                unreachable("all connections of store.pool_size are busy")
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                unreachable("no connection within its time limit")
            }
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => Self::Closed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                unreachable("the pool is not set up")
            }
        }
    }
}

/// Runs the work, and fails when it takes longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Unreachable {
            reason: format!("no answer within {} s", limit.as_secs()),
        })
    })
}

/// The class of the SQLSTATE, if the server returned one.
pub(super) fn class(error: &Error) -> Option<&str> {
    match error {
        Error::Database { code, .. } => code.get(..2),
        _ => None,
    }
}
