//! From a received body to an answer: verify, parse, store, log, count. From here on the service is responsible for the
//! notification, so all of this runs to its end even if the sender disconnects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::State;
use super::arrival::Arrival;
use super::body::{self, Incoming};
use super::rejection::{ElsewhereRejected, Rejection};
use super::trace;
use crate::config::OnStale;
use crate::domain::{Canary, EncounterId, EventId, loggable_status};
use crate::journal::{Appended, Kept, Received};
use crate::lifecycle::Component;
use crate::metrics::Answer;
use crate::net::CodingError;
use crate::signature::{
    self, Claim, GENERATED_AT_HEADER, SIGNATURE_HEADER, SentBody, Verified, VerifyError,
};

/// The result of storing a notification.
struct Stored {
    kept: Kept,
    received: Received,
    secret_id: Arc<str>,
    /// When storing began, and how long it took.
    timing: (Instant, Duration),
}

/// Takes in a notification and returns the answer to its sender.
pub(super) async fn take(
    state: &State,
    arrival: &Arrival,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Response {
    let (verified, received_at) = match verify(state, headers, incoming) {
        Ok(verified) => verified,
        Err(rejection) => return rejected(state, arrival, rejection),
    };
    if Canary::is_one(verified.body()) {
        return canary(state).await;
    }
    state.metrics.signature(verified.secret_id());
    if let Some(path) = &arrival.other_path {
        state.metrics.misrouted();
        tracing::warn!(
            request.id = arrival.request_id,
            http.path = path,
            peer = arrival.peer.map(tracing::field::display),
            "a notification came to another path than server.path; it is treated like any other. \
             Let the load balancer pass the path on unchanged, or set server.path to this one"
        );
    }
    match keep(state, verified, received_at).await {
        Ok(stored) => accepted(state, arrival, &stored),
        Err(rejection) => {
            rejection.report(state, arrival);
            rejection.into_response()
        }
    }
}

/// Answers a canary, which is a synthetic notification: a test write to the store shows whether a real one would be
/// stored now. A canary belongs to no patient and is left out of every count.
async fn canary(state: &State) -> Response {
    match state.journal.write_target().await {
        Ok(_) => {
            let body = r#"{"result":"canary"}"#;
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => Rejection::Unavailable(error).into_response(),
    }
}

/// The answer to a request that is not shown to be authentic. On a path other than the webhook's, such a request is not
/// reported as a rejected notification; the answer is marked [`ElsewhereRejected`], and the handler gives the path's
/// ordinary answer instead.
pub(super) fn rejected(state: &State, arrival: &Arrival, rejection: Rejection) -> Response {
    if arrival.other_path.is_none() || rejection.is_ours() {
        rejection.report(state, arrival);
        return rejection.into_response();
    }
    rejection.log(arrival);
    let mut response = rejection.into_response();
    response.extensions_mut().insert(ElsewhereRejected);
    response
}

fn verify(
    state: &State,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<(Verified, Timestamp), Rejection> {
    let received_at = state.clock.now();
    let claim = claim(headers);
    let (received, coding_error) =
        body::without_coding(incoming.bytes, headers, state.settings.max_body_bytes);
    let result = signature::verify(&state.secrets.load(), &claim, &received);
    match (result, incoming.cut_short, coding_error) {
        (Ok(_), _, Some(CodingError::TooLarge(limit))) => Err(Rejection::TooLarge(limit)),
        (Ok(verified), _, _) => Ok((verified, received_at)),
        (Err(_), Some(rejection), _) => Err(rejection),
        (Err(rejection), None, coding_error) => {
            if rejection == VerifyError::Mismatch {
                keep_rejected(state, received_at, &claim, &received);
            }
            Err(match coding_error {
                Some(CodingError::Unknown) if claim.is_well_formed() => Rejection::UnknownCoding,
                Some(CodingError::TooLarge(limit)) => Rejection::TooLarge(limit),
                Some(CodingError::Unknown | CodingError::Broken) | None => {
                    Rejection::NotAuthentic(rejection)
                }
            })
        }
    }
}

/// Keeps a request whose signature matches no secret, because the configured secret may be the wrong one. Nothing is
/// kept while memory is short: requests that may be authentic come first.
fn keep_rejected(state: &State, received_at: Timestamp, claim: &Claim<'_>, received: &SentBody) {
    let is_kept = state.budget.is_ample()
        && state
            .rejected_requests
            .hand_in(received_at, claim, received.wire().clone());
    if !is_kept {
        state.metrics.rejected_not_kept();
    }
}

async fn keep(
    state: &State,
    verified: Verified,
    received_at: Timestamp,
) -> Result<Stored, Rejection> {
    let stale = verified.is_stale(received_at, state.settings.tolerance);
    if stale {
        state.metrics.stale();
    }
    if stale && state.settings.on_stale == OnStale::Reject {
        return Err(Rejection::Stale);
    }
    let received = Received::read(&verified, received_at, stale);
    let began = Instant::now();
    let kept = report_readiness(state, state.journal.append(&received).await)?;
    let timing = (began, began.elapsed());
    match received.malformed() {
        Some(malformed) => Err(Rejection::Malformed(malformed)),
        None => Ok(Stored {
            kept,
            received,
            secret_id: Arc::clone(verified.secret_id()),
            timing,
        }),
    }
}

/// Updates readiness according to the result of storing, and turns an error into a rejection.
fn report_readiness(
    state: &State,
    result: Result<Kept, crate::journal::Error>,
) -> Result<Kept, Rejection> {
    match result {
        Ok(kept) => {
            if !state.readiness.is_healthy(Component::Store) {
                state.readiness.set_healthy(Component::Store);
            }
            Ok(kept)
        }
        Err(error) => {
            if error.is_outage() {
                state
                    .readiness
                    .set_unhealthy(Component::Store, "it does not take notifications now");
            }
            Err(Rejection::Unavailable(error))
        }
    }
}

fn accepted(state: &State, arrival: &Arrival, stored: &Stored) -> Response {
    let (answer, id) = match stored.kept.appended {
        Appended::New(id) => (Answer::Accepted, id),
        Appended::Duplicate(id) => (Answer::Duplicate, id),
    };
    if answer == Answer::Accepted {
        count_expectation(state, arrival, &stored.kept);
    }
    if let Some(notification) = stored.received.notification() {
        tracing::info!(
            request.id = arrival.request_id,
            event.id = %id,
            session.id = notification.session_id.as_str(),
            encounter.id = notification.encounter_id.as_ref().map(EncounterId::as_str),
            status = loggable_status(notification.status()),
            outcome = notification.outcome().as_str(),
            error_code = notification.error_code(),
            stale = stored.received.is_stale(),
            secret.id = &*stored.secret_id,
            result = answer.as_str(),
            trace_id = state.traces.origin(id).map(|origin| origin.trace_id()),
            "notification received"
        );
    }
    state.metrics.notification(answer, arrival.start.elapsed());
    let mut response = ok(answer, id);
    if state.traces.are_on() {
        let (began, took) = stored.timing;
        response.extensions_mut().insert(trace::Kept {
            event: id,
            is_new: answer == Answer::Accepted,
            began,
            took,
        });
    }
    response
}

/// Counts whether the notification's session was expected, and how long after the end of the session it came.
fn count_expectation(state: &State, arrival: &Arrival, kept: &Kept) {
    match &kept.expected {
        Some(expected) => {
            if kept.amends.is_some() {
                state.metrics.push_late();
            }
            let now = state.clock.now() - arrival.start.elapsed();
            if let Some(delay) = expected.ended_at.map(|ended| now.duration_since(ended)) {
                let delay = Duration::try_from(delay).unwrap_or_default();
                state.metrics.push_delay(delay);
            }
        }
        None if state.journal.expects_sessions() => state.metrics.unexpected_notification(),
        None => {}
    }
}

fn ok(answer: Answer, id: EventId) -> Response {
    let body = format!(r#"{{"result":"{}","id":"{id}"}}"#, answer.as_str());
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The signature headers of a request, before verification.
pub(super) fn claim(headers: &HeaderMap) -> Claim<'_> {
    let values = |name| {
        headers
            .get_all(name)
            .into_iter()
            .map(|value| value.as_bytes())
    };
    Claim::of(values(SIGNATURE_HEADER), values(GENERATED_AT_HEADER))
}
