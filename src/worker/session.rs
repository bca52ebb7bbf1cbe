//! What is known of a session while its event is worked on.

use crate::domain::{Notification, Outcome, SessionKind};
use crate::journal::ClaimedEvent;

/// What is known of the session so far.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) outcome: Outcome,
    pub(super) kind: SessionKind,
    pub(super) status: Option<String>,
}

impl Session {
    /// As the journal has it.
    pub(super) fn so_far(claimed: &ClaimedEvent) -> Self {
        Self {
            outcome: claimed.outcome,
            kind: claimed.kind,
            status: claimed.session_status.clone(),
        }
    }

    /// Whether the status endpoint has to be asked: nobody said how it ended, or which kind's standard links to fetch.
    pub(super) fn is_unsettled(&self, notification: &Notification) -> bool {
        let lacks_kind = notification.links.is_empty() && self.kind == SessionKind::Unknown;
        self.outcome == Outcome::Unknown || (self.outcome == Outcome::Completed && lacks_kind)
    }
}
