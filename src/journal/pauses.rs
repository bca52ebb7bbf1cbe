//! Sinks that an operator has paused: what is for them waits in the store until somebody resumes them.
//!
//! A pause stands in the store, so it holds for every instance and across restarts. It decides what may be claimed or
//! held; what is under way when it begins ends as it ends.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;

/// A sink's pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The sink's name.
    pub sink: String,
    /// Since when nothing is delivered to it, by the store's clock.
    pub since: Timestamp,
    /// Who paused it.
    pub actor: String,
    /// Why, in his own words.
    pub reason: Option<String>,
}

/// Pauses and resumes sinks.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Pauses: Send + Sync {
    /// The sinks that are paused, by name.
    async fn paused(&self) -> Result<Vec<Pause>, Error>;

    /// Pauses a sink: from now on nobody claims a delivery to it. Gives the pause that stood before, which goes on as it
    /// is.
    async fn pause(
        &self,
        sink: String,
        actor: String,
        reason: Option<String>,
    ) -> Result<Option<Pause>, Error>;

    /// Resumes a sink: all that waits for it and is to be tried is due at once, and the time after which it is given up
    /// counts anew. Gives the pause that ended.
    async fn resume(&self, sink: String) -> Result<Option<Pause>, Error>;
}
