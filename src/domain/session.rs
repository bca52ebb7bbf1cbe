//! What is known of a session: how it ended and of which kind it is.

use super::{Outcome, SessionKind};

/// What is known of a session, from its notification or settled since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// How it ended.
    pub outcome: Outcome,
    /// Its kind.
    pub kind: SessionKind,
    /// Its state in the vendor's word, where the status endpoint was asked.
    pub status: Option<String>,
}
