//! Passes new events from the intake to the worker without a read from the store. An event for which the worker has
//! room is passed on with its receipt, and is leased to this instance from the moment when it is durable.
//!
//! A permit is taken before the event is stored, so no event is leased that cannot be started. An event without a
//! permit stays in the store, and the worker claims it when it has room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::ClaimedEvent;

/// Limits how much is worked on at once, and says whether new events are admitted from the intake. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
    is_open: Arc<AtomicBool>,
}

/// A permit for one piece of work, held until it is dropped.
pub type Permit = OwnedSemaphorePermit;

impl Admission {
    /// Up to `most` permits at once; closed at first.
    pub fn new(most: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            is_open: Arc::default(),
        }
    }

    /// Opens or closes the direct way from the intake, which does not queue for a permit.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// A permit, if the intake is admitted and one is free without queueing.
    pub fn try_acquire(&self) -> Option<Permit> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// The semaphore itself, for work that queues for a permit.
    pub fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }
}

/// The intake's end of the channel.
#[derive(Clone)]
pub(super) struct Dispatcher {
    admission: Admission,
    events: Sender<(ClaimedEvent, Permit)>,
    wakeup: Arc<Notify>,
}

/// The worker's end of the channel.
pub struct Inbox {
    /// The limit on concurrent work.
    pub admission: Admission,
    /// New events, with their permits.
    pub events: Receiver<(ClaimedEvent, Permit)>,
    /// Notified when there may be work to claim.
    pub wakeup: Arc<Notify>,
}

/// A permit and a channel slot for an event that is about to be stored.
pub(super) struct Reserved {
    permit: Permit,
    slot: OwnedPermit<(ClaimedEvent, Permit)>,
}

/// Both ends, for a worker that works on up to `most` events at once.
pub(super) fn dispatch_channel(most: usize) -> (Dispatcher, Inbox) {
    let admission = Admission::new(most);
    let (sender, events) = channel(admission.room.available_permits());
    let wakeup = Arc::<Notify>::default();
    let inbox = Inbox {
        admission: admission.clone(),
        events,
        wakeup: Arc::clone(&wakeup),
    };
    let dispatcher = Dispatcher {
        admission,
        events: sender,
        wakeup,
    };
    (dispatcher, inbox)
}

impl Dispatcher {
    /// A permit and a slot, if both are free now.
    pub(super) fn reserve(&self) -> Option<Reserved> {
        let permit = self.admission.try_acquire()?;
        let slot = self.events.clone().try_reserve_owned().ok()?;
        Some(Reserved { permit, slot })
    }

    /// Tells the worker that there is work to claim.
    pub(super) fn notify(&self) {
        self.wakeup.notify_one();
    }
}

impl Reserved {
    /// Passes the event on to the worker.
    pub(super) fn dispatch(self, event: ClaimedEvent) {
        self.slot.send((event, self.permit));
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}
