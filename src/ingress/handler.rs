//! A notification's way in: body within the cap, verify the raw bytes, parse, append, answer. Nothing is delivered here.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use jiff::Timestamp;

use super::State;
use super::reject::Reject;
use super::room::{Room, Taken};
use crate::config::OnStale;
use crate::domain::{EventId, Notification};
use crate::journal::Appended;
use crate::lifecycle::Part;
use crate::metrics::Answer;
use crate::signature::{self, GENERATED_AT_HEADER, Rejection, SIGNATURE_HEADER, Verified};

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
    outcome: &'static str,
}

/// `POST` on the webhook's path.
pub(super) async fn notification(Shared(state): Shared<State>, request: Request<Body>) -> Response {
    let start = Instant::now();
    let request_id = request_id(request.headers());
    let result = receive(&state, request).await;
    let took = start.elapsed();
    let (answer, response) = match result {
        Ok(receipt) => accepted(&receipt, &request_id),
        Err(reject) => {
            log_reject(&reject, &request_id);
            if let Some(bound) = reject.bound() {
                state.metrics.unavailable(bound);
            }
            (reject.answer(), reject.into_response())
        }
    };
    state.metrics.notification(answer, took);
    response
}

async fn receive(state: &State, request: Request<Body>) -> Result<Receipt, Reject> {
    let (parts, body) = request.into_parts();
    let body = read(state, &parts.headers, body).await?;
    let received_at = state.clock.now();
    let verified = verify(state, &parts.headers, body, received_at)?;
    let stale = verified.is_stale(received_at, state.settings.tolerance);
    if stale && state.settings.on_stale == OnStale::Reject {
        return Err(Reject::Stale);
    }
    let notification = match Notification::parse(verified.body().clone()) {
        Ok(notification) => notification,
        Err(malformed) => {
            let kept = state
                .journal
                .quarantine(&verified, malformed, received_at)
                .await;
            stored(state, kept)?;
            return Err(Reject::Malformed(malformed));
        }
    };
    let seen = Seen {
        session_id: notification.session_id.to_string(),
        encounter_id: notification.encounter_id.as_ref().map(ToString::to_string),
        status: notification.status.clone(),
        outcome: notification.outcome.as_str(),
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

/// Reads the body up to the cap. An announced length beyond it is refused unread.
async fn read(state: &State, headers: &HeaderMap, body: Body) -> Result<Bytes, Reject> {
    let limit = state.settings.max_body_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(Reject::TooLarge(limit));
    }
    let reading = collect(body, limit, &state.room);
    tokio::time::timeout(state.settings.body_timeout, reading)
        .await
        .map_err(|_| Reject::TooSlow)?
}

/// Puts the body together. Each piece holds the whole buffer that it was read into, so none is kept but a single one:
/// most bodies come in one piece, which then needs no copy.
async fn collect(mut body: Body, limit: usize, room: &Room) -> Result<Bytes, Reject> {
    let mut taken = Taken::default();
    let (mut first, mut whole, mut size) = (Bytes::new(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Reject::BrokenOff)?.into_data() else {
            continue;
        };
        size += piece.len();
        if size > limit {
            return Err(Reject::TooLarge(limit));
        }
        if !room.take(piece.len(), &mut taken) {
            return Err(Reject::Busy);
        }
        if size == piece.len() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    Ok(taken.by(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    }))
}

fn verify(
    state: &State,
    headers: &HeaderMap,
    body: Bytes,
    received_at: Timestamp,
) -> Result<Verified, Reject> {
    let value = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let (signature, generated_at) = (value(SIGNATURE_HEADER), value(GENERATED_AT_HEADER));
    let secrets = state.secrets.load();
    let result = signature::verify(&secrets, signature, generated_at, body.clone());
    if let Err(Rejection::Mismatch) = result {
        // Perhaps it is the secret that is wrong. While much is being received what may be authentic comes first.
        let is_kept = state.room.is_ample()
            && state
                .refusals
                .hand_in(received_at, generated_at, signature, body);
        if !is_kept {
            state.metrics.refused_not_kept();
        }
    }
    Ok(result?)
}

/// Notes how the store does, for readiness.
fn stored(
    state: &State,
    result: Result<Appended, crate::journal::Error>,
) -> Result<Appended, Reject> {
    match result {
        Ok(appended) => {
            if !state.readiness.is_well(Part::Store) {
                state.readiness.well(Part::Store);
            }
            Ok(appended)
        }
        Err(error) => {
            if error.is_outage() {
                state
                    .readiness
                    .unwell(Part::Store, "it does not take notifications now");
            }
            Err(Reject::Unavailable(error))
        }
    }
}

fn accepted(receipt: &Receipt, request_id: &str) -> (Answer, Response) {
    let (answer, id) = match receipt.appended {
        Appended::New(id) => (Answer::Accepted, id),
        Appended::Duplicate(id) => (Answer::Duplicate, id),
    };
    let seen = &receipt.notification;
    tracing::info!(
        request.id = request_id,
        event.id = %id,
        session.id = seen.session_id,
        encounter.id = seen.encounter_id,
        status = seen.status,
        outcome = seen.outcome,
        stale = receipt.stale,
        result = answer.as_str(),
        "notification received"
    );
    (answer, ok(answer, id))
}

fn ok(answer: Answer, id: EventId) -> Response {
    let body = format!(r#"{{"result":"{}","id":"{id}"}}"#, answer.as_str());
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn log_reject(reject: &Reject, request_id: &str) {
    let result = reject.answer().as_str();
    match reject {
        Reject::Busy => {
            tracing::error!(request.id = request_id, result, reason = %reject, "notification not taken; answered 503");
        }
        Reject::Unavailable(error) => {
            tracing::error!(request.id = request_id, result, error = %error, "notification not stored; answered 503");
        }
        Reject::Unauthorized(_)
        | Reject::Stale
        | Reject::Malformed(_)
        | Reject::TooLarge(_)
        | Reject::TooSlow
        | Reject::BrokenOff => {
            tracing::warn!(request.id = request_id, result, reason = %reject, "notification refused");
        }
    }
}

/// The load balancer's id for the request, where it sends a plain one, else one of our own.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        })
        .map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::*;

    /// A piece of one byte that holds a buffer for as long as it is kept.
    struct Piece {
        _buffer: Arc<()>,
    }

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    #[tokio::test]
    async fn a_body_in_many_pieces_does_not_hold_what_they_were_read_into() {
        let buffers = Arc::new(());
        let pieces = (0..1000).map({
            let buffers = Arc::clone(&buffers);
            move |_| {
                // This one, the one of the test, the first piece and the last.
                assert!(Arc::strong_count(&buffers) <= 4, "pieces are held");
                Ok::<_, Infallible>(Bytes::from_owner(Piece {
                    _buffer: Arc::clone(&buffers),
                }))
            }
        });
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let room = Room::new(1000);
        let whole = collect(body, 1000, &room).await.expect("within the limit");
        assert_eq!(whole, "x".repeat(1000));
        assert_eq!(Arc::strong_count(&buffers), 1);
        assert!(
            !room.take(1, &mut Taken::default()),
            "every byte is counted"
        );
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece = Bytes::from(vec![b'x'; 1000]);
        let whole = collect(Body::from(piece.clone()), 1000, &Room::new(1000)).await;
        assert_eq!(whole.expect("within the limit").as_ptr(), piece.as_ptr());
    }
}
