//! The worker's log lines about an event: ids, outcome and reason, and no content.

use std::time::Duration;

use jiff::Timestamp;

use super::plan;
use crate::domain::{Document, EventId, EventState, Expected, Millis, loggable_status};
use crate::journal::{ClaimedEvent, LinkRecord, Retrieval};

/// Logs how an attempt to retrieve an event ended.
pub(super) fn attempt(claimed: &ClaimedEvent, end: &Retrieval) {
    let (receipt, attempt) = (&claimed.receipt, claimed.attempt);
    let id = receipt.id;
    match end {
        Retrieval::Deliver { found, sinks, .. } if sinks.is_empty() => tracing::info!(
            event.id = %id,
            session.id = receipt.session_id.as_str(),
            encounter.id = receipt.encounter_id.as_ref().map(|id| id.as_str()),
            status = loggable_status(receipt.status.as_deref()),
            outcome = found.session.outcome.as_str(),
            error_code = receipt.error_code,
            state = EventState::Done.as_str(),
            "event ended: no sink wants it"
        ),
        Retrieval::Same { found, same_as } => tracing::info!(
            event.id = %id,
            same_as = %same_as,
            session.id = receipt.session_id.as_str(),
            encounter.id = receipt.encounter_id.as_ref().map(|id| id.as_str()),
            status = loggable_status(receipt.status.as_deref()),
            outcome = found.session.outcome.as_str(),
            error_code = receipt.error_code,
            state = EventState::Done.as_str(),
            "event ended: another event of its session has had the same content delivered"
        ),
        Retrieval::Deliver { .. } => tracing::debug!(event.id = %id, attempt, "retrieved"),
        Retrieval::Announced { sinks, .. } => {
            tracing::debug!(event.id = %id, sinks = sinks.len(), "announced before it is retrieved");
        }
        Retrieval::Retry { reason, .. } => {
            tracing::warn!(event.id = %id, attempt, cause = %reason.cause, %reason, "not retrieved yet; trying again");
        }
        Retrieval::Dead { reason, found, .. } => tracing::error!(
            event.id = %id,
            session.id = receipt.session_id.as_str(),
            encounter.id = receipt.encounter_id.as_ref().map(|id| id.as_str()),
            status = loggable_status(receipt.status.as_deref()),
            outcome = found.session.outcome.as_str(),
            error_code = receipt.error_code,
            state = EventState::Dead.as_str(),
            attempt,
            cause = %reason.cause,
            %reason,
            "event ended: retrieval given up; replay it when the cause is fixed"
        ),
    }
}

/// Logs how an event ended.
pub(super) fn end(document: &Document, state: EventState, took: Duration) {
    tracing::info!(
        event.id = %document.id,
        session.id = document.session_id.as_str(),
        encounter.id = document.encounter_id.as_ref().map(|id| id.as_str()),
        status = loggable_status(document.status.as_deref()),
        outcome = document.outcome.as_str(),
        error_code = document.error_code,
        state = state.as_str(),
        resources = document.resources.len(),
        missing = document.missing.len(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "event ended"
    );
}

/// Warns that the vendor is about to delete content that an event waits for: once when a quarter of the time is left,
/// and once when a day is left. The period runs from `now` to the next attempt.
pub(super) fn closing<'a>(
    id: EventId,
    awaited: impl Iterator<Item = &'a LinkRecord>,
    start: Timestamp,
    (now, wait): (Millis, Duration),
) {
    if let Some((group, left)) = plan::closing(awaited, start, (now, after(now, wait))) {
        tracing::warn!(
            event.id = %id,
            group = group.as_str(),
            hours_left = left.as_secs() / 3600,
            "Suki is about to delete what this event waits for"
        );
    }
}

/// The same warning for an expected session that is polled again at `due`.
pub(super) fn closing_session(session: &Expected, now: Millis, due: Millis) {
    let said = &session.registration;
    if let Some(left) = said.clock(session.registered_at).warning((now, due)) {
        tracing::warn!(
            session.id = said.session_id.as_str(),
            hours_left = left.as_secs() / 3600,
            "Suki is about to delete the transcript of a session whose end is not known"
        );
    }
}

fn after(now: Millis, wait: Duration) -> Millis {
    now.saturating_add(Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX))
}
