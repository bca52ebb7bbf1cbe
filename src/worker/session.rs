//! What a session must have, whether its status has to be asked for first, and as what it is asked about. Pure.

use jiff::Timestamp;

use crate::config::Required;
use crate::domain::{LinkGroup, Notification, Outcome, Session, SessionKind};
use crate::journal::Receipt;
use crate::sdp::Subject;

/// What the vendor's API is asked about.
pub(super) fn subject_of(receipt: &Receipt) -> Subject<'_> {
    Subject {
        session: &receipt.session_id,
        encounter: receipt.encounter_id.as_ref(),
        provider: provider_of(receipt),
    }
}

/// From when the vendor's retention counts: the earliest time that is known of the session.
pub(super) fn clock_start(receipt: &Receipt) -> Timestamp {
    let expected = receipt.expected.as_ref();
    let known = [
        expected.map(|expected| expected.registered_at),
        expected.and_then(|expected| expected.ended_at),
    ];
    let known = known.into_iter().flatten();
    known.fold(receipt.received_at, Timestamp::min)
}

/// Whose session it is, as the partner said.
fn provider_of(receipt: &Receipt) -> Option<&str> {
    receipt.expected.as_ref()?.provider.as_deref()
}

/// Whether the status endpoint has to be asked: nobody said how it ended, or the kind has to be known for the standard
/// links of what is not linked.
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

/// What it must have. Only a completed session has a note to wait for.
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
