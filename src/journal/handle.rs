//! The journal's handle, which the rest of the service holds. It appends events, hands new ones to the worker, and
//! tracks the leases that this process works under.
//!
//! The channel to the worker carries events that are already leased to this instance; the store is the source of truth.
//! An event for which the worker has no room stays in the store until the worker claims it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::deadline::within;
use super::dispatch::{Dispatcher, Reserved, dispatch_channel};
use super::record::NewContent;
use super::spool::{Drain, Spool};
use super::{
    Appended, Bounds, Claimed, ClaimedEvent, End, Ended, Error, Feed, Inbox, Kept, Lease, NewEvent,
    OpenError, Received, Records, RejectedRequest, SqliteStore, Store, Wanted, WriteTarget,
};
use crate::config;
use crate::domain::{Clock, EventId, EventState};
use crate::metrics::Metrics;

/// Stores events. Cheap to clone. Stored events are read and changed through its [`Records`].
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    spool: Option<Spool>,
    dispatcher: Dispatcher,
    known: Arc<Mutex<Known>>,
    clock: Clock,
    deadline: Duration,
    /// Whether any session is registered in the store.
    expects: Arc<AtomicBool>,
    /// Notified when a replay job has begun.
    jobs: Arc<Notify>,
    feed: Feed,
}

/// The leases of this process.
#[derive(Default)]
struct Known {
    leases: HashSet<Lease>,
    /// Leases that the store lists for this instance although nobody here works under them.
    unknown: HashSet<Lease>,
}

impl Journal {
    /// A journal on this store, and the worker's end of its channel. The worker works on up to `room` events at once.
    /// An append fails when it takes longer than `deadline`.
    pub fn new(
        store: Arc<dyn Store>,
        deadline: Duration,
        room: usize,
        clock: Clock,
    ) -> (Self, Inbox) {
        let (dispatcher, inbox) = dispatch_channel(room);
        let journal = Self {
            store,
            spool: None,
            dispatcher,
            known: Arc::default(),
            clock,
            deadline,
            expects: Arc::default(),
            jobs: Arc::default(),
            feed: Feed::default(),
        };
        (journal, inbox)
    }

