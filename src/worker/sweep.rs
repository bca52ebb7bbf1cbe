//! Retention: removes, in small steps, what has reached the end of its retention.

use std::time::Duration;

use super::Shared;
use crate::config::Retention;
use crate::domain::Millis;
use crate::journal::{Expiry, Purged};
use crate::lifecycle::TaskGroup;

/// The interval of retention runs when there was nothing to remove.
const EVERY: Duration = Duration::from_secs(60);
/// A pause between two batches, so that appends are not delayed.
const PAUSE: Duration = Duration::from_millis(50);
/// The most events of one batch.
const BATCH: usize = 200;

/// Purges until `tasks` stops.
pub(super) async fn run(shared: &Shared, retention: Retention, tasks: &TaskGroup) {
    loop {
        let pause = match purge(shared, retention).await {
            Some(purged) if !purged.is_all => PAUSE,
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
