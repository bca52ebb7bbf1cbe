//! `[retention]`: how long content and receipts stay.

use std::time::Duration;

/// How long what is kept stays. What is dead or quarantined stays until an operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bodies and resources, counted from the end of the last delivery.
    pub content: Duration,
    /// Receipts and dedupe keys, counted the same way. Not shorter than `content`.
    pub receipts: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Retention {
    fn default() -> Self {
        Self {
            content: DAY * 30,
            receipts: DAY * 400,
        }
    }
}
