//! What the worker says of an event in the log: ids, outcome and reason, and nothing of its content.

use std::time::Duration;

use crate::domain::{Document, EventState};
use crate::journal::{ClaimedEvent, Retrieval};

/// How an attempt at retrieving ended.
pub(super) fn attempt(claimed: &ClaimedEvent, end: &Retrieval) {
    let (receipt, attempt) = (&claimed.receipt, claimed.attempt);
    let id = receipt.id;
    match end {
        Retrieval::Deliver { found, sinks, .. } if sinks.is_empty() => tracing::info!(
            event.id = %id,
            session.id = receipt.session_id.as_str(),
            encounter.id = receipt.encounter_id.as_ref().map(|id| id.as_str()),
            status = receipt.status,
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
            status = receipt.status,
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
            status = receipt.status,
            outcome = found.session.outcome.as_str(),
            error_code = receipt.error_code,
            state = EventState::Dead.as_str(),
            attempt,
            cause = %reason.cause,
            %reason,
            "event ended: retrieval given up; replay it when mended"
        ),
    }
}

/// The line that says how an event ended.
pub(super) fn end(document: &Document, state: EventState, took: Duration) {
    tracing::info!(
        event.id = %document.id,
        session.id = document.session_id.as_str(),
        encounter.id = document.encounter_id.as_ref().map(|id| id.as_str()),
        status = document.status,
        outcome = document.outcome.as_str(),
        error_code = document.error_code,
        state = state.as_str(),
        resources = document.resources.len(),
        missing = document.missing.len(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "event ended"
    );
}
