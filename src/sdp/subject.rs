//! What a call is about, by which is chosen who asks.

use crate::domain::{EncounterId, SessionId};

/// The session that is asked about, and what is known beside it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// Its encounter.
    pub encounter: Option<&'a EncounterId>,
    /// The provider whose session it is. No notification names one.
    pub provider: Option<&'a str>,
}
