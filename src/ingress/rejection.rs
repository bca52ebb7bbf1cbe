//! Every reason for which a request is not accepted, with its answer.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::State;
use super::arrival::Arrival;
use crate::domain::Malformed;
use crate::journal;
use crate::metrics::{Answer, Bound};
use crate::net::{ACCEPTED_CODINGS, error_response};
use crate::signature::VerifyError;

/// Seconds after which the sender may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Marks the answer to a request on a path other than the webhook's whose signature was not verified.
#[derive(Clone)]
pub(super) struct ElsewhereRejected;

/// Why a notification is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// Not authentic.
    #[error("{0}")]
    NotAuthentic(#[from] VerifyError),
    /// Authentic, but `generated-at` is out of tolerance and the configuration rejects such notifications.
    #[error("generated-at is too far from the present time")]
    Stale,
    /// Authentic, but not a notification.
    #[error("{0}; it is kept in the quarantine")]
    Malformed(Malformed),
    /// The content coding is unknown, and the bytes as received do not match the signature.
    #[error(
        "the signature does not match the bytes as sent, and their Content-Encoding is none of {ACCEPTED_CODINGS}"
    )]
    UnknownCoding,
    /// Larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body came too slowly.
    #[error("the body did not come in time")]
    TooSlow,
    /// The sender disconnected before the end of the body.
    #[error("the body broke off")]
    BrokenOff,
    /// Request bodies take too much memory.
    #[error(
        "too much is being received now (server.max_buffered_bytes); nothing was accepted, send it again"
    )]
    Busy,
    /// The notification could not be written to the store.
    #[error("the notification cannot be stored now; nothing was accepted, send it again")]
    Unavailable(#[source] journal::Error),
}

impl Rejection {
    /// The label under which this rejection is counted.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::NotAuthentic(_) | Self::Stale | Self::UnknownCoding => Answer::Unauthorized,
            Self::Malformed(_) | Self::BrokenOff => Answer::Malformed,
            Self::TooLarge(_) => Answer::TooLarge,
            Self::TooSlow => Answer::TimedOut,
            Self::Busy | Self::Unavailable(_) => Answer::Unavailable,
        }
    }

    /// The limit that was reached or the component that failed, when the answer is 503.
    pub(super) fn bound(&self) -> Option<Bound> {
        match self {
            Self::Busy => Some(Bound::Memory),
            Self::Unavailable(journal::Error::Overloaded) => Some(Bound::Queue),
            Self::Unavailable(journal::Error::Deadline) => Some(Bound::Deadline),
            Self::Unavailable(_) => Some(Bound::Store),
            Self::NotAuthentic(_)
            | Self::UnknownCoding
            | Self::Stale
            | Self::Malformed(_)
            | Self::TooLarge(_)
            | Self::TooSlow
            | Self::BrokenOff => None,
        }
    }

    /// Whether this service is the cause, and not the request.
    pub(super) fn is_ours(&self) -> bool {
        self.status().is_server_error()
    }

    /// Logs and counts a notification that was not accepted.
    pub(super) fn report(&self, state: &State, arrival: &Arrival) {
        self.log(arrival);
        if let Some(bound) = self.bound() {
            state.metrics.unavailable(bound);
        }
        let took = arrival.start.elapsed();
        state.metrics.notification(self.answer(), took);
    }

    /// Logs the reason and the origin of the request, and no part of its body.
    pub(super) fn log(&self, arrival: &Arrival) {
        let peer = arrival.peer.map(tracing::field::display);
        let forwarded_for = arrival.forwarded_for.map(tracing::field::display);
        let (request_id, path) = (&arrival.request_id, &arrival.other_path);
        let result = self.answer().as_str();
        match self {
            Self::Busy => {
                tracing::error!(request.id = request_id, http.path = path, result, peer, forwarded_for, reason = %self, "notification not accepted; answered 503");
            }
            Self::Unavailable(error) => {
                tracing::error!(request.id = request_id, http.path = path, result, peer, forwarded_for, error = %error, "notification not stored; answered 503");
            }
            Self::NotAuthentic(_)
            | Self::UnknownCoding
            | Self::Stale
            | Self::Malformed(_)
            | Self::TooLarge(_)
            | Self::TooSlow
            | Self::BrokenOff => {
                tracing::warn!(request.id = request_id, http.path = path, result, peer, forwarded_for, reason = %self, "notification rejected");
            }
        }
    }

    fn leaves_body_unread(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::TooSlow | Self::BrokenOff | Self::Busy => true,
            Self::NotAuthentic(_)
            | Self::UnknownCoding
            | Self::Stale
            | Self::Malformed(_)
            | Self::Unavailable(_) => false,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::NotAuthentic(_) | Self::Stale => StatusCode::UNAUTHORIZED,
            Self::UnknownCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = error_response(self.status(), &self.to_string());
        let headers = response.headers_mut();
        if self.leaves_body_unread() {
            // An unread body makes the connection unusable for another request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self, Self::UnknownCoding) {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(ACCEPTED_CODINGS),
            );
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// The answer to a panic in a handler, which is a bug: a 500. The panic message is not sent.
#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked; the sender was answered 500");
    error_response(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error; send it again",
    )
}
