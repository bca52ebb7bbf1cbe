//! How did the session end, when its notification does not tell? The status endpoint is asked.

use std::time::Duration;

use crate::config::Follow;
use crate::domain::{LinkCause, LinkGroup, LinkState, Outcome, Session};
use crate::journal::LinkRecord;
use crate::sdp::{self, Failure, Kind, Subject};

/// What the status endpoint could tell.
pub(super) enum Settled {
    /// How the session ended and of which kind it is.
    Known(Session),
    /// Nothing for certain yet: ask again.
    NotYet(NotYet),
    /// It never will.
    Unknowable(Failure),
}

/// Why nothing is certain yet.
pub(super) enum NotYet {
    /// The session goes on.
    InProgress(Session),
    /// The question was not answered.
    Failed(Failure),
}

/// Asks how a session ended and of which kind it is, after it was tried for `tried_for` already.
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
                // Nobody can tell. The partner still gets the notification, as what it is.
                Settled::Unknowable(failure)
            } else {
                Settled::NotYet(NotYet::Failed(failure))
            }
        }
    }
}

/// Whether this entry among the links says so.
pub(super) fn is_unknowable(link: &LinkRecord) -> bool {
    link.cause == Some(LinkCause::Unknowable)
}

/// The entry among the links that says so.
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
