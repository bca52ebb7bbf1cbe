//! A session's outcome and kind.

use super::{Outcome, SessionKind};

/// What is known of a session, from its notification or from the status endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its kind.
    pub kind: SessionKind,
    /// Its status in the vendor's word, if the status endpoint was called.
    pub status: Option<String>,
}
