//! Traces: the steps of an event's processing with their times, sent to a collector by OTLP over HTTP. Off unless
//! configured.
//!
//! An event is received in one span, and its first attempts are children of that span. A later attempt, possibly days
//! later, has its own trace with a link to that span. The trace of the request's sender is never continued, because the
//! listener is public.
//!
//! A span never contains an id of a session or encounter, or any content: see `span.rs`.

mod context;
mod export;
mod outbox;
mod span;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::context::SpanContext;
pub use self::export::{Exporter, Setup, check};
pub use self::span::{Kind, Span, child, current, on_current};

use self::outbox::Outbox;
use crate::domain::EventId;

/// An attempt later than this after its event's receipt gets its own trace.
const FIRST_TRACE: Duration = Duration::from_secs(600);

/// Opens spans. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    outbox: Outbox,
    /// The share of traces that is exported, from 0 to 1.
    sample: f64,
}

/// An attempt to retrieve or deliver an event.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The event.
    pub event: EventId,
    /// The number of the attempt, from 1; `None` if attempts are not counted.
    pub number: Option<u32>,
    /// The time since the event was received.
    pub age: Duration,
}

impl Traces {
    /// Tracing that is off: no spans are made.
    pub fn off() -> Self {
        Self::default()
    }

    fn new(outbox: Outbox, sample: f64) -> Self {
        Self(Some(Arc::new(Inner { outbox, sample })))
    }

    /// Whether spans are made.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span in which an event was received; `None` if it has no trace.
    pub fn origin(&self, event: EventId) -> Option<SpanContext> {
        let inner = self.0.as_ref()?;
        let context = SpanContext::of_event(event);
        (context.share() < inner.sample).then_some(context)
    }

    /// The span of a request that began at `started`. If the request brought a new event, this is the span in which the
    /// event was received.
    pub fn request(&self, event: Option<EventId>, name: &str, started: Instant) -> Span {
        let Some(inner) = &self.0 else {
            return Span::none();
        };
        let context = event.map_or_else(SpanContext::new_trace, SpanContext::of_event);
        if context.share() >= inner.sample {
            return Span::none();
        }
        let outbox = inner.outbox.clone();
        Span::open(
            context,
            None,
            (Kind::Server, name.to_owned()),
            started,
            outbox,
        )
    }

    /// The span of an attempt.
    pub fn attempt(&self, attempt: Attempt, kind: Kind, name: impl FnOnce() -> String) -> Span {
        let (Some(inner), Some(origin)) = (&self.0, self.origin(attempt.event)) else {
            return Span::none();
        };
        let is_first = attempt.number == Some(1) && attempt.age < FIRST_TRACE;
        let (context, parent) = if is_first {
            (origin.new_child(), Some(origin))
        } else {
            (SpanContext::new_trace(), None)
        };
        let outbox = inner.outbox.clone();
        let mut span = Span::open(context, parent, (kind, name()), Instant::now(), outbox);
        span.link(origin);
        span.text("messaging.message.id", attempt.event.to_string());
        if let Some(number) = attempt.number {
            span.number("suki_receiver.attempt", number);
        }
        span
    }

    /// The span in which an event was made without a request. `from` is the event from which it was made, if there is
    /// one.
    pub fn made(&self, event: EventId, name: &str, from: Option<EventId>) {
        let (Some(inner), Some(context)) = (&self.0, self.origin(event)) else {
            return;
        };
        let (name, outbox) = ((Kind::Internal, name.to_owned()), inner.outbox.clone());
        let mut span = Span::open(context, None, name, Instant::now(), outbox);
        span.text("messaging.message.id", event.to_string());
        if let Some(from) = from.and_then(|from| self.origin(from)) {
            span.link(from);
        }
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}
