//! All errors of a call, and their answers. The cause of a failure is logged and never sent.

use std::any::Any;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::journal;
use crate::net::error_response;

/// The seconds after which a caller may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a call is refused or fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No token, or an unknown token.
    #[error("send a valid token as 'Authorization: Bearer TOKEN'")]
    Unauthorized,
    /// The token's role does not permit the call.
    #[error("this needs the role {needs}; the token '{name}' has the role {role}")]
    Forbidden {
        /// The token's name.
        name: String,
        /// The token's role.
        role: &'static str,
        /// The roles that are needed.
        needs: String,
    },
    /// Something in the request is invalid.
    #[error("{0}")]
    BadRequest(String),
    /// The resource does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// The resource is not in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// The body is larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The query of the store took too long and was cancelled.
    #[error("this took too long and was ended; narrow the filter, for instance by since and until")]
    TooSlow,
    /// The stream has reached its limit of clients.
    #[error("too many clients watch the stream; close one, or try again later")]
    TooManyWatchers,
    /// The store failed.
    #[error("the store cannot do this now; try again later")]
    Store(#[source] journal::Error),
}

/// The cause of a failure, for the log.
#[derive(Clone)]
struct Cause(journal::Error);

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::TooSlow(_) => Self::TooSlow,
            other => Self::Store(other),
        }
    }
}

impl Error {
    /// There is no such event.
    pub(crate) fn no_event() -> Self {
        Self::NotFound("there is no event with this id")
    }

    /// There is no such session.
    pub(crate) fn no_session() -> Self {
        Self::NotFound("no session with this id is registered")
    }

    /// The HTTP status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyWatchers | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = error_response(self.status(), &self.to_string());
        match self {
            Self::Unauthorized => {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::TooManyWatchers => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::Store(cause) => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER);
                response.extensions_mut().insert(Cause(cause));
            }
            Self::BadRequest(_)
            | Self::Forbidden { .. }
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::TooLarge(_)
            | Self::TooSlow => {}
        }
        response
    }
}

/// Logs a failure's cause once, with the route instead of the path, which may name a session.
pub(super) async fn log_cause(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if let Some(Cause(cause)) = response.extensions().get() {
        tracing::error!(
            %method,
            route = route.as_ref().map(MatchedPath::as_str),
            error = %cause,
            "an admin call failed; answered 503"
        );
    }
    response
}

/// The answer after a panic in a handler, which is a bug: 500, without the panic's message.
#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler of the admin API panicked; the caller was answered 500");
    error_response(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}
