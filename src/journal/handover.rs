//! From the intake to the worker without a look into the store: a new event that the worker has room for is handed over
//! with its receipt, held by this instance from the moment that it is durable.
//!
//! Room is taken before the event is kept, so nothing is held that cannot be started. What there is no room for stays
//! in the store, and the worker claims it when it has some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::ClaimedEvent;

/// How much may be worked on at once, and whether new work is let in now. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
    is_open: Arc<AtomicBool>,
}

/// Room for one piece of work, until it is dropped.
pub type Permit = OwnedSemaphorePermit;

impl Admission {
    /// Room for `most` at once; closed at first.
    pub fn new(most: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            is_open: Arc::default(),
        }
    }

    /// Lets work in that did not wait in line, or not any more.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// Room, if work is let in and there is some that nobody waits for.
    pub fn try_acquire(&self) -> Option<Permit> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// The room itself, for work that waits in line.
    pub fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }
}

/// The intake's end.
#[derive(Clone)]
pub(super) struct Handover {
    admission: Admission,
    events: Sender<(ClaimedEvent, Permit)>,
    wakeup: Arc<Notify>,
}

/// The worker's end.
pub struct Inbox {
    /// How much is worked on at once.
    pub admission: Admission,
    /// New events, with their room.
    pub events: Receiver<(ClaimedEvent, Permit)>,
    /// Rings when there may be something to claim.
    pub wakeup: Arc<Notify>,
}

/// Room for an event that is about to be kept.
pub(super) struct Reserved {
    permit: Permit,
    slot: OwnedPermit<(ClaimedEvent, Permit)>,
}

/// Both ends, for a worker that works on `most` events at once.
pub(super) fn handover(most: usize) -> (Handover, Inbox) {
    let admission = Admission::new(most);
    let (sender, events) = channel(admission.room.available_permits());
    let wakeup = Arc::<Notify>::default();
    let inbox = Inbox {
        admission: admission.clone(),
        events,
        wakeup: Arc::clone(&wakeup),
    };
    let handover = Handover {
        admission,
        events: sender,
        wakeup,
    };
    (handover, inbox)
}

impl Handover {
    /// Room, if there is some now.
    pub(super) fn reserve(&self) -> Option<Reserved> {
        let permit = self.admission.try_acquire()?;
        let slot = self.events.clone().try_reserve_owned().ok()?;
        Some(Reserved { permit, slot })
    }

    /// Tells the worker that there is something to claim.
    pub(super) fn notify(&self) {
        self.wakeup.notify_one();
    }
}

impl Reserved {
    /// Hands the event over.
    pub(super) fn hand_over(self, event: ClaimedEvent) {
        self.slot.send((event, self.permit));
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}
