//! Implements the store's traits; the statements are in the files beside this one.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::error::within;
use super::{
    CLOSING, INSPECTION, PostgresStore, WORK, address, alerts, applied, audit, counts, finish,
    inspect, instance, list, look, operate, query, rejected, repeat, requeue, retain, work,
};
use crate::config;
use crate::domain::{EventId, Millis, Notification};
use crate::journal::{
    Applied, AuditEntry, AuditFilter, AuditPage, Bounds, Claimed, End, Ended, Error, Event,
    EventDetail, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Purged, Records,
    RejectedRequest, ReplayFrom, Replayed, Requeued, Stats, Store, StoreSize, ToldAlert, Waiting,
    Wanted,
};

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let hold = hold && self.alive.is_valid();
        self.intake()?.append(event, hold).await
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let lent = self.pool.lend().await?;
        let work = work::claim(&lent, self.clock, self.owner, &wanted);
        let claimed = within(WORK, work).await;
        lent.settle(claimed)
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        let mut lent = self.pool.lend().await?;
        let work = finish::finish(&mut lent, self.clock, self.owner, &ends);
        let ended = within(WORK, work).await;
        lent.settle(ended)
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        let lent = self.pool.lend().await?;
        let held = within(WORK, work::held(&lent, self.owner)).await;
        lent.settle(held)
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        let mut lent = self.pool.lend().await?;
        let given = within(WORK, work::give_back(&mut lent, self.clock, &leases, now)).await;
        lent.settle(given)
    }

    fn is_alive(&self) -> bool {
        self.alive.is_valid()
    }

    async fn lost(&self) {
        self.alive.lost().await;
    }

    /// Nothing to wait for: several instances share the store.
    async fn own(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn announced(&self) -> EventId {
        match self.heard.lock().await.recv().await {
            Some(id) => id,
            // A guest, or a closed store.
            None => std::future::pending().await,
        }
    }

    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        let mut lent = self.pool.lend().await?;
        let kept = within(WORK, rejected::keep(&mut lent, &requests, bounds)).await;
        lent.settle(kept)
    }

    async fn check(&self) -> Result<(), Error> {
        let lent = self.health.lend().await?;
        let written = within(WORK, counts::touch(&lent)).await;
        lent.settle(written)
    }

    /// Damage to the files is for the server to detect: a query that meets it fails.
    fn is_damaged(&self) -> bool {
        false
    }

    fn reload(&self, settings: &config::Store) {
        self.connector.set_password(settings.password.clone());
    }

    async fn close(&self) {
        drop(
            self.intake
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if !self.batches.finished(Instant::now() + CLOSING).await {
            tracing::error!(
                "the store was closed with writes under way; their senders were not answered"
            );
        }
        self.keeper.stop();
        self.keeper
            .finished(Instant::now() + Duration::from_secs(1))
            .await;
        // Then others can take over at once and need not wait until this instance counts as dead.
        if self.alive.is_valid()
            && let Ok(lent) = self.pool.lend().await
        {
            let left = within(WORK, instance::leave(&lent, self.owner)).await;
            lent.settle(left).ok();
        }
        self.pool.close();
        self.intake_pool.close();
        self.looks.close();
        self.health.close();
    }
}

#[async_trait]
impl Records for PostgresStore {
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::event(&lent, id)).await;
        lent.settle(found)
    }

    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error> {
        let lent = self.pool.lend().await?;
        let found = within(WORK, query::found(&lent, id)).await;
        lent.settle(found)
    }

    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error> {
        let lent = self.pool.lend().await?;
        let asked = within(WORK, repeat::ask(&*lent, id, now)).await;
        lent.settle(asked)
    }

    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error> {
        let mut lent = self.pool.lend().await?;
        let noted = within(WORK, applied::note(&mut lent, id, &sink, at)).await;
        lent.settle(noted)
    }

    async fn overdue_applied(&self, _: Millis) -> Result<Vec<(String, u64)>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, applied::overdue(&lent)).await;
        lent.settle(found)
    }

    async fn told_alerts(&self) -> Result<Vec<ToldAlert>, Error> {
        let lent = self.looks.lend().await?;
        let told = look(self.look_deadline, alerts::told(&lent)).await;
        lent.settle(told)
    }

    async fn note_alert(&self, told: ToldAlert) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let noted = within(WORK, alerts::note(&lent, &told)).await;
        lent.settle(noted)
    }

    async fn forget_alert(&self, told: ToldAlert) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let forgotten = within(WORK, alerts::forget(&lent, &told)).await;
        lent.settle(forgotten)
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::payload(&lent, id)).await;
        lent.settle(found)
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::resource(&lent, id, n)).await;
        lent.settle(found)
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        let lent = self.looks.lend().await?;
        let page = look(
            self.look_deadline,
            list::page(&lent, &filter, limit, cursor),
        )
        .await;
        lent.settle(page)
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let lent = self.looks.lend().await?;
        let stats = look(self.look_deadline, query::stats(&lent)).await;
        lent.settle(stats)
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        let mut lent = self.pool.lend().await?;
        let work = operate::replay(&mut lent, id, from, &sinks, &actor);
        let replayed = within(WORK, work).await;
        lent.settle(replayed)
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        let mut lent = self.pool.lend().await?;
        let work = requeue::requeue(&mut lent, id, &notification, &actor);
        let requeued = within(WORK, work).await;
        lent.settle(requeued)
    }

    async fn waiting_deliveries(&self, except: Vec<String>) -> Result<Vec<Waiting>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(
            self.look_deadline,
            address::waiting_deliveries(&lent, &except),
        )
        .await;
        lent.settle(found)
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let mut lent = self.pool.lend().await?;
        let work = address::drop_deliveries(&mut lent, &sink, limit, &actor);
        let dropped = within(WORK, work).await;
        lent.settle(dropped)
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let mut lent = self.pool.lend().await?;
        let work = address::readdress(&mut lent, &from, &to, limit, &actor);
        let given = within(WORK, work).await;
        lent.settle(given)
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        let mut lent = self.pool.lend().await?;
        let purged = within(WORK, operate::purge(&mut lent, id, &actor)).await;
        lent.settle(purged)
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        let lent = self.pool.lend().await?;
        let purged = within(WORK, retain::retain(&lent, self.clock, expiry, limit)).await;
        lent.settle(purged)
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        let lent = self.pool.lend().await?;
        let found = within(WORK, rejected::list(&lent, after, limit)).await;
        lent.settle(found)
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let forgotten = within(WORK, rejected::forget(&lent, &numbers)).await;
        lent.settle(forgotten)
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let written = within(WORK, audit::write(&lent, &entry)).await;
        lent.settle(written)
    }

    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error> {
        let lent = self.looks.lend().await?;
        let page = audit::page(&lent, &filter, limit, cursor);
        let entries = look(self.look_deadline, page).await;
        lent.settle(entries)
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        let mut lent = self.pool.lend().await?;
        let problems = within(INSPECTION, inspect::inspect(&mut lent)).await;
        lent.settle(problems)
    }

    async fn size(&self) -> Result<StoreSize, Error> {
        let lent = self.looks.lend().await?;
        let bytes = look(self.look_deadline, counts::database_size(&lent)).await;
        let bytes = lent.settle(bytes)?;
        Ok(StoreSize {
            bytes,
            wal_bytes: None,
        })
    }
}
