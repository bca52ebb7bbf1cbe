//! The loop of every kind of work: wait for a permit, claim due work, and process each item in a task of its own.
//!
//! Permits are taken before work is claimed, so no lease is held on work that cannot be started. A wake-up makes the
//! loop claim at once. Without one it claims at regular intervals, which finds retries that became due and work that
//! other instances gave back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::journal::{self, Admission, Journal, Permit};
use crate::lifecycle::TaskGroup;

/// How often the loop claims without being woken.
const SWEEP: Duration = Duration::from_millis(250);
/// The most items of one claim.
const BATCH: usize = 64;
/// The wait after a failed claim.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// While more work is due than there are permits: how long to wait until a quarter of the permits is free, so that one
/// claim serves many items. Also the shortest time between two claims.
const GATHER: Duration = Duration::from_millis(5);

/// A kind of work.
#[async_trait]
pub(super) trait Work: Send + Sync + 'static {
    /// The type of a claimed item.
    type Item: Send + 'static;
    /// The name of an item's task in the log, while a drain waits for it.
    const NAME: &'static str;

    /// Claims at most `limit` due items.
    async fn claim(&self, limit: usize) -> Result<Vec<Self::Item>, journal::Error>;

    /// Whether new work from the intake is admitted without a claim.
    fn lets_in(&self) -> bool;

    /// Processes one item and records how it ended. Drops the permit as soon as the work is done.
    async fn work(self: Arc<Self>, item: Self::Item, permit: Permit);
}

/// What the loop of one kind of work needs.
pub(super) struct Loop {
    pub(super) journal: Journal,
    pub(super) admission: Admission,
    pub(super) wakeup: Arc<Notify>,
    pub(super) tasks: TaskGroup,
}

impl Loop {
    /// Runs until `tasks` stops. Items under way then run to their end as tasks of the group.
    pub(super) async fn run<W: Work>(self, work: Arc<W>) {
        self.claim_and_work(&work).await;
        self.admission.set_open(false);
    }

    async fn claim_and_work<W: Work>(&self, work: &Arc<W>) {
        let room = self.admission.room();
        let most = room.available_permits();
        let (mut is_healthy, mut is_all) = (true, true);
        loop {
            let Ok(first) = Arc::clone(room).acquire_owned().await else {
                return;
            };
            let mut permits = first;
            if !is_all {
                let quarter = u32::try_from(most / 4).unwrap_or(0);
                let more = Arc::clone(room).acquire_many_owned(quarter);
                if let Ok(Ok(more)) = tokio::time::timeout(GATHER, more).await {
                    permits.merge(more);
                }
            }
            let more = room
                .available_permits()
                .min(BATCH.saturating_sub(permits.num_permits()));
            if let Ok(more) =
                Arc::clone(room).try_acquire_many_owned(u32::try_from(more).unwrap_or(0))
            {
                permits.merge(more);
            }
            if self.tasks.is_stopping() {
                return;
            }
            let is_alive = self.journal.is_alive();
            self.admission.set_open(is_alive && work.lets_in());
            if !is_alive {
                drop(permits);
                self.pause(SWEEP).await;
                continue;
            }
            let (limit, looked) = (permits.num_permits(), Instant::now());
            let claimed = match work.claim(limit).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    // Logged once: an outage of an hour makes one line, not thousands.
                    if is_healthy {
                        tracing::error!(error = %error, work = W::NAME, "cannot claim work; trying again until it can");
                    }
                    is_healthy = false;
                    drop(permits);
                    self.pause(AFTER_ERROR).await;
                    continue;
                }
            };
            if !is_healthy {
                tracing::info!(work = W::NAME, "work is claimed again");
                is_healthy = true;
            }
            is_all = claimed.len() < limit;
            for item in claimed {
                if let Some(permit) = permits.split(1) {
                    self.tasks
                        .spawn(W::NAME, Arc::clone(work).work(item, permit));
                }
            }
            drop(permits);
            if is_all {
                tokio::select! {
                    () = self.wakeup.notified() => self.pause(GATHER.saturating_sub(looked.elapsed())).await,
                    () = self.pause(SWEEP) => {}
                }
            }
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.tasks.stopping() => {}
        }
    }
}
