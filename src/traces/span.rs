//! A span while it is open. It is sent to the exporter when it is dropped.
//!
//! It holds what is set here and nothing else: no log line, no message of an error, no address. So nothing of a patient
//! gets into a span but by a call that one can read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Exported, Status};
use tracing::Instrument;

use super::SpanContext;
use super::outbox::Outbox;

/// The part of two in a call (OpenTelemetry's `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Neither: a step within the process.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Hands a message to others.
    Producer,
    /// Takes a message that waited.
    Consumer,
}

/// An open span, or nothing where there is no trace.
#[derive(Default)]
pub struct Span(Option<Box<Open>>);

struct Open {
    context: SpanContext,
    started: Instant,
    /// How long it took, where that is known before it is dropped.
    took: Option<Duration>,
    exported: Exported,
    outbox: Outbox,
}

tokio::task_local! {
    static CURRENT: std::cell::RefCell<Span>;
}

impl Span {
    /// No span: what is set is gone.
    pub fn none() -> Self {
        Self::default()
    }

    /// Opens a span that began then.
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

    /// Its ids; `None` where there is no trace.
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|open| open.context)
    }

    /// Opens a span beneath this one.
    pub fn child(&self, kind: Kind, name: impl FnOnce() -> String) -> Self {
        self.child_since(Instant::now(), kind, name)
    }

    /// The same, begun then.
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

    /// Sets an attribute to a text. No id of a session or an encounter, and nothing that a sender or the vendor wrote.
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

    /// Names another span that this one has to do with.
    pub fn link(&mut self, to: SpanContext) {
        if let Some(open) = &mut self.0 {
            open.exported.links.push(Link {
                trace_id: to.trace.to_vec(),
                span_id: to.span.to_vec(),
                ..Link::default()
            });
        }
    }

    /// Says that it failed, and by which of a few words.
    pub fn failed(&mut self, error_type: impl Into<String>) {
        self.text("error.type", error_type);
        if let Some(open) = &mut self.0 {
            open.exported.status = Some(Status {
                message: String::new(),
                code: StatusCode::Error as i32,
            });
        }
    }

    /// Ends it, so long after it began.
    pub fn ends_after(mut self, took: Duration) {
        if let Some(open) = &mut self.0 {
            open.took = Some(took);
        }
    }

    /// Runs a task's work within this span: [`child`] and [`on_current`] find it, and log lines carry the trace's id. It
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

/// Opens a span beneath the one in whose scope this is called.
pub fn child(kind: Kind, name: impl FnOnce() -> String) -> Span {
    let opened = CURRENT.try_with(|current| current.borrow().child(kind, name));
    opened.unwrap_or_default()
}

/// Sets something of the span in whose scope this is called.
pub fn on_current(change: impl FnOnce(&mut Span)) {
    // Outside of any scope there is no trace.
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

/// An attribute as it is exported.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The time of day at an instant, since 1970.
fn unix_nanos(at: Instant) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now.unwrap_or_default().saturating_sub(at.elapsed());
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
