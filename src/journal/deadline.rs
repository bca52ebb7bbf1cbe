//! The time limit on a write that a sender waits for.

use std::time::Duration;

use super::Error;

/// The result, or [`Error::Deadline`]. A write that missed the deadline may still be committed.
pub(super) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| Error::Deadline)?
}
