//! What is known of a session while its event is worked on.

use crate::config::Required;
use crate::domain::{LinkGroup, Notification, Outcome, SessionKind};
use crate::journal::{ClaimedEvent, Found, Linked};

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
            outcome: claimed.found.outcome,
            kind: claimed.found.kind,
            status: claimed.found.session_status.clone(),
        }
    }

    /// With how the links stand.
    pub(super) fn with(self, links: Vec<Linked>) -> Found {
        Found {
            outcome: self.outcome,
            kind: self.kind,
            session_status: self.status,
            links,
        }
    }

    /// Whether the status endpoint has to be asked: nobody said how it ended, or the kind has to be known for the standard
    /// links of what is not linked.
    pub(super) fn is_unsettled(&self, notification: &Notification, required: &Required) -> bool {
        let is_linked =
            |group: &LinkGroup| notification.links.iter().any(|link| link.group == *group);
        let lacks = notification.links.is_empty() || !required.ambient.iter().all(is_linked);
        let lacks_kind = lacks && self.kind == SessionKind::Unknown;
        self.outcome == Outcome::Unknown || (self.outcome == Outcome::Completed && lacks_kind)
    }

    /// What it must have. Only a completed session has a note to wait for.
    pub(super) fn required<'a>(&self, required: &'a Required) -> &'a [LinkGroup] {
        match self.outcome {
            Outcome::Completed => required.of(self.kind),
            Outcome::Failed
            | Outcome::TimedOut
            | Outcome::Cancelled
            | Outcome::Skipped
            | Outcome::Unknown => &[],
        }
    }
}
