//! Where spans are left for the exporter. Nobody waits here: what there is no room for is dropped and counted.

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;

use crate::metrics::{Metrics, SpansDropped};

/// Takes spans. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Span>,
    metrics: Metrics,
}

impl Outbox {
    /// One with so much room, and where its spans come out.
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
