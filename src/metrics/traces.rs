//! Metrics of exported spans.

use super::{Metrics, counter};

/// Why spans were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpansDropped {
    /// The queue was full.
    Queue,
    /// The collector did not accept them.
    Collector,
}

impl SpansDropped {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Collector => "collector",
        }
    }
}

impl Metrics {
    /// Initialises the metrics of spans with zero. Called when spans are exported.
    pub fn traces(&self) {
        self.spans_exported(0);
        self.spans_dropped(SpansDropped::Queue, 0);
        self.spans_dropped(SpansDropped::Collector, 0);
    }

    /// Counts spans that the collector accepted.
    pub fn spans_exported(&self, count: usize) {
        counter(&self.0.recorder, "otel_spans_exported_total", &[]).increment(wide(count));
    }

    /// Counts spans that were dropped.
    pub fn spans_dropped(&self, reason: SpansDropped, count: usize) {
        let labels = [("reason", reason.as_str())];
        counter(&self.0.recorder, "otel_spans_dropped_total", &labels).increment(wide(count));
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
