//! How did the session end, when its notification does not tell? The status endpoint is asked.

use std::time::Instant;

use super::retrieve::Retriever;
use super::session::Session;
use crate::domain::{self, LinkState, Notification, Outcome};
use crate::journal::{ClaimedEvent, Link, Retrieval};
use crate::sdp::{self, Failure, Kind};

impl Retriever {
    /// Finds out how the session ended and of which kind it is.
    pub(super) async fn settle(
        &self,
        sdp: &sdp::Client,
        notification: &Notification,
        session: &mut Session,
        claimed: &ClaimedEvent,
    ) -> Result<(), Unsettled> {
        let (now, start) = (Instant::now, Instant::now());
        let failure = match sdp.status(session.kind, &notification.session_id).await {
            Ok((kind, status)) => {
                self.breaker.success(now());
                session.kind = kind;
                if session.outcome == Outcome::Unknown {
                    session.outcome = status.outcome();
                }
                session.status = Some(status.as_str().to_owned());
                let waits =
                    status.is_in_progress() && claimed.tried_for < self.follow.best_effort_for;
                if session.outcome == Outcome::Unknown && waits {
                    let reason = format!("the session is still {}", status.as_str());
                    let wait = self.wait(claimed, None);
                    let found = session.clone().with(claimed.found.links.clone());
                    let end = self.retry(claimed, found, wait, true, reason);
                    return Err(Unsettled::Ended(end));
                }
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.note(&failure);
        let is_over = match failure.kind {
            Kind::NotFound => claimed.tried_for >= self.follow.not_found_grace,
            Kind::Final | Kind::Identity => true,
            Kind::Retry | Kind::Outage => false,
        };
        if is_over {
            // Nobody can tell. The partner still gets the notification, as what it is.
            return Err(Unsettled::Unknowable(failure));
        }
        let reason = format!("status: {failure}");
        // What fails for this session alone must not be waited out as an outage.
        let counts = !failure.is_outage() || self.breaker.has_answered_since(start);
        let wait = self.wait(claimed, failure.after);
        let found = session.clone().with(claimed.found.links.clone());
        let end = self.retry(claimed, found, wait, counts, reason);
        Err(Unsettled::Ended(end))
    }
}

/// Why a session's end was not settled.
pub(super) enum Unsettled {
    /// The attempt ends here.
    Ended(Retrieval),
    /// It never will be.
    Unknowable(Failure),
}

/// Whether this entry among the links says so.
pub(super) fn is_unknowable(link: &Link) -> bool {
    link.href.is_empty() && link.group.as_str() == "status"
}

/// The entry among the links that says so.
pub(super) fn unknowable_status(n: usize, failure: &Failure) -> Link {
    Link {
        n: u32::try_from(n).unwrap_or(u32::MAX),
        group: domain::LinkGroup::new("status"),
        href: String::new(),
        state: LinkState::Missing,
        http_status: failure.status,
        bytes: None,
        fetched_at: None,
        reason: Some(format!(
            "how the session ended cannot be found out: {failure}"
        )),
    }
}
