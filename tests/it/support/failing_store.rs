//! A store that fails on demand, around a real one.

mod passed_on;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use suki_receiver::domain::{EventId, Millis, Notification};
use suki_receiver::journal::{
    Applied, AuditEntry, AuditFilter, AuditPage, Bounds, Claimed, End, Ended, Error, Event,
    EventDetail, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Purged, Records,
    RejectedRequest, ReplayFrom, Replayed, Requeued, SentAlert, Stats, Store, StoreSize, Waiting,
    Wanted,
};

/// Switches, and the store behind them.
pub struct FailingStore {
    inner: Arc<dyn Store>,
    pub appends_fail: AtomicBool,
    pub appends_hang: AtomicBool,
    /// Appends hang when more than so many are under way at once, as on a slow way to the store.
    pub crowd: AtomicUsize,
    under_way: AtomicUsize,
    /// Appends are kept, and said not to be.
    pub answers_are_lost: AtomicBool,
    /// Appends that were asked for.
    pub appends: AtomicUsize,
    pub claims_fail: AtomicBool,
    /// What is claimed is taken, and said not to be.
    pub claims_are_lost: AtomicBool,
    pub finishes_fail: AtomicBool,
    /// Writes of ends that were asked for.
    pub finishes: AtomicUsize,
    /// Nothing is given back.
    pub gifts_fail: AtomicBool,
}

impl FailingStore {
    pub fn around(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            appends_fail: AtomicBool::new(false),
            appends_hang: AtomicBool::new(false),
            crowd: AtomicUsize::new(usize::MAX),
            under_way: AtomicUsize::new(0),
            answers_are_lost: AtomicBool::new(false),
            appends: AtomicUsize::new(0),
            claims_fail: AtomicBool::new(false),
            claims_are_lost: AtomicBool::new(false),
            finishes_fail: AtomicBool::new(false),
            finishes: AtomicUsize::new(0),
            gifts_fail: AtomicBool::new(false),
        })
    }
}

impl FailingStore {
    async fn hang(&self) {
        if self.appends_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn wait_in_the_crowd(&self) {
        let most = self.crowd.load(Ordering::SeqCst);
        if most == usize::MAX {
            return;
        }
        let _under_way = UnderWay::enter(&self.under_way);
        // The others of a batch come as well before anyone looks.
        tokio::task::yield_now().await;
        if self.under_way.load(Ordering::SeqCst) > most {
            std::future::pending::<()>().await;
        }
    }
}

/// Counted until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn check(switch: &AtomicBool) -> Result<(), Error> {
    if switch.load(Ordering::SeqCst) {
        Err(Error::NotCommitted("on demand"))
    } else {
        Ok(())
    }
}

#[async_trait]
impl Store for FailingStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        check(&self.appends_fail)?;
        self.hang().await;
        self.wait_in_the_crowd().await;
        let kept = self.inner.append(event, hold).await;
        check(&self.answers_are_lost)?;
        kept
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        check(&self.claims_fail)?;
        let claimed = self.inner.claim(wanted).await;
        check(&self.claims_are_lost)?;
        claimed
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        self.finishes.fetch_add(1, Ordering::SeqCst);
        check(&self.finishes_fail)?;
        self.inner.finish(ends).await
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        self.inner.held().await
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        check(&self.gifts_fail)?;
        self.inner.give_back(leases, now).await
    }

    fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    async fn lost(&self) {
        self.inner.lost().await;
    }

    async fn own(&self) -> Result<(), Error> {
        self.inner.own().await
    }

    async fn announced(&self) -> EventId {
        self.inner.announced().await
    }

    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        check(&self.appends_fail)?;
        self.inner.keep_rejected(requests, bounds).await
    }

    async fn check(&self) -> Result<(), Error> {
        check(&self.appends_fail)?;
        self.hang().await;
        self.inner.check().await
    }

    fn is_damaged(&self) -> bool {
        self.inner.is_damaged()
    }

    fn reload(&self, settings: &suki_receiver::config::Store) {
        self.inner.reload(settings);
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Records for FailingStore {
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        self.inner.event(id).await
    }

    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error> {
        self.inner.found(id).await
    }

    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error> {
        self.inner.refetch(id, now).await
    }

    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error> {
        self.inner.applied(id, sink, at).await
    }

    async fn overdue_applied(&self, now: Millis) -> Result<Vec<(String, u64)>, Error> {
        self.inner.overdue_applied(now).await
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.inner.payload(id).await
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        self.inner.resource(id, n).await
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        self.inner.list(filter, limit, cursor).await
    }

    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, Error> {
        self.inner.sent_alerts().await
    }

    async fn record_sent_alert(&self, told: SentAlert) -> Result<(), Error> {
        self.inner.record_sent_alert(told).await
    }

    async fn forget_sent_alert(&self, told: SentAlert) -> Result<(), Error> {
        self.inner.forget_sent_alert(told).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.inner.stats().await
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        self.inner.replay(id, from, sinks, actor).await
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        self.inner.requeue(id, notification, actor).await
    }

    async fn waiting_deliveries(&self, except: Vec<String>) -> Result<Vec<Waiting>, Error> {
        self.inner.waiting_deliveries(except).await
    }

    async fn size(&self) -> Result<StoreSize, Error> {
        self.inner.size().await
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        self.inner.drop_deliveries(sink, limit, actor).await
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        self.inner.readdress(from, to, limit, actor).await
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        self.inner.purge(id, actor).await
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        self.inner.retain(expiry, limit).await
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        self.inner.inspect().await
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        self.inner.rejected(after, limit).await
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.inner.forget_rejected(numbers).await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.inner.audit(entry).await
    }

    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error> {
        self.inner.audit_log(filter, limit, cursor).await
    }
}
