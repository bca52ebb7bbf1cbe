//! The trace span of a request. It begins with the request's headers and ends with the answer.

use std::time::{Duration, Instant};

use axum::response::Response;

use super::State;
use super::arrival::Arrival;
use crate::domain::EventId;
use crate::traces::Kind;

/// The result of storing a notification, passed to the span through the response's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The event's id; for a duplicate, the id of the first event.
    pub(super) event: EventId,
    pub(super) is_new: bool,
    /// When storing began, and how long it took.
    pub(super) began: Instant,
    pub(super) took: Duration,
}

/// Exports the span of an answered request.
pub(super) fn request(state: &State, arrival: &Arrival, response: &Response) {
    if !state.traces.are_on() {
        return;
    }
    let kept = response.extensions().get::<Kept>();
    let new = kept.filter(|kept| kept.is_new).map(|kept| kept.event);
    let route = arrival.route.as_ref().map(|route| route.as_str());
    let name = route.map_or_else(|| "POST".to_owned(), |route| format!("POST {route}"));
    let mut span = state.traces.request(new, &name, arrival.start);
    span.text("http.request.method", "POST");
    if let Some(route) = route {
        span.text("http.route", route);
    }
    let status = response.status();
    span.number("http.response.status_code", status.as_u16());
    // On a server span only a server error counts as an error.
    if status.is_server_error() {
        span.failed(status.as_str());
    }
    if let Some(caller) = arrival.caller {
        span.link(caller);
    }
    let Some(kept) = kept else { return };
    span.text("messaging.message.id", kept.event.to_string());
    if !kept.is_new
        && let Some(first) = state.traces.origin(kept.event)
    {
        span.link(first);
    }
    let append = || "journal.append".to_owned();
    span.child_since(kept.began, Kind::Internal, append)
        .ends_after(kept.took);
}
