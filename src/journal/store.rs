//! The store behind the journal: decisions, not tables. One contract suite runs against every implementation.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Applied, AuditEntry, AuditFilter, AuditPage, Bounds, CauseNotes, Claimed, End, Ended, Error,
    Event, EventDetail, Expectations, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Pauses,
    Purged, RejectedRequest, ReplayFrom, Replayed, Replays, Requeued, Stats, StoreSize, ToldAlert,
    Waiting, Wanted,
};
use crate::config;
use crate::domain::{EventId, Millis, Notification};

/// Keeps events, and gives them out to be worked on: only by way of [`super::Journal`], which has the spool in front of it
/// and knows what is being worked on. Every method that returns `Ok` for a write has committed it to disk.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Store: Records {
    /// Keeps an event, or finds the one that it repeats. With `hold` this instance holds its work from then on, if it may
    /// work at all; otherwise the work is due for whoever claims it.
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error>;

    /// Claims what is due, oldest due first within each task, but for deliveries to a sink that is paused. What this
    /// instance holds is its own for as long as the instance lives.
    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error>;

    /// Writes down how work ended, each end while its lease stands. Gives as many results, in their order; all of it is
    /// written, or nothing.
    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error>;

    /// All that this instance holds.
    async fn held(&self) -> Result<Vec<Lease>, Error>;

    /// Gives work back: it is due at `now`, and what was begun does not count.
    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error>;

    /// Whether this instance may work: others have no reason to take what it holds.
    fn is_alive(&self) -> bool {
        true
    }

    /// Waits until it may not work any more: others are about to take what it holds. Never where there are no others.
    async fn lost(&self) {
        std::future::pending().await
    }

    /// Waits until no other process works on the events of this one's store, then takes over what it left. At once where
    /// several may work on it, or this one does.
    async fn own(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Waits until another instance announces an event that is due. For ever where there is no other.
    async fn announced(&self) -> EventId {
        std::future::pending().await
    }

    /// Keeps requests that were refused as not authentic, within `bounds`: the newest stay.
    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error>;

    /// Whether the store takes writes: commits one.
    async fn check(&self) -> Result<(), Error>;

    /// Whether damage was met since the store was opened: some of it cannot be read.
    fn is_damaged(&self) -> bool {
        false
    }

    /// Takes up the secrets of a configuration that was loaded anew.
    fn reload(&self, _settings: &config::Store) {}

    /// Finishes what is queued and closes the store.
    async fn close(&self);
}

/// What is kept, to look at and to act on. Whoever holds the journal may call it: none of it passes by the spool or by what
/// the journal knows of work that is under way.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Records: Expectations + Replays + Pauses + CauseNotes {
    /// One event. `None` when there is none.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error>;

    /// An event, and what was found for it. `None` when there is none or its content is purged.
    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error>;

    /// Has an event fetched again: what is not as it was is delivered as an amendment. `false` where it was not retrieved
    /// yet, or is not there any more; of an event that was amended its newest version is named.
    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error>;

    /// A sink's target confirms that it has applied an event.
    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error>;

    /// How many confirmations are overdue, by sink.
    async fn overdue_applied(&self, now: Millis) -> Result<Vec<(String, u64)>, Error>;

    /// The alerts that sinks were told of, and not of their end yet.
    async fn told_alerts(&self) -> Result<Vec<ToldAlert>, Error>;

    /// A sink was told of an alert.
    async fn note_alert(&self, told: ToldAlert) -> Result<(), Error>;

    /// A sink was told of an alert's end.
    async fn forget_alert(&self, told: ToldAlert) -> Result<(), Error>;

    /// The notification's body. `None` when there is none or it is purged.
    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error>;

    /// The body fetched for link `n`. `None` when there is none.
    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error>;

    /// Events in the filter's order, from `cursor` (a page's `next`) on.
    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error>;

    /// How many events stand where.
    async fn stats(&self) -> Result<Stats, Error>;

    /// Makes an event due again, for the given sinks or (none given) for those it had. Work on it that is under way is not
    /// taken away: the event is due again when that ends.
    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error>;

    /// Makes a quarantined event the notification that its bytes are, and due. Called by [`super::requeue()`], which reads
    /// them.
    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error>;

    /// The deliveries that wait for sinks that are not among these and that nobody works on now, by sink.
    async fn orphans(&self, configured: Vec<String>) -> Result<Vec<Waiting>, Error>;

    /// Gives up what a sink does not have, at most `limit` of it, and says how much that was. An event that waited for
    /// nothing else ends.
    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error>;

    /// Gives what a sink does not have to another one, at most `limit` of it, and says how much that was.
    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error>;

    /// Removes an event's content and keeps its receipt. `false` when there is no such event.
    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error>;

    /// Removes what has been kept for long enough, at most `limit` events of each kind, so that the intake is not held
    /// up.
    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error>;

    /// The refused requests after number `after` (0 for all), oldest first, with their numbers.
    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error>;

    /// Removes refused requests by their numbers.
    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error>;

    /// Writes down who read or changed what.
    async fn audit(&self, entry: AuditEntry) -> Result<(), Error>;

    /// Audit entries newest first, from `cursor` (a page's `next`) on.
    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error>;

    /// Reads everything and says what does not fit together: damaged pages, counts that are off, work that nobody would
    /// take up. Empty when all is well. Takes as long as the store is large.
    async fn inspect(&self) -> Result<Vec<String>, Error>;

    /// How large the store is. With a large database it may take a while: ask rarely.
    async fn size(&self) -> Result<StoreSize, Error>;
}
