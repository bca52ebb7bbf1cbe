//! Whether a notification can be taken now: every part is well and no drain has begun.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::worded;

worded! {
    /// What readiness depends on, or what is worth a note beside it.
    Component, "part" {
        /// The store takes writes. Without it nothing can be accepted.
        Store = "store",
        /// The shared store takes writes, so that the local spool need not.
        Spool = "spool",
        /// No damaged store lies aside, with notifications that are not delivered.
        Damage = "damaged store",
        /// The SDP API is reachable and lets us in. Without it what comes is kept and waits.
        Sdp = "sdp",
        /// There is somewhere to deliver to.
        Sinks = "sinks",
        /// No other process works on the store's events.
        Worker = "worker",
        /// No refused request waits for a second look.
        Signature = "signature",
        /// No delivery waits for a sink that is not configured.
        Orphans = "deliveries",
        /// No sink is paused.
        Paused = "paused sinks",
        /// No listener's certificate ends soon.
        Certificate = "certificate",
        /// Notifications come, as far as sessions are expected.
        Push = "push",
        /// Nothing that is waited for is deleted by the vendor within a day.
        Retention = "retention",
    }
}

/// What it means when a part is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Nothing can be accepted.
    Vital,
    /// All is accepted, but not all is done with it that should be.
    Degrading,
    /// Worth a look, no more: anyone who can reach the listener can bring it about.
    Remark,
}

impl Component {
    fn weight(self) -> Weight {
        match self {
            Self::Store => Weight::Vital,
            Self::Spool | Self::Damage | Self::Sdp | Self::Sinks | Self::Orphans | Self::Push => {
                Weight::Degrading
            }
            Self::Paused | Self::Worker | Self::Signature | Self::Certificate | Self::Retention => {
                Weight::Remark
            }
        }
    }
}

/// The state that `/readyz` reports. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: CancellationToken,
    successor: AtomicBool,
    /// Parts that are not well, and why. Absent means well.
    troubles: Mutex<BTreeMap<Component, String>>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether a notification can be taken.
    pub is_ready: bool,
    /// Whether it can, but is not all well.
    pub is_degraded: bool,
    /// What prevents it.
    pub failing: Vec<String>,
    /// What does not prevent it but should be known.
    pub notes: Vec<String>,
}

impl Report {
    /// The report in a word: `unavailable`, `degraded` (it can take a notification, but see the notes) or `ready`.
    pub fn word(&self) -> &'static str {
        if !self.is_ready {
            "unavailable"
        } else if self.is_degraded {
            "degraded"
        } else {
            "ready"
        }
    }
}

impl Readiness {
    /// A part is well again.
    pub fn set_healthy(&self, part: Component) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&part);
    }

    /// A part is not well. `why` may be shown to anyone who can reach the listener.
    pub fn set_unhealthy(&self, part: Component, why: impl Into<String>) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, why.into());
    }

    /// Whether a part is well.
    pub fn is_healthy(&self, part: Component) -> bool {
        !self
            .0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&part)
    }

    /// From now on the answer is no, for good, unless there is a successor.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Waits until a drain begins.
    pub async fn drain_begun(&self) {
        self.0.draining.cancelled().await;
    }

    /// Whether another process accepts from the same sockets. While one does, a drain of this one is no reason to send
    /// notifications elsewhere.
    pub fn set_successor(&self, is_there: bool) {
        self.0.successor.store(is_there, Ordering::Relaxed);
    }

    /// Whether one does.
    pub fn has_successor(&self) -> bool {
        self.0.successor.load(Ordering::Relaxed)
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// The present state.
    pub fn report(&self) -> Report {
        let (mut failing, mut notes, mut is_degraded) = (Vec::new(), Vec::new(), false);
        if self.is_draining() {
            if self.has_successor() {
                notes.push("draining: another process has taken over".to_owned());
            } else {
                failing.push("draining: this instance is shutting down".to_owned());
            }
        }
        for (part, why) in self
            .0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let line = format!("{}: {why}", part.as_str());
            match part.weight() {
                Weight::Vital => failing.push(line),
                Weight::Degrading => {
                    is_degraded = true;
                    notes.push(line);
                }
                Weight::Remark => notes.push(line),
            }
        }
        Report {
            is_ready: failing.is_empty(),
            is_degraded,
            failing,
            notes,
        }
    }
}
