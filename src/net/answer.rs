//! Refusals in the one shape of every listener: `{"code": …, "message": …}`, as the vendor's own (docs/VENDOR.md, "Errors").

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A refusal. `message` goes to whoever called, so it says nothing internal.
pub fn error_response(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({"code": status.as_u16(), "message": message}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
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
