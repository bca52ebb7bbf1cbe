//! The worker's trace spans: one for each attempt at an event, with its attributes. They hold no id but the event's.

use jiff::Timestamp;

use super::Shared;
use crate::domain::EventId;
use crate::journal::{ClaimedDelivery, ClaimedEvent, LateEvent, Retrieval};
use crate::sinks::SinkAnswer;
use crate::traces::{Attempt, Kind, Span, on_current};

/// The span of an attempt to retrieve an event.
pub(super) fn retrieval(shared: &Shared, claimed: &ClaimedEvent) -> Span {
    let receipt = &claimed.receipt;
    let mut span = attempt(
        shared,
        (receipt.id, receipt.received_at),
        Some(claimed.attempt),
        (Kind::Consumer, "process", "suki-notification"),
    );
    span.text("suki_receiver.task", claimed.lease.task().to_string());
    span
}

/// The span of a refresh.
pub(super) fn refresh(shared: &Shared, late: &LateEvent) -> Span {
    let event = (late.id, late.receipt.received_at);
    attempt(
        shared,
        event,
        None,
        (Kind::Consumer, "refresh", "suki-notification"),
    )
}

/// The span of a delivery.
pub(super) fn delivery(shared: &Shared, sink: &str, claimed: &ClaimedDelivery) -> Span {
    let document = &claimed.document;
    let mut span = attempt(
        shared,
        (document.id, document.received_at),
        Some(claimed.attempt),
        (Kind::Producer, "send", sink),
    );
    span.text("cloudevents.event_id", document.id.to_string());
    if claimed.attempt > 1 {
        span.number("http.request.resend_count", claimed.attempt - 1);
    }
    span
}

/// The span of one attempt, named by the semantic conventions for messaging: the operation and its destination.
fn attempt(
    shared: &Shared,
    (event, received_at): (EventId, Timestamp),
    number: Option<u32>,
    (kind, operation, destination): (Kind, &str, &str),
) -> Span {
    let age = shared.clock.now().duration_since(received_at);
    let attempt = Attempt {
        event,
        number,
        age: age.try_into().unwrap_or_default(),
    };
    let name = || format!("{operation} {destination}");
    let mut span = shared.traces.attempt(attempt, kind, name);
    span.text("messaging.system", "suki_receiver");
    span.text("messaging.operation.type", operation);
    span.text("messaging.destination.name", destination);
    span
}

/// Sets the result of an attempt to retrieve an event.
pub(super) fn retrieved(end: &Retrieval) {
    on_current(|span| {
        let (result, reason) = match end {
            Retrieval::Announced { .. } => ("announced", None),
            Retrieval::Deliver { .. } => ("deliver", None),
            Retrieval::Same { .. } => ("same", None),
            Retrieval::Retry { reason, .. } => ("retry", Some(reason)),
            Retrieval::Dead { reason, .. } => ("dead", Some(reason)),
        };
        span.text("suki_receiver.result", result);
        if let Some(reason) = reason {
            span.failed(reason.cause.as_str());
        }
    });
}

/// Sets the result of a delivery.
pub(super) fn delivered(result: &str, outcome: &SinkAnswer) {
    on_current(|span| {
        span.text("suki_receiver.result", result);
        match outcome {
            SinkAnswer::Delivered => {}
            SinkAnswer::Retry { reason, .. } | SinkAnswer::Rejected { reason } => {
                span.failed(reason.cause.as_str());
            }
        }
    });
}
