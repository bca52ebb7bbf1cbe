//! The journal's handle: what the rest of the service holds. Appends, hands over what was appended, and knows what this
//! process works on.
//!
//! The channel carries work that is held already, the store carries the truth: what does not fit is left in the store, and
//! the worker claims it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::deadline::within;
use super::handover::{Handover, Reserved, handover};
use super::record::NewContent;
use super::spool::{Drain, Spool};
use super::{
    Appended, Bounds, Claimed, ClaimedEvent, End, Ended, Error, Feed, Inbox, Kept, Lease, NewEvent,
    Received, Records, RejectedRequest, SqliteStore, Store, Wanted, WriteTarget,
};
use crate::config;
use crate::domain::{Clock, EventId, EventState};
use crate::metrics::Metrics;

/// Keeps events. Cheap to clone. What is kept is looked at and acted on by its [`Records`].
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    spool: Option<Spool>,
    handover: Handover,
    known: Arc<Mutex<Known>>,
    clock: Clock,
    deadline: Duration,
    /// Whether sessions are registered here at all.
    expects: Arc<AtomicBool>,
    /// Rings when a replay job has begun.
    jobs: Arc<Notify>,
    feed: Feed,
}

/// What this process works on.
#[derive(Default)]
struct Known {
    leases: HashSet<Lease>,
    /// What the store said that this instance holds, though nobody works on it.
    unknown: HashSet<Lease>,
}

impl Journal {
    /// A journal on this store, and the worker's end of it; the worker works on `room` events at once. An append fails
    /// when it takes longer than `deadline`.
    pub fn new(
        store: Arc<dyn Store>,
        deadline: Duration,
        room: usize,
        clock: Clock,
    ) -> (Self, Inbox) {
        let (handover, inbox) = handover(room);
        let journal = Self {
            store,
            spool: None,
            handover,
            known: Arc::default(),
            clock,
            deadline,
            expects: Arc::default(),
            jobs: Arc::default(),
            feed: Feed::default(),
        };
        (journal, inbox)
    }

    /// The same, with a local spool in the file that `open` opens, which takes what the store does not take within the
    /// deadline. It is emptied into the store by [`Journal::drain`].
    ///
    /// # Errors
    /// When the file can never be used as it is. While its disk is the reason, it is opened later.
    pub fn with_spool(
        self,
        open: impl Fn() -> Result<SqliteStore, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self {
            spool: Some(Spool::new(open, self.deadline)?),
            ..self
        })
    }

    /// Keeps what was received, and hands a notification to the worker. It is on disk when this returns `Ok`. What is no
    /// notification is kept for an operator to look at.
    ///
    /// # Errors
    /// When the store fails or does not answer in time. The event may be on disk all the same; sent again, it would be
    /// a duplicate.
    pub async fn append(&self, received: &Received) -> Result<Kept, Error> {
        let event = received.event();
        let reserved = match event.content {
            NewContent::Notification(_) => self.handover.reserve(),
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
            self.feed.tell(id, state);
        }
        Ok(kept)
    }

    /// Whether sessions are registered at all, so that a notification of one that is not is worth counting.
    pub fn expects_sessions(&self) -> bool {
        self.expects.load(Ordering::Relaxed)
    }

    /// Sessions are registered, or none ever was.
    pub fn set_expects_sessions(&self, expects: bool) {
        self.expects.store(expects, Ordering::Relaxed);
    }

    /// Tells the worker that something is due.
    pub fn wake(&self) {
        self.handover.notify();
    }

    /// Which events change, as it happens.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Tells the worker that a replay job has begun.
    pub fn tell_job_begun(&self) {
        self.jobs.notify_one();
    }

    /// Waits until a replay job has begun here.
    pub async fn job_begun(&self) {
        self.jobs.notified().await;
    }

    /// What is kept, to look at and to act on.
    pub fn records(&self) -> &dyn Records {
        &*self.store
    }

    /// Whether this instance may work: others have no reason to take what it holds.
    pub fn is_alive(&self) -> bool {
        self.store.is_alive()
    }

    /// Waits until it may not work any more. Never where there are no others.
    pub async fn lost(&self) {
        self.store.lost().await;
    }

    /// Waits until the work is this process's, and takes over what another one left.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn own(&self) -> Result<(), Error> {
        self.store.own().await
    }

    /// Waits until another instance announces an event that is due. For ever where there is no other.
    pub async fn announced(&self) -> EventId {
        self.store.announced().await
    }

    /// Whether damage was met since the store was opened: some of it cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.store.is_damaged()
    }

    /// Takes up the secrets of a configuration that was loaded anew.
    pub fn reload(&self, settings: &config::Store) {
        self.store.reload(settings);
    }

    /// Claims what is due, and remembers it as being worked on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let claimed = self.store.claim(wanted).await?;
        let leases = claimed.iter().map(|claimed| claimed.lease().clone());
        self.known().leases.extend(leases);
        Ok(claimed)
    }

    /// Writes down how work ended: nobody works on it any more, but for the deliveries that this instance now holds.
    ///
    /// # Errors
    /// When the store fails. Nothing is written then, and the work is still held.
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

    /// Nobody works on this any more, and how it ended is not written down: it is given back with the next
    /// [`Journal::reconcile`].
    pub fn abandon(&self, lease: &Lease) {
        let mut known = self.known();
        if known.leases.remove(lease) {
            known.unknown.insert(lease.clone());
        }
    }

    /// Gives back what the store says that this instance holds though nobody works on it: a claim or an append whose
    /// answer was lost. Only what was so at the last look as well, since an answer may be on its way.
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
            self.handover.notify();
        }
        Ok(count)
    }

    /// Gives back all that this instance holds.
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

    /// Keeps refused requests within `bounds`, for [`Journal::reverify`].
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

    /// Whether notifications are taken now, and by whom: commits something.
    ///
    /// # Errors
    /// When nobody takes them.
    pub async fn write_target(&self) -> Result<WriteTarget, Error> {
        match &self.spool {
            Some(spool) => spool.check(&*self.store).await,
            None => within(self.deadline, self.store.check())
                .await
                .map(|()| WriteTarget::Store),
        }
    }

    /// Waits until the spool begins or ends to take notifications. Never without a spool.
    pub async fn turned(&self) {
        match &self.spool {
            Some(spool) => spool.turned().await,
            None => std::future::pending().await,
        }
    }

    /// Moves what is spooled into the store whenever the store takes it. Never ends; without a spool it does nothing.
    pub async fn drain(&self, bounds: Bounds, metrics: Metrics) {
        let Some(spool) = &self.spool else {
            return std::future::pending().await;
        };
        let drain = Drain {
            spool: spool.clone(),
            store: &*self.store,
            handover: self.handover.clone(),
            bounds,
            metrics,
            clock: self.clock,
        };
        drain.run().await;
    }

    /// Finishes what is queued and closes store and spool.
    pub async fn close(&self) {
        self.store.close().await;
        if let Some(spool) = &self.spool {
            spool.close().await;
        }
    }

    /// Hands a new event over where this instance holds it, and otherwise tells the worker of it.
    fn announce(&self, event: &NewEvent, kept: &Kept, reserved: Option<Reserved>) {
        let NewContent::Notification(notification) = &event.content else {
            return;
        };
        match (&kept.lease, reserved) {
            (Some(lease), Some(reserved)) => {
                self.known().leases.insert(lease.clone());
                let claimed = ClaimedEvent::new(event, notification, kept, lease, self.clock);
                reserved.hand_over(claimed);
            }
            (_, _) if matches!(kept.appended, Appended::New(_)) => self.handover.notify(),
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
