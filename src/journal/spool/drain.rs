//! Moves spooled events into the store, oldest first, as soon as the store accepts them. Only the drain finds out that
//! the store is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Bounds, Error, Records, Spool, Store};
use crate::domain::{Clock, EventId};
use crate::journal::Appended;
use crate::journal::deadline::within;
use crate::journal::dispatch::Dispatcher;
use crate::journal::sqlite::Spooled;
use crate::metrics::Metrics;

/// The most events, and the most bytes, that are moved in one batch.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// The backoff while the store is down: doubled from the first wait to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// The wait between two attempts to open the spool's file or to take it over.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often the drain checks for work when it is not notified.
const IDLE: Duration = Duration::from_secs(5);

/// The drain of the spool.
pub(in crate::journal) struct Drain<'a> {
    pub(in crate::journal) spool: Spool,
    pub(in crate::journal) store: &'a dyn Store,
    pub(in crate::journal) dispatcher: Dispatcher,
    pub(in crate::journal) bounds: Bounds,
    pub(in crate::journal) metrics: Metrics,
    pub(in crate::journal) clock: Clock,
}

/// The result of a round.
enum Round {
    /// The store is up, and the spool holds nothing but events that wait for an operator.
    AtRest,
    /// There may be more to move.
    Again,
    /// The store or the spool's file failed.
    Failed,
}

/// The result of a batch.
#[derive(Default)]
struct Batch {
    /// The number of events that the store accepted and that were removed from the spool.
    moved: usize,
    /// The number of events that the store refuses because of their data, or that cannot be read or removed. They stay
    /// for an operator.
    refused: u64,
    /// Whether some stay because the store did not accept so many within the deadline.
    is_late: bool,
    /// Whether some stay because the store failed, or because they could not be removed from the spool.
    has_failed: bool,
}

