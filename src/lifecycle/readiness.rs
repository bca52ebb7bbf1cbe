//! Readiness: whether a notification can be accepted now. It can if every vital part is healthy and no drain has begun.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::worded;

worded! {
    /// A part of the service on which readiness depends, or about which readiness carries a note.
    Component, "part" {
        /// The store accepts writes. If it does not, nothing can be accepted.
        Store = "store",
        /// The shared store accepts writes, so the local spool is not in use.
        Spool = "spool",
        /// No damaged store was moved aside, whose notifications would not be delivered.
        Damage = "damaged store",
        /// The SDP API is reachable and the service can log in. Otherwise notifications are kept and wait.
        Sdp = "sdp",
        /// At least one sink is configured to deliver to.
        Sinks = "sinks",
        /// No other process works on the store's events.
        Worker = "worker",
        /// No refused request is kept for `events reverify`.
        Signature = "signature",
        /// No delivery waits for a sink that is not configured.
        Orphans = "deliveries",
        /// No sink is paused.
        Paused = "paused sinks",
        /// No listener's certificate ends soon.
        Certificate = "certificate",
        /// The notifications of expected sessions arrive.
        Push = "push",
        /// The vendor deletes nothing within a day that the service still waits for.
        Retention = "retention",
    }
}

/// How severe it is when a part is not healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Nothing can be accepted.
    Vital,
    /// Notifications are accepted, but some of their processing is held up.
    Degrading,
    /// Only a remark, because anyone who can reach the listener can cause it.
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
    sockets_stay: AtomicBool,
    /// The parts that are not healthy, each with the reason. A part that is absent is healthy.
    troubles: Mutex<BTreeMap<Component, String>>,
}

/// The report that `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether a notification can be accepted.
    pub is_ready: bool,
    /// Whether notifications are accepted although a part is not healthy.
    pub is_degraded: bool,
    /// The reasons why no notification can be accepted.
    pub failing: Vec<String>,
    /// Problems that do not prevent accepting notifications.
    pub notes: Vec<String>,
}

impl Report {
    /// The report in a word: `unavailable`, `degraded` (notifications are accepted, but see the notes) or `ready`.
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
    /// Marks a part as healthy.
    pub fn set_healthy(&self, part: Component) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&part);
    }

    /// Marks a part as not healthy. `why` may be shown to anyone who can reach the listener.
    pub fn set_unhealthy(&self, part: Component, why: impl Into<String>) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, why.into());
    }

    /// Whether a part is healthy.
    pub fn is_healthy(&self, part: Component) -> bool {
        !self
            .0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&part)
    }

    /// Begins the drain: from now on the service is not ready, unless a successor accepts on the same sockets, or the
    /// service manager keeps them open.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Waits until a drain begins.
    pub async fn drain_begun(&self) {
        self.0.draining.cancelled().await;
    }

    /// Sets whether another process accepts from the same sockets. While one does, notifications need not be sent
    /// elsewhere when this process drains.
    pub fn set_successor(&self, is_there: bool) {
        self.0.successor.store(is_there, Ordering::Relaxed);
    }

    /// Whether another process accepts from the same sockets.
    pub fn has_successor(&self) -> bool {
        self.0.successor.load(Ordering::Relaxed)
    }

    /// Notes that the service manager keeps the listening sockets open when this process ends. Connections then wait for
    /// the next start, and notifications need not be sent elsewhere when this process drains.
    pub fn set_sockets_stay(&self) {
        self.0.sockets_stay.store(true, Ordering::Relaxed);
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
            } else if self.0.sockets_stay.load(Ordering::Relaxed) {
                notes.push("draining: connections wait in the service manager's sockets for the next start".to_owned());
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
