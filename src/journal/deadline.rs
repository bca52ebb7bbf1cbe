//! How long a sender waits for a write.

use std::time::Duration;

use super::Error;

/// The result, or a missed deadline. What was begun may end all the same.
pub(super) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| Error::Deadline)?
}
