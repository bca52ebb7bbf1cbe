//! The loop that all work goes through: wait for room, claim what is due, work on each item in a task of its own.
//!
//! Room is taken before claiming, so nothing is held that cannot be started. A wake-up makes it look at once; else it
//! looks now and then, which finds retries that became due and work that others gave back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::journal::{self, Admission, Journal, Permit};
use crate::lifecycle::TaskGroup;

/// How often the loop looks without being woken.
const SWEEP: Duration = Duration::from_millis(250);
/// Most items claimed at once.
const BATCH: usize = 64;
/// A wait after a claim that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long to wait for a quarter of the room while more is due than there is room for, and the shortest time between two
/// looks: one claim is then for many.
const GATHER: Duration = Duration::from_millis(5);

/// One kind of work.
#[async_trait]
pub(super) trait Work: Send + Sync + 'static {
    /// What is claimed.
    type Item: Send + 'static;
    /// What an item's task is called while a drain waits for it.
    const NAME: &'static str;

    /// Claims at most `limit` due items.
    async fn claim(&self, limit: usize) -> Result<Vec<Self::Item>, journal::Error>;

    /// Whether work may be let in that was not claimed.
    fn lets_in(&self) -> bool;

    /// Does one item, start to end, and writes down how it went. It makes room as soon as it is done.
    async fn work(self: Arc<Self>, item: Self::Item, permit: Permit);
}

/// Where a loop works.
pub(super) struct Loop {
    pub(super) journal: Journal,
    pub(super) admission: Admission,
    pub(super) wakeup: Arc<Notify>,
    pub(super) tasks: TaskGroup,
}

impl Loop {
    /// Works until `tasks` stops. Items that are under way then go on in tasks of the group.
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
                    // Said once: an outage of an hour is one line, not thousands.
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
