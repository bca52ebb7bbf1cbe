//! What content a session must have, whether its status must be requested first, and as which subject the API is
//! called. Pure.

use jiff::Timestamp;

use crate::config::Required;
use crate::domain::{LinkGroup, Notification, Outcome, Session, SessionKind};
use crate::journal::Receipt;
use crate::sdp::Subject;

/// The subject of calls to the vendor's API.
pub(super) fn subject_of(receipt: &Receipt) -> Subject<'_> {
    Subject {
        session: &receipt.session_id,
        encounter: receipt.encounter_id.as_ref(),
        provider: provider_of(receipt),
    }
}

/// The start of the vendor's retention: the earliest known time of the session.
pub(super) fn clock_start(receipt: &Receipt) -> Timestamp {
    let expected = receipt.expected.as_ref();
    let known = [
        expected.map(|expected| expected.registered_at),
        expected.and_then(|expected| expected.ended_at),
    ];
    let known = known.into_iter().flatten();
    known.fold(receipt.received_at, Timestamp::min)
}

/// The provider of the session, as the partner registered it.
fn provider_of(receipt: &Receipt) -> Option<&str> {
    receipt.expected.as_ref()?.provider.as_deref()
}

/// Whether the status endpoint must be called: the outcome is unknown, or the kind must be known in order to use the
/// standard links for required content that is not linked.
pub(super) fn is_unsettled(
    session: &Session,
    notification: &Notification,
    required: &Required,
) -> bool {
    let is_linked =
        |group: &LinkGroup| notification.links().iter().any(|link| link.group == *group);
    let lacks = notification.links().is_empty() || !required.ambient.iter().all(is_linked);
    let lacks_kind = lacks && session.kind == SessionKind::Unknown;
    session.outcome == Outcome::Unknown || (session.outcome == Outcome::Completed && lacks_kind)
}

/// The link groups that it must have. Only a completed session has a note to wait for.
pub(super) fn required_of<'a>(session: &Session, required: &'a Required) -> &'a [LinkGroup] {
    match session.outcome {
        Outcome::Completed => required.of(session.kind),
        Outcome::Failed
        | Outcome::TimedOut
        | Outcome::Cancelled
        | Outcome::Skipped
        | Outcome::Unknown => &[],
    }
}
