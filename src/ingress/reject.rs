//! Every way in which a request is not accepted, and its answer.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::Malformed;
use crate::journal;
use crate::metrics::{Answer, Bound};
use crate::net::error_response;
use crate::signature::Rejection;

/// Seconds after which a sender may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a notification is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reject {
    /// Not authentic.
    #[error("{0}")]
    Unauthorized(#[from] Rejection),
    /// Authentic, but too old or too new, and configured to be refused.
    #[error("generated-at is too far from the present time")]
    Stale,
    /// Authentic, but no notification.
    #[error("{0}; it is kept in the quarantine")]
    Malformed(Malformed),
    /// Larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body came too slowly.
    #[error("the body did not come in time")]
    TooSlow,
    /// The sender broke off.
    #[error("the body broke off")]
    BrokenOff,
    /// Too much is being received at once.
    #[error(
        "too much is being received now (server.max_buffered_bytes); nothing was accepted, send it again"
    )]
    Busy,
    /// It could not be put on disk.
    #[error("the notification cannot be stored now; nothing was accepted, send it again")]
    Unavailable(#[source] journal::Error),
}

impl Reject {
    /// How it is counted.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Unauthorized(_) | Self::Stale => Answer::Unauthorized,
            Self::Malformed(_) | Self::BrokenOff => Answer::Malformed,
            Self::TooLarge(_) => Answer::TooLarge,
            Self::TooSlow => Answer::TimedOut,
            Self::Busy | Self::Unavailable(_) => Answer::Unavailable,
        }
    }

    /// What was in the way, where the answer is 503.
    pub(super) fn bound(&self) -> Option<Bound> {
        match self {
            Self::Busy => Some(Bound::Memory),
            Self::Unavailable(journal::Error::Overloaded) => Some(Bound::Queue),
            Self::Unavailable(journal::Error::Deadline) => Some(Bound::Deadline),
            Self::Unavailable(_) => Some(Bound::Store),
            Self::Unauthorized(_)
            | Self::Stale
            | Self::Malformed(_)
            | Self::TooLarge(_)
            | Self::TooSlow
            | Self::BrokenOff => None,
        }
    }

    fn leaves_body_unread(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::TooSlow | Self::BrokenOff | Self::Busy => true,
            Self::Unauthorized(_) | Self::Stale | Self::Malformed(_) | Self::Unavailable(_) => {
                false
            }
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) | Self::Stale => StatusCode::UNAUTHORIZED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Reject {
    fn into_response(self) -> Response {
        let mut response = error_response(self.status(), &self.to_string());
        let headers = response.headers_mut();
        if self.leaves_body_unread() {
            // So the connection cannot be used again.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// A panic in a handler: a bug, answered as our failure. What it said stays inside.
#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked; the sender was answered 500");
    error_response(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error; send it again",
    )
}
