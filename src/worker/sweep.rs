//! Retention: removes what has been delivered for long enough, a little at a time.

use std::time::Duration;

use super::Shared;
use crate::config::Retention;
use crate::domain::Millis;
use crate::journal::{Expiry, Purged};
use crate::lifecycle::TaskGroup;

/// How often retention looks when there was nothing to do.
const EVERY: Duration = Duration::from_secs(60);
/// A breath between two batches, so that the intake is not held up.
const BREATH: Duration = Duration::from_millis(50);
/// Most events of one batch.
const BATCH: usize = 200;

/// Purges until `tasks` stops.
pub(super) async fn run(shared: &Shared, retention: Retention, tasks: &TaskGroup) {
    loop {
        let pause = match purge(shared, retention).await {
            Some(purged) if !purged.is_all => BREATH,
            Some(_) | None => EVERY,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tasks.stopping() => return,
        }
    }
}

async fn purge(shared: &Shared, retention: Retention) -> Option<Purged> {
    let now = shared.clock.monotonic();
    let before = |age: Duration| {
        now.saturating_sub(Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX))
    };
    let expiry = Expiry {
        content: before(retention.content),
        dead: retention.dead.map(before),
        quarantined: retention.quarantined.map(before),
        receipts: before(retention.receipts),
    };
    match shared.journal.records().retain(expiry, BATCH).await {
        Ok(purged) => {
            if purged != Purged::default() {
                tracing::info!(
                    content = purged.content,
                    receipts = purged.receipts,
                    "retention purged"
                );
            }
            Some(purged)
        }
        Err(error) => {
            tracing::warn!(error = %error, "retention could not purge; trying again later");
            None
        }
    }
}
