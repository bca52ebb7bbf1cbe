//! How long what ended is kept, and what a retention run removed.

use crate::domain::Millis;

/// Since when what ended is kept; what ended before goes.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Content of what is done.
    pub content: Millis,
    /// Content of what is dead. `None`: until an operator decides.
    pub dead: Option<Millis>,
    /// Content of what is in the quarantine, by its receipt, and refused requests. `None`: until an operator decides.
    pub quarantined: Option<Millis>,
    /// Receipts and dedupe keys of what has no content left or is done.
    pub receipts: Millis,
}

/// What a retention run removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Events whose content went.
    pub content: usize,
    /// Receipts that went.
    pub receipts: usize,
    /// Whether nothing is left that has been kept for long enough.
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
