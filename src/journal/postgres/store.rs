//! Implements the store's traits; the statements are in the files beside this one.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_postgres::Client;
use jiff::Timestamp;

use super::{
    CLOSING, INSPECTION, PostgresStore, WORK, address, alerts, applied, audit, counts, finish,
    inspect, instance, list, operate, query, rejected, repeat, requeue, retain, work,
};
use crate::config;
use crate::domain::{EventId, Millis, Notification};
use crate::journal::{
    Applied, AuditEntry, AuditFilter, AuditPage, Bounds, Claimed, End, Ended, Error, Event,
    EventDetail, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Purged, Records,
    RejectedRequest, ReplayFrom, Replayed, Requeued, SentAlert, Stats, Store, StoreSize, Waiting,
    Wanted,
};

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let hold = hold && self.alive.is_valid();
        self.intake()?.append(event, hold).await
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        self.work(async |client| work::claim(client, self.clock, self.owner, &wanted).await)
            .await
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        self.work(async |client| finish::finish(client, self.clock, self.owner, &ends).await)
            .await
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        self.work(async |client| work::held(client, self.owner).await)
            .await
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        self.work(async |client| work::give_back(client, self.clock, &leases, now).await)
            .await
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
        self.work(async |client| rejected::keep(client, &requests, bounds).await)
            .await
    }

    async fn check(&self) -> Result<(), Error> {
        let touch = async |client: &mut Client| counts::touch(client).await;
        self.health.run(WORK, touch).await
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
        if self.alive.is_valid() {
            let owner = self.owner;
            self.work(async |client| instance::leave(client, owner).await)
                .await
                .ok();
        }
        self.pool.close();
        self.intake_pool.close();
        self.query_pool.close();
        self.health.close();
    }
}

#[async_trait]
impl Records for PostgresStore {
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        self.query(async |client| query::event(client, id).await)
            .await
    }

    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error> {
        self.work(async |client| query::found(client, id).await)
            .await
    }

    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error> {
        self.work(async |client| repeat::ask(client, id, now).await)
            .await
    }

    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error> {
        self.work(async |client| applied::note(client, id, &sink, at).await)
            .await
    }

    async fn overdue_applied(&self, _: Millis) -> Result<Vec<(String, u64)>, Error> {
        self.query(async |client| applied::overdue(client).await)
            .await
    }

    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, Error> {
        self.query(async |client| alerts::sent(client).await).await
    }

    async fn record_sent_alert(&self, alert: SentAlert) -> Result<(), Error> {
        self.work(async |client| alerts::record(client, &alert).await)
            .await
    }

    async fn forget_sent_alert(&self, alert: SentAlert) -> Result<(), Error> {
        self.work(async |client| alerts::forget(client, &alert).await)
            .await
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.query(async |client| query::payload(client, id).await)
            .await
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        self.query(async |client| query::resource(client, id, n).await)
            .await
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        self.query(async |client| list::page(client, &filter, limit, cursor).await)
            .await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.query(async |client| query::stats(client).await).await
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        self.work(async |client| operate::replay(client, id, from, &sinks, &actor).await)
            .await
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        self.work(async |client| requeue::requeue(client, id, &notification, &actor).await)
            .await
    }

    async fn waiting_deliveries(&self, except: Vec<String>) -> Result<Vec<Waiting>, Error> {
        self.query(async |client| address::waiting_deliveries(client, &except).await)
            .await
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        self.work(async |client| address::drop_deliveries(client, &sink, limit, &actor).await)
            .await
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        self.work(async |client| address::readdress(client, &from, &to, limit, &actor).await)
            .await
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        self.work(async |client| operate::purge(client, id, &actor).await)
            .await
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        self.work(async |client| retain::retain(client, self.clock, expiry, limit).await)
            .await
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        self.work(async |client| rejected::list(client, after, limit).await)
            .await
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.work(async |client| rejected::forget(client, &numbers).await)
            .await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.work(async |client| audit::write(client, &entry).await)
            .await
    }

    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error> {
        self.query(async |client| audit::page(client, &filter, limit, cursor).await)
            .await
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        let inspect = async |client: &mut Client| inspect::inspect(client).await;
        self.pool.run(INSPECTION, inspect).await
    }

    async fn size(&self) -> Result<StoreSize, Error> {
        let bytes = self
            .query(async |client| counts::database_size(client).await)
            .await?;
        Ok(StoreSize {
            bytes,
            wal_bytes: None,
        })
    }
}
