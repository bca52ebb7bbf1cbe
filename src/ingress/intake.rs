//! From a body that has come to an answer: verify, parse, keep, log, count. From here on the notification is ours, and all
//! this is done whatever its sender does meanwhile.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::State;
use super::arrival::Arrival;
use super::body::{self, Incoming};
use super::rejection::{ElsewhereRejected, Rejection};
use crate::config::OnStale;
use crate::domain::{EventId, Notification};
use crate::journal::Appended;
use crate::lifecycle::Component;
use crate::metrics::Answer;
use crate::net::CodingError;
use crate::signature::{
    self, Claim, GENERATED_AT_HEADER, Received, SIGNATURE_HEADER, Verified, VerifyError,
};

/// What was kept, and how.
struct Receipt {
    appended: Appended,
    notification: Seen,
    stale: bool,
}

/// What is logged of a notification.
struct Seen {
    session_id: String,
    encounter_id: Option<String>,
    status: Option<String>,
    error_code: Option<String>,
    outcome: &'static str,
    secret_id: String,
}

/// Takes a notification and says how it is answered.
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
        Ok(receipt) => accepted(state, arrival, &receipt),
        Err(rejection) => {
            rejection.report(state, arrival);
            rejection.into_response()
        }
    }
}

/// The answer to a request of which nothing is known to be authentic. On another path than the webhook's it is no
/// notification that is rejected, and the answer says so to the router.
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
        (Ok(verified), _, _) => {
            state.metrics.signature(verified.secret_id());
            Ok((verified, received_at))
        }
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

/// Perhaps it is the secret that is wrong. While much is being received what may be authentic comes first.
fn keep_rejected(state: &State, received_at: Timestamp, claim: &Claim<'_>, received: &Received) {
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
) -> Result<Receipt, Rejection> {
    let stale = verified.is_stale(received_at, state.settings.tolerance);
    if stale && state.settings.on_stale == OnStale::Reject {
        return Err(Rejection::Stale);
    }
    let notification = match Notification::parse(verified.body().clone()) {
        Ok(notification) => notification,
        Err(malformed) => {
            let kept = state
                .journal
                .quarantine(&verified, malformed, received_at)
                .await;
            stored(state, kept)?;
            return Err(Rejection::Malformed(malformed));
        }
    };
    let seen = Seen {
        session_id: notification.session_id.to_string(),
        encounter_id: notification.encounter_id.as_ref().map(ToString::to_string),
        status: notification.status.clone(),
        error_code: notification.error_code.clone(),
        outcome: notification.outcome.as_str(),
        secret_id: verified.secret_id().to_owned(),
    };
    let kept = state
        .journal
        .append(&verified, notification, received_at, stale)
        .await;
    Ok(Receipt {
        appended: stored(state, kept)?,
        notification: seen,
        stale,
    })
}

/// Notes how the store does, for readiness.
fn stored(
    state: &State,
    result: Result<Appended, crate::journal::Error>,
) -> Result<Appended, Rejection> {
    match result {
        Ok(appended) => {
            if !state.readiness.is_healthy(Component::Store) {
                state.readiness.set_healthy(Component::Store);
            }
            Ok(appended)
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

fn accepted(state: &State, arrival: &Arrival, receipt: &Receipt) -> Response {
    let (answer, id) = match receipt.appended {
        Appended::New(id) => (Answer::Accepted, id),
        Appended::Duplicate(id) => (Answer::Duplicate, id),
    };
    let seen = &receipt.notification;
    tracing::info!(
        request.id = arrival.request_id,
        event.id = %id,
        session.id = seen.session_id,
        encounter.id = seen.encounter_id,
        status = seen.status,
        outcome = seen.outcome,
        error_code = seen.error_code,
        stale = receipt.stale,
        secret.id = seen.secret_id,
        result = answer.as_str(),
        "notification received"
    );
    state.metrics.notification(answer, arrival.start.elapsed());
    ok(answer, id)
}

fn ok(answer: Answer, id: EventId) -> Response {
    let body = format!(r#"{{"result":"{}","id":"{id}"}}"#, answer.as_str());
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What a request's headers say of its authenticity.
pub(super) fn claim(headers: &HeaderMap) -> Claim<'_> {
    let values = |name| {
        headers
            .get_all(name)
            .into_iter()
            .map(|value| value.as_bytes())
    };
    Claim::of(values(SIGNATURE_HEADER), values(GENERATED_AT_HEADER))
}
