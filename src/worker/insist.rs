//! Writing down how work ended, while the store may be failing: what is not written down is done once more, so it is
//! worth trying for as long as the lease stands.

use std::time::{Duration, Instant};

use crate::journal::Error;

/// Waits between two tries: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Calls `write` until it succeeds, fails for good, or `lease` is over.
///
/// # Errors
/// The last one.
pub(super) async fn insist<T, F>(lease: Duration, mut write: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let (deadline, mut wait) = (Instant::now() + lease, FIRST_WAIT);
    loop {
        match write().await {
            Err(error) if error.is_retryable() && Instant::now() + wait < deadline => {
                tracing::debug!(error = %error, "a result is not written down yet; trying again");
            }
            result => return result,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_WAIT);
    }
}
