//! `[retention]`: how long content and receipts stay.

use std::time::Duration;

use crate::config::reader::duration;
use crate::config::reader::section::Section;

/// The retention times.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bodies and resources, counted from the end of the last delivery.
    pub content: Duration,
    /// Receipts and dedupe keys, counted the same way. Not shorter than `content`.
    pub receipts: Duration,
    /// Content of dead events, counted from when they were given up. `None`: until an operator decides.
    pub dead: Option<Duration>,
    /// Content of the quarantine and refused requests, counted from their receipt. `None`: until an operator decides.
    pub quarantined: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Retention {
    fn default() -> Self {
        Self {
            content: DAY * 30,
            receipts: DAY * 400,
            dead: None,
            quarantined: None,
        }
    }
}

impl Retention {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let retention = Self {
            content: section.get("content", default.content),
            receipts: section.get("receipts", default.receipts),
            dead: section.get("dead", default.dead),
            quarantined: section.get("quarantined", default.quarantined),
        };
        if retention.receipts < retention.content {
            section.problem(
                "receipts",
                format!(
                    "{} is shorter than content, which is {}; receipts must outlive it",
                    duration::show(retention.receipts),
                    duration::show(retention.content),
                ),
            );
        }
        retention
    }
}
