//! Moves what is spooled into the store, oldest first, as soon as the store takes it. The one place that finds out that
//! the store is back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::{Bounds, Error, NewEvent, Spool, Store};
use crate::domain::EventId;
use crate::journal::Appended;
use crate::journal::deadline::within;
use crate::metrics::Metrics;

/// Most events moved at once, and most bytes of them.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// Waits between attempts while the store is down: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often the drain looks when nothing tells it to.
const IDLE: Duration = Duration::from_secs(5);

/// The moving of spooled events.
pub(in crate::journal) struct Drain<'a> {
    pub(in crate::journal) spool: Spool,
    pub(in crate::journal) store: &'a dyn Store,
    pub(in crate::journal) wake: mpsc::Sender<EventId>,
    pub(in crate::journal) bounds: Bounds,
    pub(in crate::journal) metrics: Metrics,
}

/// How a round went.
enum Round {
    /// Nothing is spooled, and the store is up.
    Idle,
    /// Something was moved; there may be more.
    Moved,
    /// What is left is refused by a store that is up: it waits for an operator, and is tried again now and then.
    Stuck,
}

impl Drain<'_> {
    /// Drains for ever.
    pub(in crate::journal) async fn run(&self) {
        if let Err(error) = self.spool.file.own().await {
            tracing::error!(error = %error, "the spool cannot be taken over; it is drained at the next start");
            return std::future::pending().await;
        }
        let mut wait = FIRST_WAIT;
        loop {
            let round = self.round().await;
            self.count().await;
            match round {
                Ok(Round::Moved) => wait = FIRST_WAIT,
                Ok(Round::Idle | Round::Stuck) => {
                    wait = FIRST_WAIT;
                    tokio::select! {
                        () = self.spool.filled.notified() => {}
                        () = tokio::time::sleep(IDLE) => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %error, "the store is still down");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        }
    }

    async fn round(&self) -> Result<Round, Error> {
        self.move_unauthentic().await?;
        let (mut after, mut moved, start) = (0, 0, Instant::now());
        loop {
            let batch = self.spool.file.oldest(after, BATCH, BATCH_BYTES).await?;
            let Some((last, _)) = batch.last() else { break };
            after = *last;
            moved += self.move_batch(batch).await?;
            self.count().await;
        }
        if moved == 0 && self.spool.switch.is_down() {
            self.tell(within(self.spool.deadline, self.store.check()).await)?;
        }
        if moved > 0 {
            tracing::info!(
                events = moved,
                took_ms = start.elapsed().as_millis(),
                "the spool was drained into the store"
            );
            return Ok(Round::Moved);
        }
        Ok(if after == 0 {
            Round::Idle
        } else {
            Round::Stuck
        })
    }

    /// Moves a batch, and says how many of it. The store commits it as one; each event is removed here only after that.
    async fn move_batch(&self, batch: Vec<(i64, NewEvent)>) -> Result<usize, Error> {
        let appends = batch.into_iter().map(|(number, event)| async move {
            let id = event.id;
            let kept = within(self.spool.deadline, self.store.append(event)).await;
            (number, id, kept)
        });
        let (mut moved, mut outage) = (Vec::new(), None);
        for (number, id, kept) in join_all(appends).await {
            match kept {
                Ok(appended) => {
                    moved.push(number);
                    self.announce(id, appended);
                }
                Err(error) if error.is_outage() || matches!(error, Error::Overloaded) => {
                    outage = Some(error);
                }
                Err(error) => {
                    tracing::error!(event.id = %id, error = %error, "the store refuses a spooled notification; it stays in the spool");
                }
            }
        }
        let count = moved.len();
        self.spool.file.remove(moved).await?;
        self.tell(outage.map_or(Ok(()), Err))?;
        Ok(count)
    }

    async fn move_unauthentic(&self) -> Result<(), Error> {
        loop {
            let batch = self.spool.file.unauthentic(0, 16).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let (numbers, requests) = batch.into_iter().unzip();
            let kept = self.store.keep_unauthentic(requests, self.bounds);
            self.tell(within(self.spool.deadline, kept).await)?;
            self.spool.file.forget_unauthentic(numbers).await?;
        }
    }

    /// The worker is told of what is new. What the store knew under another id was answered under this one.
    fn announce(&self, id: EventId, appended: Appended) {
        match appended {
            Appended::Duplicate(first) if first != id => {
                tracing::info!(event.id = %first, spooled.id = %id, "a spooled notification was known already");
            }
            Appended::New(id) | Appended::Duplicate(id) => {
                self.wake.try_send(id).ok();
            }
        }
    }

    /// Turns the switch by how the store did.
    fn tell<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
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
            Ok(count) => self.metrics.spool_events(count),
            Err(error) => tracing::warn!(error = %error, "cannot count what is in the spool"),
        }
    }
}