    /// Adds a local spool in the file that `open` opens. The spool takes the notifications that the store does not take
    /// within the deadline; [`Journal::drain`] moves them into the store.
    ///
    /// # Errors
    /// When the file cannot be used. If only its disk is failing for now, the file is opened later.
    pub fn with_spool(
        self,
        open: impl Fn() -> Result<SqliteStore, OpenError> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            spool: Some(Spool::new(open, self.deadline)?),
            ..self
        })
    }

    /// Stores what was received, and hands a notification to the worker. It is on disk when this returns `Ok`.
    /// Authentic bytes that are not a notification are quarantined.
    ///
    /// # Errors
    /// When the store fails or misses the deadline. The event may be on disk all the same; if it is sent again, it is
    /// then found to be a duplicate.
    pub async fn append(&self, received: &Received) -> Result<Kept, Error> {
        let event = received.event();
        let reserved = match event.content {
            NewContent::Notification(_) => self.dispatcher.reserve(),
            NewContent::Malformed { .. } => None,
        };
        let (hold, store) = (reserved.is_some(), &*self.store);
        let kept = match &self.spool {
            Some(spool) => spool.append(store, Arc::clone(event), hold).await,
            None => within(self.deadline, store.append(Arc::clone(event), hold)).await,
        }?;
        self.announce(event, &kept, reserved);
        if let Appended::New(id) = kept.appended {
            let state = match event.content {
                NewContent::Notification(_) => EventState::Received,
                NewContent::Malformed { .. } => EventState::Quarantined,
            };
            self.feed.publish(id, state);
        }
        Ok(kept)
    }

    /// Whether any session is registered. Only then are notifications of unregistered sessions counted.
    pub fn expects_sessions(&self) -> bool {
        self.expects.load(Ordering::Relaxed)
    }

    /// Sets whether any session is registered.
    pub fn set_expects_sessions(&self, expects: bool) {
        self.expects.store(expects, Ordering::Relaxed);
    }

    /// Wakes the worker, because work is due.
    pub fn wake(&self) {
        self.dispatcher.notify();
    }

    /// The feed of changed events.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Tells the worker that a replay job has begun.
    pub fn notify_job_begun(&self) {
        self.jobs.notify_one();
    }

    /// Waits until a replay job has begun in this process.
    pub async fn job_begun(&self) {
        self.jobs.notified().await;
    }

    /// The stored events, to read and to change.
    pub fn records(&self) -> &dyn Records {
        &*self.store
    }

    /// Whether this instance may work: its leases are valid, so no other instance takes them over.
    pub fn is_alive(&self) -> bool {
        self.store.is_alive()
    }

    /// Waits until this instance's leases are no longer valid. Pending for ever if no other instance can share the
    /// store.
    pub async fn lost(&self) {
        self.store.lost().await;
    }

    /// Waits until this process owns the work of its store, then takes over what another process left.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn own(&self) -> Result<(), Error> {
        self.store.own().await
    }

    /// Waits until another instance announces a due event. Pending for ever if no other instance can share the store.
    pub async fn announced(&self) -> EventId {
        self.store.announced().await
    }

    /// Whether damage was found since the store was opened, so that some data cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.store.is_damaged() || self.spool.as_ref().is_some_and(Spool::is_damaged)
    }

    /// Takes up the secrets of a reloaded configuration.
    pub fn reload(&self, settings: &config::Store) {
        self.store.reload(settings);
    }

    /// Claims due work, and tracks its leases.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let claimed = self.store.claim(wanted).await?;
        let leases = claimed.iter().map(|claimed| claimed.lease().clone());
        self.known().leases.extend(leases);
        Ok(claimed)
    }

    /// Records how work ended and drops its leases, apart from those on deliveries that this instance now holds.
    ///
    /// # Errors
    /// When the store fails. Then nothing is recorded, and the leases are still held.
    pub async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        let leases: Vec<Lease> = ends.iter().map(|end| end.lease.clone()).collect();
        let ended = self.store.finish(ends).await?;
        let mut known = self.known();
        for lease in &leases {
            known.leases.remove(lease);
        }
        for ended in &ended {
            if let Ended::Kept { deliveries, .. } = ended {
                known.leases.extend(deliveries.iter().cloned());
            }
        }
        Ok(ended)
    }

    /// Drops a lease without recording an end. The next [`Journal::reconcile`] gives the work back.
    pub fn abandon(&self, lease: &Lease) {
        let mut known = self.known();
        if known.leases.remove(lease) {
            known.unknown.insert(lease.clone());
        }
    }

    /// Gives back leases that the store lists for this instance although nobody here works under them, because the
    /// answer to a claim or an append was lost. A lease must be found so in two successive calls, since the answer may
    /// still be on its way.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reconcile(&self) -> Result<usize, Error> {
        let held = self.store.held().await?;
        let lost: Vec<Lease> = {
            let mut known = self.known();
            let is_unknown = |lease: &Lease| !known.leases.contains(lease);
            let unknown: HashSet<Lease> = held.into_iter().filter(is_unknown).collect();
            let before = std::mem::replace(&mut known.unknown, unknown);
            known.unknown.intersection(&before).cloned().collect()
        };
        let count = lost.len();
        if count > 0 {
            self.store.give_back(lost, self.clock.monotonic()).await?;
            self.dispatcher.notify();
        }
        Ok(count)
    }

    /// Gives back all of this instance's leases.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release(&self) -> Result<(), Error> {
        let held = self.store.held().await?;
        if held.is_empty() {
            return Ok(());
        }
        self.store.give_back(held, self.clock.monotonic()).await
    }

    /// Stores rejected requests within `bounds`, for [`Journal::reverify`].
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        match &self.spool {
            Some(spool) => spool.keep_rejected(&*self.store, requests, bounds).await,
            None => self.store.keep_rejected(requests, bounds).await,
        }
    }

    /// Which store accepts notifications now, found out by a test commit.
    ///
    /// # Errors
    /// When neither the store nor the spool accepts them.
    pub async fn write_target(&self) -> Result<WriteTarget, Error> {
        match &self.spool {
            Some(spool) => spool.check(&*self.store).await,
            None => within(self.deadline, self.store.check())
                .await
                .map(|()| WriteTarget::Store),
        }
    }

    /// Waits until appends switch between the store and the spool. Pending for ever without a spool.
    pub async fn turned(&self) {
        match &self.spool {
            Some(spool) => spool.turned().await,
            None => std::future::pending().await,
        }
    }

    /// Moves spooled events into the store whenever the store accepts them. Never returns.
    pub async fn drain(&self, bounds: Bounds, metrics: Metrics) {
        let Some(spool) = &self.spool else {
            return std::future::pending().await;
        };
        let drain = Drain {
            spool: spool.clone(),
            store: &*self.store,
            dispatcher: self.dispatcher.clone(),
            bounds,
            metrics,
            clock: self.clock,
        };
        drain.run().await;
    }

    /// Finishes the queued writes, and closes the store and the spool.
    pub async fn close(&self) {
        self.store.close().await;
        if let Some(spool) = &self.spool {
            spool.close().await;
        }
    }

    /// Hands a new event to the worker if this instance holds its lease, and otherwise wakes the worker.
    fn announce(&self, event: &NewEvent, kept: &Kept, reserved: Option<Reserved>) {
        let NewContent::Notification(notification) = &event.content else {
            return;
        };
        match (&kept.lease, reserved) {
            (Some(lease), Some(reserved)) => {
                self.known().leases.insert(lease.clone());
                let claimed = ClaimedEvent::new(event, notification, kept, lease, self.clock);
                reserved.dispatch(claimed);
            }
            (_, _) if matches!(kept.appended, Appended::New(_)) => self.dispatcher.notify(),
            (_, _) => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}
