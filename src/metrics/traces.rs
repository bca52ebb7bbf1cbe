//! What is counted of the spans that are exported.

use super::{Metrics, counter};

/// Why spans were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpansDropped {
    /// Too many waited.
    Queue,
    /// The collector did not take them.
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
    /// Spans are exported: what is counted of them begins at nothing.
    pub fn traces(&self) {
        self.spans_exported(0);
        self.spans_dropped(SpansDropped::Queue, 0);
        self.spans_dropped(SpansDropped::Collector, 0);
    }

    /// The collector took spans.
    pub fn spans_exported(&self, count: usize) {
        counter(&self.0.recorder, "otel_spans_exported_total", &[]).increment(wide(count));
    }

    /// Spans were dropped.
    pub fn spans_dropped(&self, reason: SpansDropped, count: usize) {
        let labels = [("reason", reason.as_str())];
        counter(&self.0.recorder, "otel_spans_dropped_total", &labels).increment(wide(count));
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
