//! The store behind the journal: decisions, not tables. One contract suite runs against every implementation.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Appended, AuditEntry, ClaimedDelivery, ClaimedEvent, DeliveryEnd, DeliveryLease, Due, Ended,
    Error, EventDetail, EventLease, Filter, Held, LinkUpdate, NewEvent, Page, Purged, ReplayFrom,
    Replayed, Retrieval, Stats,
};
use crate::domain::{Document, EventId, Millis};

/// Keeps events. Every method that returns `Ok` for a write has committed it to disk.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Store: Send + Sync + 'static {
    /// Keeps an event, or finds the one that it repeats.
    async fn append(&self, event: NewEvent) -> Result<Appended, Error>;

    /// Claims due events: those that need no call to the vendor's API first, then at most `most_with_sdp` of those that
    /// do; oldest due first.
    async fn claim_events(
        &self,
        due: Due,
        most_with_sdp: usize,
    ) -> Result<Vec<ClaimedEvent>, Error>;

    /// Writes down how links stand, while the lease stands.
    async fn record_links(&self, lease: EventLease, links: Vec<LinkUpdate>) -> Result<Held, Error>;

    /// Ends an attempt at retrieving.
    async fn finish_retrieval(
        &self,
        lease: EventLease,
        links: Vec<LinkUpdate>,
        end: Retrieval,
    ) -> Result<Held, Error>;

    /// Claims due deliveries to one sink, oldest due first.
    async fn claim_deliveries(&self, sink: &str, due: Due) -> Result<Vec<ClaimedDelivery>, Error>;

    /// Ends a delivery attempt.
    async fn finish_delivery(&self, lease: DeliveryLease, end: DeliveryEnd)
    -> Result<Ended, Error>;

    /// Gives back all leases of this process: what it held is due at `now`.
    async fn release(&self, now: Millis) -> Result<(), Error>;

    /// What is to be delivered for an event. `None` when it is gone or purged.
    async fn document(&self, id: EventId) -> Result<Option<Document>, Error>;

    /// One event. `None` when there is none.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error>;

    /// The notification's body. `None` when there is none or it is purged.
    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error>;

    /// The body fetched for link `n`. `None` when there is none.
    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error>;

    /// Events newest first, from `cursor` (a page's `next`) on.
    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error>;

    /// How many events stand where.
    async fn stats(&self) -> Result<Stats, Error>;

    /// Makes an event due again, for the given sinks or (none given) for those it had.
    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error>;

    /// Removes an event's content and keeps its receipt. `false` when there is no such event.
    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error>;

    /// Removes the content of events that ended before `content_before`, and receipts before `receipts_before`; at most
    /// `limit` of each, so that the intake is not held up.
    async fn retain(
        &self,
        content_before: Millis,
        receipts_before: Millis,
        limit: usize,
    ) -> Result<Purged, Error>;

    /// Writes down who read or changed what.
    async fn audit(&self, entry: AuditEntry) -> Result<(), Error>;

    /// The newest audit entries.
    async fn audit_log(&self, limit: usize) -> Result<Vec<AuditEntry>, Error>;

    /// Whether the store takes writes: commits one.
    async fn check(&self) -> Result<(), Error>;

    /// Finishes what is queued and closes the store.
    async fn close(&self);
}
