//! How long finished events are kept, and what a retention run has removed.

use crate::domain::Millis;

/// The cutoff times of a retention run: what ended earlier is removed.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// For the content of done events.
    pub content: Millis,
    /// For the content of dead events. `None`: kept until an operator purges it.
    pub dead: Option<Millis>,
    /// For the content of quarantined events, counted from their receipt, and for rejected requests. `None`: kept until
    /// an operator purges it.
    pub quarantined: Option<Millis>,
    /// For the receipts and deduplication keys of events that are done or whose content is purged.
    pub receipts: Millis,
}

/// What a retention run has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// The number of events whose content was removed.
    pub content: usize,
    /// The number of receipts that were removed.
    pub receipts: usize,
    /// Whether nothing is left to remove.
    pub is_all: bool,
}

impl Default for Purged {
    fn default() -> Self {
        Self {
            content: 0,
            receipts: 0,
            is_all: true,
        }
    }
}
