//! An open span, which is sent to the exporter when it is dropped.
//!
//! A span contains only what is set with the methods of this file: no log line, no error message, no address. So
//! patient data could get into a span only by an explicit call, which a reviewer can see.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Exported, Status};
use tracing::Instrument;

use super::SpanContext;
use super::outbox::Outbox;

/// The role of a span (OpenTelemetry's `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A step within the process.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Makes a message for later processing.
    Producer,
    /// Processes a message that waited.
    Consumer,
}

/// An open span, or nothing if there is no trace.
#[derive(Default)]
pub struct Span(Option<Box<Open>>);

struct Open {
    context: SpanContext,
    started: Instant,
    /// The duration, if it is set before the span is dropped.
    took: Option<Duration>,
    exported: Exported,
    outbox: Outbox,
}

tokio::task_local! {
    static CURRENT: std::cell::RefCell<Span>;
}

impl Span {
    /// No span: everything that is set on it is discarded.
    pub fn none() -> Self {
        Self::default()
    }

    /// Opens a span that began at `started`.
    pub(super) fn open(
        context: SpanContext,
        parent: Option<SpanContext>,
        (kind, name): (Kind, String),
        started: Instant,
        outbox: Outbox,
    ) -> Self {
        let exported = Exported {
            trace_id: context.trace.to_vec(),
            span_id: context.span.to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span.to_vec()),
            flags: SAMPLED,
            name,
            kind: kind.exported() as i32,
            start_time_unix_nano: unix_nanos(started),
            ..Exported::default()
        };
        Self(Some(Box::new(Open {
            context,
            started,
            took: None,
            exported,
            outbox,
        })))
    }

    /// The span's ids; `None` if there is no trace.
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|open| open.context)
    }

    /// Opens a child of this span.
    pub fn child(&self, kind: Kind, name: impl FnOnce() -> String) -> Self {
        self.child_since(Instant::now(), kind, name)
    }

    /// Opens a child of this span that began at `started`.
    pub fn child_since(&self, started: Instant, kind: Kind, name: impl FnOnce() -> String) -> Self {
        let Some(open) = &self.0 else {
            return Self::none();
        };
        Self::open(
            open.context.new_child(),
            Some(open.context),
            (kind, name()),
            started,
            open.outbox.clone(),
        )
    }

    /// Sets an attribute to a text. The text must not be an id of a session or an encounter, or come from a sender or
    /// the vendor.
    pub fn text(&mut self, key: &str, value: impl Into<String>) {
        self.set(key, || Value::StringValue(value.into()));
    }

    /// Sets an attribute to a number.
    pub fn number(&mut self, key: &str, value: impl Into<i64>) {
        self.set(key, || Value::IntValue(value.into()));
    }

    fn set(&mut self, key: &str, value: impl FnOnce() -> Value) {
        if let Some(open) = &mut self.0 {
            open.exported.attributes.push(attribute(key, value()));
        }
    }

    /// Adds a link to a related span.
    pub fn link(&mut self, to: SpanContext) {
        if let Some(open) = &mut self.0 {
            open.exported.links.push(Link {
                trace_id: to.trace.to_vec(),
                span_id: to.span.to_vec(),
                ..Link::default()
            });
        }
    }

    /// Marks the span as failed. `error_type` is one of a few fixed words.
    pub fn failed(&mut self, error_type: impl Into<String>) {
        self.text("error.type", error_type);
        if let Some(open) = &mut self.0 {
            open.exported.status = Some(Status {
                message: String::new(),
                code: StatusCode::Error as i32,
            });
        }
    }

    /// Ends the span with this duration.
    pub fn ends_after(mut self, took: Duration) {
        if let Some(open) = &mut self.0 {
            open.took = Some(took);
        }
    }

    /// Runs work within this span: [`child`] and [`on_current`] find it, and log lines carry the trace id. The span
    /// ends with the work.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        let Some(context) = self.context() else {
            return work.await;
        };
        let logged = tracing::error_span!("trace", trace_id = context.trace_id());
        let current = std::cell::RefCell::new(self);
        CURRENT.scope(current, work.instrument(logged)).await
    }
}

/// Opens a child of the span in whose scope this is called.
pub fn child(kind: Kind, name: impl FnOnce() -> String) -> Span {
    let opened = CURRENT.try_with(|current| current.borrow().child(kind, name));
    opened.unwrap_or_default()
}

/// Changes the span in whose scope this is called.
pub fn on_current(change: impl FnOnce(&mut Span)) {
    // Outside of any scope there is no span to change.
    CURRENT
        .try_with(|current| change(&mut current.borrow_mut()))
        .ok();
}

/// The ids of the span in whose scope this is called.
pub fn current() -> Option<SpanContext> {
    CURRENT
        .try_with(|current| current.borrow().context())
        .ok()
        .flatten()
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let Open {
                mut exported,
                outbox,
                started,
                took,
                ..
            } = *open;
            let took = took.unwrap_or_else(|| started.elapsed());
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            exported.end_time_unix_nano = exported.start_time_unix_nano.saturating_add(took);
            outbox.hand_in(exported);
        }
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Span").field(&self.context()).finish()
    }
}

impl Kind {
    fn exported(self) -> SpanKind {
        match self {
            Self::Internal => SpanKind::Internal,
            Self::Server => SpanKind::Server,
            Self::Client => SpanKind::Client,
            Self::Producer => SpanKind::Producer,
            Self::Consumer => SpanKind::Consumer,
        }
    }
}

/// The flag `sampled` of W3C Trace Context.
const SAMPLED: u32 = 1;

/// An attribute in the form in which it is exported.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The nanoseconds from 1970 to an instant.
fn unix_nanos(at: Instant) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now.unwrap_or_default().saturating_sub(at.elapsed());
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
