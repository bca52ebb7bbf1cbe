//! The loop that all work goes through: wait for room, claim what is due, work on each item in a task of its own.
//!
//! Room is taken before claiming, so nothing is held that cannot be started. A wake-up makes it look at once; else it
//! looks now and then, which finds retries that became due, leases that ran out and wake-ups that were dropped.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use crate::journal::{self, Wakeups};
use crate::lifecycle::Shutdown;

/// How often the loop looks without being woken.
const SWEEP: Duration = Duration::from_millis(250);
/// Most items claimed at once.
const BATCH: usize = 64;
/// A wait after a claim that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// One kind of work.
#[async_trait]
pub(super) trait Work: Send + Sync + 'static {
    /// What is claimed.
    type Item: Send + 'static;
    /// What an item's task is called while a drain waits for it.
    const NAME: &'static str;

    /// Claims at most `limit` due items.
    async fn claim(&self, limit: usize) -> Result<Vec<Self::Item>, journal::Error>;

    /// Does one item, start to end, and writes down how it went.
    async fn work(&self, item: Self::Item);
}

/// Something that rings when there may be work.
pub(super) trait Bell: Send {
    /// Waits for it to ring. Rings that came meanwhile count as one.
    fn ring(&mut self) -> impl Future<Output = ()> + Send;
}

impl Bell for Wakeups {
    async fn ring(&mut self) {
        if self.recv().await.is_none() {
            // The journal's handles are gone: the service is stopping.
            std::future::pending::<()>().await;
        }
        while self.try_recv().is_ok() {}
    }
}

impl Bell for Arc<Notify> {
    async fn ring(&mut self) {
        self.notified().await;
    }
}

/// Works until `tasks` stops. Items that are under way then go on in tasks of the group.
pub(super) async fn run<W: Work>(
    work: W,
    mut bell: impl Bell,
    concurrency: usize,
    tasks: &Shutdown,
) {
    let work = Arc::new(work);
    let room = Arc::new(Semaphore::new(concurrency));
    let mut is_well = true;
    loop {
        let Ok(first) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let more = room.available_permits().min(BATCH - 1);
        let Ok(mut permits) =
            Arc::clone(&room).try_acquire_many_owned(u32::try_from(more).unwrap_or(0))
        else {
            continue;
        };
        permits.merge(first);
        if tasks.is_stopping() {
            return;
        }
        let limit = permits.num_permits();
        let claimed = match work.claim(limit).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // Said once: an outage of an hour is one line, not thousands.
                if is_well {
                    tracing::error!(error = %error, work = W::NAME, "cannot claim work; trying again until it can");
                }
                is_well = false;
                drop(permits);
                pause(AFTER_ERROR, tasks).await;
                continue;
            }
        };
        if !is_well {
            tracing::info!(work = W::NAME, "work is claimed again");
            is_well = true;
        }
        let is_all = claimed.len() < limit;
        for item in claimed {
            let permit = permits.split(1);
            let work = Arc::clone(&work);
            tasks.spawn(W::NAME, async move {
                work.work(item).await;
                drop(permit);
            });
        }
        drop(permits);
        if is_all {
            tokio::select! {
                () = bell.ring() => {}
                () = pause(SWEEP, tasks) => {}
            }
        }
    }
}

async fn pause(time: Duration, tasks: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = tasks.stopping() => {}
    }
}