impl Drain<'_> {
    /// Drains the spool. Never returns.
    pub(in crate::journal) async fn run(&self) {
        while let Err(error) = self.spool.own().await {
            tracing::error!(error = %error, "the spool cannot be drained yet; trying again");
            // Only this loop can find out that the store is back.
            if self.spool.switch.is_down() {
                self.check_store().await;
            }
            tokio::time::sleep(AFTER_ERROR).await;
        }
        let (mut wait, mut size) = (FIRST_WAIT, BATCH);
        loop {
            let round = self.round(&mut size).await;
            self.count().await;
            match round {
                Round::Again => wait = FIRST_WAIT,
                Round::AtRest => {
                    wait = FIRST_WAIT;
                    tokio::select! {
                        () = self.spool.filled.notified() => {}
                        () = tokio::time::sleep(IDLE) => {}
                    }
                }
                Round::Failed => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        }
    }

    /// Moves what is spooled, in batches of `size`. The size is halved when a batch misses the deadline, since a slow
    /// connection may manage a smaller one, and doubled again when a batch is accepted.
    async fn round(&self, size: &mut usize) -> Round {
        let (mut after, mut moved, mut refused, start) = (0, 0, 0, Instant::now());
        loop {
            let batch = match self.next(after, *size).await {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(error = %error, "the spool cannot be read; trying again");
                    // Even if the spool is broken, a store that is up must get new notifications.
                    self.check_store().await;
                    return Round::Failed;
                }
            };
            let Some((last, _)) = batch.last() else { break };
            after = *last;
            let went = self.move_batch(batch).await;
            moved += went.moved;
            refused += went.refused;
            self.count().await;
            // Start again from the oldest event, to keep the order.
            if went.is_late && *size > 1 {
                *size /= 2;
                return Round::Again;
            }
            if went.is_late || went.has_failed {
                return Round::Failed;
            }
            *size = (*size * 2).min(BATCH);
        }
        self.spool.refuses(refused);
        if self.spool.switch.is_down() && !self.check_store().await {
            return Round::Failed;
        }
        if let Err(error) = self.move_rejected().await {
            tracing::warn!(error = %error, "rejected requests stay in the spool; trying again");
            return Round::Failed;
        }
        if moved == 0 {
            return Round::AtRest;
        }
        tracing::info!(
            events = moved,
            took_ms = start.elapsed().as_millis(),
            "the spool was drained into the store"
        );
        Round::Again
    }

    async fn next(&self, after: i64, size: usize) -> Result<Vec<Spooled>, Error> {
        let file = self.spool.file()?;
        file.oldest(after, size, BATCH_BYTES / BATCH * size).await
    }

    /// Checks whether the store accepts notifications, and if so switches appends back to it.
    async fn check_store(&self) -> bool {
        let taken = within(self.spool.deadline, self.store.check()).await;
        if let Err(error) = &taken {
            tracing::debug!(error = %error, "the store is still down");
        }
        self.report(taken).is_ok()
    }

    /// Moves a batch. The store commits it as one; each event is removed from the spool only after that.
    async fn move_batch(&self, batch: Vec<Spooled>) -> Batch {
        let appends = batch.into_iter().map(|(number, event)| async move {
            let event = event?;
            let id = event.id;
            let kept = within(
                self.spool.deadline,
                self.store.append(Arc::new(event), false),
            )
            .await;
            kept.map(|kept| (number, id, kept.appended))
        });
        let (mut moved, mut batch, mut outage) = (Vec::new(), Batch::default(), None);
        for kept in join_all(appends).await {
            match kept {
                Ok((number, id, appended)) => {
                    moved.push(number);
                    self.announce(id, appended);
                }
                // A whole batch may take longer than the single event that an intake waits for.
                Err(Error::Deadline | Error::Overloaded) => batch.is_late = true,
                Err(error) if error.is_outage() => outage = Some(error),
                Err(error) => {
                    batch.refused += 1;
                    tracing::debug!(error = %error, "the store refuses a spooled notification");
                }
            }
        }
        // Set the switch before touching the spool's file: the file may be what is broken, and the store must not wait
        // for it.
        if let Some(error) = outage {
            tracing::debug!(error = %error, "the store is still down");
            batch.has_failed = true;
            self.report::<()>(Err(error)).ok();
        } else if !moved.is_empty() {
            self.report(Ok(())).ok();
        }
        let count = moved.len();
        match self.remove(moved).await {
            Ok(removed) => {
                batch.moved = removed;
                batch.refused += (count - removed) as u64;
            }
            // When they are moved again, the store finds them to be duplicates of themselves.
            Err(error) => {
                tracing::error!(error = %error, "notifications that were moved to the store cannot be removed from the spool; trying again");
                batch.has_failed = true;
            }
        }
        batch
    }

    /// Removes moved events and returns how many. Near a damaged page some may have to stay; the store will find these to
    /// be duplicates of themselves.
    async fn remove(&self, numbers: Vec<i64>) -> Result<usize, Error> {
        if numbers.is_empty() {
            return Ok(0);
        }
        let (file, count) = (self.spool.file()?, numbers.len());
        match file.remove(numbers.clone()).await {
            Err(error) if error.is_damage() => {}
            result => return result.map(|()| count),
        }
        let mut removed = 0;
        for number in numbers {
            if file.remove(vec![number]).await.is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn move_rejected(&self) -> Result<(), Error> {
        let file = self.spool.file()?;
        loop {
            let batch = file.rejected(0, 16).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let (numbers, requests) = batch.into_iter().unzip();
            let kept = self.store.keep_rejected(requests, self.bounds);
            self.report(within(self.spool.deadline, kept).await)?;
            file.forget_rejected(numbers).await?;
        }
    }

    /// Wakes the worker for a new event. Logs an event that the store already had under another id, since its sender
    /// was answered with this one.
    fn announce(&self, id: EventId, appended: Appended) {
        match appended {
            Appended::Duplicate(first) if first != id => {
                tracing::info!(event.id = %first, spooled.id = %id, "a spooled notification was known already");
            }
            Appended::New(_) | Appended::Duplicate(_) => {
                self.dispatcher.notify();
            }
        }
    }

    /// Sets the switch according to the store's result.
    fn report<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => {
                if self.spool.switch.up() {
                    tracing::info!("the store takes notifications again");
                }
            }
            Err(error) if error.is_outage() => self.spool.store_failed(error),
            Err(_) => {}
        }
        result
    }

    async fn count(&self) {
        match self.spool.count().await {
            Ok((count, since)) => {
                let age = since.map(|since| self.clock.now().duration_since(since));
                let age = age.and_then(|age| Duration::try_from(age).ok());
                self.metrics.spool(count, age.unwrap_or_default());
            }
            Err(error) => tracing::warn!(error = %error, "cannot count what is in the spool"),
        }
    }
}
