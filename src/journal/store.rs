//! The traits that a store implements. One contract test suite runs against every implementation.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Applied, AuditEntry, AuditFilter, AuditPage, Bounds, CauseNotes, Claimed, End, Ended, Error,
    Event, EventDetail, Expectations, Expiry, Filter, Found, Kept, Lease, NewEvent, Page, Pauses,
    Purged, RejectedRequest, ReplayFrom, Replayed, Replays, Requeued, SentAlert, Stats, StoreSize,
    Waiting, Wanted,
};
use crate::config;
use crate::domain::{EventId, Millis, Notification};

/// Stores events and leases out their work. Called only through [`super::Journal`], which adds the spool and tracks the
/// leases in use. Every write that returns `Ok` is committed to disk.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Store: Records {
    /// Stores an event, or finds the one that it duplicates. With `hold` the event's work is leased to this instance at
    /// once, provided that the instance may work; otherwise the work is due for whichever instance claims it.
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error>;

    /// Claims due work, the longest due first within each task, without deliveries to a paused sink. The leases are
    /// valid for as long as this instance lives.
    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error>;

    /// Records how work ended, each end only if its lease is still valid. Returns the results in the same order. Either
    /// all of it is committed or nothing.
    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error>;

    /// All leases of this instance.
    async fn held(&self) -> Result<Vec<Lease>, Error>;

    /// Gives leases back: the work is due at `now`, and the attempt under way does not count.
    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error>;

    /// Whether this instance may work: its leases are valid, so no other instance takes them over.
    fn is_alive(&self) -> bool;

    /// Waits until this instance's leases are no longer valid. Pending for ever if no other instance can share the
    /// store.
    async fn lost(&self);

    /// Waits until no other process works on this process's store, then takes over what it left. Returns at once if
    /// several instances may share the store, or if this process owns it already.
    async fn own(&self) -> Result<(), Error>;

    /// Waits until another instance announces a due event. Pending for ever if no other instance can share the store.
    async fn announced(&self) -> EventId;

    /// Stores requests that were rejected as not authentic, within `bounds`; the newest are kept.
    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error>;

    /// Checks by a commit that the store accepts writes.
    async fn check(&self) -> Result<(), Error>;

    /// Whether damage was found since the store was opened, so that some data cannot be read.
    fn is_damaged(&self) -> bool;

    /// Takes up the secrets of a reloaded configuration.
    fn reload(&self, settings: &config::Store);

    /// Finishes the queued writes and closes the store.
    async fn close(&self);
}

/// Reads and changes stored events. Whoever holds the journal may call these methods: none of them bypasses the spool
/// or the journal's tracking of leases.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Records: Expectations + Replays + Pauses + CauseNotes {
    /// One event. `None` when there is none.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error>;

    /// An event, and what was retrieved for it. `None` when there is none or its content is purged.
    async fn found(&self, id: EventId) -> Result<Option<(Event, Found)>, Error>;

    /// Schedules an event's content to be fetched again; if it differs, it is delivered as an amendment. For an event
    /// that was amended, its newest version is fetched. Returns `false` when the event was not retrieved yet or no
    /// longer exists.
    async fn refetch(&self, id: EventId, now: Millis) -> Result<bool, Error>;

    /// Records a target's confirmation that it has applied an event.
    async fn applied(&self, id: EventId, sink: String, at: Timestamp) -> Result<Applied, Error>;

    /// How many confirmations are overdue, by sink.
    async fn overdue_applied(&self, now: Millis) -> Result<Vec<(String, u64)>, Error>;

    /// The alerts whose beginning was sent to a sink and whose end was not yet.
    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, Error>;

    /// Records that an alert was sent to a sink.
    async fn record_sent_alert(&self, alert: SentAlert) -> Result<(), Error>;

    /// Records that an alert's end was sent to a sink.
    async fn forget_sent_alert(&self, alert: SentAlert) -> Result<(), Error>;

    /// The notification's body. `None` when there is none or it is purged.
    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error>;

    /// The body fetched for link `n`. `None` when there is none.
    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error>;

    /// Lists events in the filter's order, from `cursor` (a page's `next`) on.
    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error>;

    /// The number of events by state.
    async fn stats(&self) -> Result<Stats, Error>;

    /// Makes an event due again, for the given sinks or, if none is given, for those it had. Work that is under way is
    /// not interrupted: the event is due again when it ends.
    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error>;

    /// Turns a quarantined event into a notification and makes it due. Called by [`super::requeue()`], which has parsed
    /// its bytes.
    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error>;

    /// The deliveries that wait and that nobody works on now, by sink, without those for the sinks in `except`.
    async fn waiting_deliveries(&self, except: Vec<String>) -> Result<Vec<Waiting>, Error>;

    /// Gives up at most `limit` undelivered events of a sink, and returns how many. An event that was waiting for
    /// nothing else ends.
    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error>;

    /// Moves at most `limit` undelivered events of a sink to another sink, and returns how many.
    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error>;

    /// Removes an event's content and keeps its receipt. Returns `false` when there is no such event.
    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error>;

    /// Removes what has reached the end of its retention, at most `limit` events of each kind, so that appends are not
    /// delayed.
    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error>;

    /// The rejected requests after number `after` (0 for all), oldest first, with their numbers.
    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error>;

    /// Removes rejected requests by their numbers.
    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error>;

    /// Adds an entry to the audit log.
    async fn audit(&self, entry: AuditEntry) -> Result<(), Error>;

    /// Lists audit entries, newest first, from `cursor` (a page's `next`) on.
    async fn audit_log(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<AuditPage, Error>;

    /// Reads the whole store and describes every inconsistency: damaged pages, wrong counts, work that nobody would
    /// claim. Empty when there is none. The time that it takes grows with the store.
    async fn inspect(&self) -> Result<Vec<String>, Error>;

    /// The size of the store. Measuring a large database may take a while, so call it rarely.
    async fn size(&self) -> Result<StoreSize, Error>;
}
