//! The queue of spans for the exporter. Adding a span never waits: if the queue is full, the span is dropped and
//! counted.

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;

use crate::metrics::{Metrics, SpansDropped};

/// The sending end of the queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Span>,
    metrics: Metrics,
}

impl Outbox {
    /// A queue for `room` spans: its sending end and its receiving end.
    pub(super) fn new(room: usize, metrics: &Metrics) -> (Self, mpsc::Receiver<Span>) {
        let (sender, spans) = mpsc::channel(room);
        let metrics = metrics.clone();
        (Self { sender, metrics }, spans)
    }

    pub(super) fn hand_in(&self, span: Span) {
        if self.sender.try_send(span).is_err() {
            self.metrics.spans_dropped(SpansDropped::Queue, 1);
        }
    }
}
