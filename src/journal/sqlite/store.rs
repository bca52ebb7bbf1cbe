//! Implements the store's traits; the statements are in the files beside this one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::checkpoint::Checkpointer;
use super::finish::Ending;
use super::work::Claims;
use super::{
    CHECK_INTERVAL, SqliteStore, address, alerts, append, applied, audit, checkpoint, inspect,
    list, lock, operate, query, rejected, repeat, requeue, retain, with_suffix, work,
};
use crate::config;
use crate::domain::{EventId, Millis, Notification};
use crate::journal::lease::new_fence;
use crate::journal::{
    Access, Applied, AuditEntry, AuditFilter, AuditPage, Bounds, Claimed, End, Ended, Error, Event,
    EventDetail, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Purged, Records,
    RejectedRequest, ReplayFrom, Replayed, Requeued, SentAlert, Stats, Store, StoreSize, Waiting,
    Wanted,
};

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let now = self.clock.monotonic();
        let owner = (hold && self.works.load(Ordering::Relaxed)).then_some(self.owner);
        let fence = new_fence();
        self.writer()?
            .append(move |tx| append::append(tx, &event, owner, fence, now))
            .await
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let writer = self.writer()?;
        let claims = Claims {
            readers: &self.readers,
            writer: &writer,
            damage: &self.damage,
            owner: self.owner,
        };
        claims.claim(wanted).await
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        let (owner, now) = (self.owner, self.clock.monotonic());
        self.writer()?
            .write(move |tx| Ending { tx, owner, now }.finish(&ends))
            .await
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        let owner = self.owner;
        self.readers
            .read(move |connection| work::held(connection, owner))
            .await
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        self.writer()?
            .write(move |tx| work::give_back(tx, &leases, now))
            .await
    }

    /// Always: the leases of an embedded store last as long as the process.
    fn is_alive(&self) -> bool {
        true
    }

    async fn lost(&self) {
        std::future::pending().await
    }

    async fn announced(&self) -> EventId {
        std::future::pending().await
    }

    async fn own(&self) -> Result<(), Error> {
        let Access::Successor { longest_wait } = self.access else {
            return Ok(());
        };
        // The lock is kept if the take-over fails: another attempt would be shut out by this process's own lock.
        while lock(&self.owned).is_none() {
            match lock::try_own(&self.path)? {
                Some(owned) => *lock(&self.owned) = Some(owned),
                None => tokio::time::sleep(CHECK_INTERVAL).await,
            }
        }
        let (owner, now) = (self.owner, self.clock.monotonic());
        self.writer()?
            .write(move |tx| work::take_over(tx, owner, now, longest_wait))
            .await?;
        self.works.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| rejected::keep(connection, &requests, bounds))
            .await
    }

    async fn check(&self) -> Result<(), Error> {
        self.writer()?
            .write(|connection| {
                connection
                    .prepare_cached("UPDATE pulse SET n = n + 1")?
                    .execute([])?;
                Ok(())
            })
            .await
    }

    fn is_damaged(&self) -> bool {
        self.damage.is_damaged()
    }

    /// A file has no password.
    fn reload(&self, _settings: &config::Store) {}

    async fn close(&self) {
        self.readers.close();
        self.query_readers.close();
        drop(lock(&self.writer).take());
        let Some(threads) = lock(&self.threads).take() else {
            return;
        };
        // A guest has no checkpoint thread that would do it later.
        let restarts =
            self.access == Access::Guest && self.wants_restart.swap(false, Ordering::Relaxed);
        let path = self.path.clone();
        let joined = tokio::task::spawn_blocking(move || {
            let writer = threads.writer.join();
            if restarts {
                checkpoint::restart(&path);
            }
            writer.and(threads.checkpoint.map_or(Ok(()), Checkpointer::finish))
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a thread of the store panicked");
        }
        // This process has no work under way any more, so a successor may take over.
        drop(lock(&self.owned).take());
    }
}

#[async_trait]
impl Records for SqliteStore {
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        self.query_readers
            .read(move |connection| query::event(connection, id))
            .await
    }

    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error> {
        self.readers
            .read(move |connection| query::found(connection, id))
            .await
    }

    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error> {
        self.writer()?
            .write(move |tx| repeat::ask(tx, id, now))
            .await
    }

    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error> {
        self.writer()?
            .write(move |tx| applied::note(tx, id, &sink, at))
            .await
    }

    async fn overdue_applied(&self, now: Millis) -> Result<Vec<(String, u64)>, Error> {
        self.query_readers
            .read(move |connection| applied::overdue(connection, now))
            .await
    }

    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, Error> {
        self.query_readers.read(alerts::sent).await
    }

    async fn record_sent_alert(&self, alert: SentAlert) -> Result<(), Error> {
        self.writer()?
            .write(move |tx| alerts::record(tx, &alert))
            .await
    }

    async fn forget_sent_alert(&self, alert: SentAlert) -> Result<(), Error> {
        self.writer()?
            .write(move |tx| alerts::forget(tx, &alert))
            .await
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.query_readers
            .read(move |connection| query::payload(connection, id))
            .await
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        self.query_readers
            .read(move |connection| query::resource(connection, id, n))
            .await
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        self.query_readers
            .read(move |connection| list::page(connection, &filter, limit, cursor))
            .await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.query_readers.read(query::stats).await
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| operate::replay(connection, id, from, &sinks, &actor, now))
            .await
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| requeue::requeue(connection, id, &notification, &actor, now))
            .await
    }

    async fn waiting_deliveries(&self, except: Vec<String>) -> Result<Vec<Waiting>, Error> {
        self.query_readers
            .read(move |connection| address::waiting_deliveries(connection, &except))
            .await
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| {
                address::drop_deliveries(connection, &sink, limit, &actor, now)
            })
            .await
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| address::readdress(connection, &from, &to, limit, &actor, now))
            .await
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        let now = self.clock.monotonic();
        let purged = self
            .writer()?
            .write(move |connection| operate::purge(connection, id, &actor, now))
            .await?;
        self.wants_restart.store(true, Ordering::Relaxed);
        Ok(purged)
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        let purged = self
            .writer()?
            .write(move |connection| retain::retain(connection, expiry, limit))
            .await?;
        if purged != Purged::default() {
            self.wants_restart.store(true, Ordering::Relaxed);
        }
        Ok(purged)
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        self.readers.read(inspect::inspect).await
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        self.readers
            .read(move |connection| rejected::list(connection, after, limit))
            .await
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| rejected::forget(connection, &numbers))
            .await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| audit::write(connection, &entry))
            .await
    }

    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error> {
        self.query_readers
            .read(move |connection| audit::page(connection, &filter, limit, cursor))
            .await
    }

    async fn size(&self) -> Result<StoreSize, Error> {
        let bytes = |suffix| {
            let path = with_suffix(&self.path, suffix);
            match std::fs::metadata(&path) {
                Ok(found) => Ok(found.len()),
                Err(error) => Err(Error::io(path)(error)),
            }
        };
        Ok(StoreSize {
            bytes: bytes("")?,
            wal_bytes: Some(bytes("-wal")?),
        })
    }
}
