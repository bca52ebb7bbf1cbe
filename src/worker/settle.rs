//! Finds out, from the status endpoint, how a session ended when its notification does not say.

use std::time::Duration;

use crate::config::Follow;
use crate::domain::{LinkCause, LinkGroup, LinkState, Outcome, Session};
use crate::journal::LinkRecord;
use crate::sdp::{self, Failure, Kind, Subject};

/// The result of calling the status endpoint.
pub(super) enum Settled {
    /// The session's outcome and kind.
    Known(Session),
    /// Still uncertain: call again.
    NotYet(NotYet),
    /// It can never be found out.
    Unknowable(Failure),
}

/// Why it is still uncertain.
pub(super) enum NotYet {
    /// The session is still in progress.
    InProgress(Session),
    /// The call failed.
    Failed(Failure),
}

/// Requests a session's outcome and kind. The event has been tried for `tried_for` so far.
pub(super) async fn settle(
    sdp: &sdp::Client,
    subject: &Subject<'_>,
    mut session: Session,
    follow: &Follow,
    tried_for: Duration,
) -> Settled {
    match sdp.status(subject, session.kind).await {
        Ok((kind, status)) => {
            session.kind = kind;
            if session.outcome == Outcome::Unknown {
                session.outcome = status.outcome();
            }
            session.status = Some(status.as_str().to_owned());
            let waits = status.is_in_progress() && tried_for < follow.best_effort_for;
            if session.outcome == Outcome::Unknown && waits {
                Settled::NotYet(NotYet::InProgress(session))
            } else {
                Settled::Known(session)
            }
        }
        Err(failure) => {
            let is_over = match failure.kind {
                Kind::NotFound => tried_for >= follow.not_found_grace,
                Kind::Final | Kind::Identity => true,
                Kind::Retry | Kind::Outage => false,
            };
            if is_over {
                // The outcome cannot be found out. The partner still gets the notification, with an unknown outcome.
                Settled::Unknowable(failure)
            } else {
                Settled::NotYet(NotYet::Failed(failure))
            }
        }
    }
}

/// Whether this link entry records that the outcome cannot be found out.
pub(super) fn is_unknowable(link: &LinkRecord) -> bool {
    link.cause == Some(LinkCause::Unknowable)
}

/// The link entry that records that the outcome cannot be found out.
pub(super) fn unknowable_status(n: usize, failure: &Failure) -> LinkRecord {
    let (n, group) = (
        u32::try_from(n).unwrap_or(u32::MAX),
        LinkGroup::new("status"),
    );
    LinkRecord {
        http_status: failure.status,
        reason: Some(format!(
            "how the session ended cannot be found out: {failure}"
        )),
        cause: Some(LinkCause::Unknowable),
        ..LinkRecord::new(n, group, String::new(), LinkState::Missing)
    }
}
