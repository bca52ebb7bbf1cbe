//! Fixed answers that replace the API's own byte for byte, for cases that no fault can express, such as odd encodings
//! and the pages of gateways.

use std::sync::{Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct Canned {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Canned {
    /// A 200 with this body, declared as JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into(),
        }
    }

    /// An HTML page, as a gateway or firewall sends it.
    pub fn page(status: u16) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/html".to_owned())],
            body: Bytes::from_static(b"<!doctype html><title>Request blocked</title>"),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Canned {
    fn into_response(self) -> Response {
        let mut answer = Response::builder().status(self.status);
        for (name, value) in self.headers {
            answer = answer.header(name, value);
        }
        answer
            .body(Body::from(self.body))
            .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// The fixed answers in force, by a part of the path.
#[derive(Default)]
pub(super) struct InPlace(Mutex<Vec<(String, Canned)>>);

impl InPlace {
    /// Sets or removes a fixed answer.
    pub(super) fn set(&self, path_contains: &str, answer: Option<Canned>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| known != path_contains);
        all.extend(answer.map(|answer| (path_contains.to_owned(), answer)));
    }

    /// The fixed answer for a path.
    pub(super) fn find(&self, path: &str) -> Option<Canned> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|(part, _)| path.contains(part.as_str()));
        found.map(|(_, answer)| answer.clone())
    }
}
