//! Error answers of every listener in one shape, `{"code": …, "message": …}`, which is also the vendor's
//! (docs/VENDOR.md, "Errors").

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of an error answer, on every listener.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// The status of the answer.
    pub code: u16,
    /// A description of the error for people.
    pub message: String,
}

impl ErrorBody {
    /// An error body with this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code: status.as_u16(),
            message: message.into(),
        }
    }
}

/// An error answer. `message` is sent to the client, so it must contain nothing internal.
pub fn error_response(status: StatusCode, message: &str) -> Response {
    (status, Json(ErrorBody::new(status, message))).into_response()
}

/// The answer when the path exists but not for this method; `allowed` lists the methods that it accepts.
pub fn method_not_allowed(allowed: &'static str) -> Response {
    let message = format!("this path takes {allowed} only");
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &message);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The answer when there is no such path.
pub fn not_found() -> Response {
    error_response(StatusCode::NOT_FOUND, "there is nothing at this path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_method_is_told_which_ones_there_are() {
        let response = method_not_allowed("GET, HEAD");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }
}
