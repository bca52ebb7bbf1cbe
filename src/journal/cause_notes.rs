//! What operators note on what needs attention: one note for each cause and sink, with who wrote it and when.
//!
//! A note is for colleagues and decides nothing. It says nothing of a patient, and is in no log and in no audit entry.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;
use crate::domain::Cause;

/// A note on what did not succeed for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseNote {
    /// The cause.
    pub cause: Cause,
    /// The sink that it is about, where it is about one.
    pub sink: Option<String>,
    /// What it says.
    pub text: String,
    /// Who wrote it.
    pub actor: String,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// The part of the store that keeps these notes.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait CauseNotes: Send + Sync {
    /// All of them.
    async fn cause_notes(&self) -> Result<Vec<CauseNote>, Error>;

    /// Writes the note on a cause, in place of the one that there was. With no text there is none any more.
    async fn note_cause(
        &self,
        cause: Cause,
        sink: Option<String>,
        text: Option<String>,
        actor: String,
    ) -> Result<(), Error>;
}
