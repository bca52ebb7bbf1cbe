//! Whether a notification can be taken now: every part is well and no drain has begun.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What readiness depends on, or what is worth a note beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The store takes writes. Without it nothing can be accepted.
    Store,
    /// The SDP API is reachable and lets us in. Without it what comes is kept and waits.
    Sdp,
    /// There is somewhere to deliver to.
    Sinks,
}

impl Part {
    /// Its name in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Sdp => "sdp",
            Self::Sinks => "sinks",
        }
    }

    fn is_vital(self) -> bool {
        match self {
            Self::Store => true,
            Self::Sdp | Self::Sinks => false,
        }
    }
}

/// The state that `/readyz` reports. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: AtomicBool,
    /// Parts that are not well, and why. Absent means well.
    troubles: Mutex<BTreeMap<Part, String>>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether a notification can be taken.
    pub is_ready: bool,
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
        } else if self.notes.is_empty() {
            "ready"
        } else {
            "degraded"
        }
    }
}

impl Readiness {
    /// A part is well again.
    pub fn well(&self, part: Part) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&part);
    }

    /// A part is not well. `why` may be shown to anyone who can reach the listener.
    pub fn unwell(&self, part: Part, why: impl Into<String>) {
        self.0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, why.into());
    }

    /// Whether a part is well.
    pub fn is_well(&self, part: Part) -> bool {
        !self
            .0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&part)
    }

    /// From now on the answer is no, for good.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// The present state.
    pub fn report(&self) -> Report {
        let (mut failing, mut notes) = (Vec::new(), Vec::new());
        if self.is_draining() {
            failing.push("draining: this instance is shutting down".to_owned());
        }
        for (part, why) in self
            .0
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let line = format!("{}: {why}", part.as_str());
            if part.is_vital() {
                &mut failing
            } else {
                &mut notes
            }
            .push(line);
        }
        Report {
            is_ready: failing.is_empty(),
            failing,
            notes,
        }
    }
}
