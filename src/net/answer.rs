//! Refusals in the one shape of every listener: `{"code": …, "message": …}`, as the vendor's own (docs/VENDOR.md, "Errors").

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What a refusal says, on every listener.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// The status of the answer.
    pub code: u16,
    /// What is wrong, for people.
    pub message: String,
}

impl ErrorBody {
    /// A refusal with this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code: status.as_u16(),
            message: message.into(),
        }
    }
}

/// A refusal. `message` goes to whoever called, so it says nothing internal.
pub fn error_response(status: StatusCode, message: &str) -> Response {
    (status, Json(ErrorBody::new(status, message))).into_response()
}

/// The path is there, but not for this method; `allowed` lists those that it takes.
pub fn method_not_allowed(allowed: &'static str) -> Response {
    let message = format!("this path takes {allowed} only");
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &message);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// There is no such path.
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
