//! What a call is about, which determines the identities to try.

use crate::domain::{EncounterId, SessionId};

/// The session that a call is about, and what else is known of it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// The session's encounter.
    pub encounter: Option<&'a EncounterId>,
    /// The session's provider. No notification names one.
    pub provider: Option<&'a str>,
}
