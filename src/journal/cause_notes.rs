//! Operators' notes on events that need attention: one note for each cause and sink, with its author and time.
//!
//! A note is for colleagues and changes nothing in the service. It must hold no patient data. That it was written is
//! audited; its text is neither logged nor audited.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;
use crate::domain::Cause;

/// A note on the events that failed for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseNote {
    /// The cause.
    pub cause: Cause,
    /// The sink that the note is about, if it is about one.
    pub sink: Option<String>,
    /// The text.
    pub text: String,
    /// Who wrote it.
    pub actor: String,
    /// When it was written, by the store's clock.
    pub at: Timestamp,
}

/// The part of the store that keeps these notes.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait CauseNotes: Send + Sync {
    /// All notes.
    async fn cause_notes(&self) -> Result<Vec<CauseNote>, Error>;

    /// Replaces the note on a cause. `None` removes it.
    async fn note_cause(
        &self,
        cause: Cause,
        sink: Option<String>,
        text: Option<String>,
        actor: String,
    ) -> Result<(), Error>;
}
