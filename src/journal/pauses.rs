//! Sinks that an operator has paused: their deliveries wait in the store until the sink is resumed.
//!
//! A pause is stored, so it holds for every instance and across restarts. It keeps deliveries from being claimed or
//! leased; a delivery that is under way when the pause begins runs to its end.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Error;

/// A sink's pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The sink's name.
    pub sink: String,
    /// When the pause began, by the store's clock.
    pub since: Timestamp,
    /// Who paused it.
    pub actor: String,
    /// The reason, in the operator's own words.
    pub reason: Option<String>,
}

/// Pauses and resumes sinks.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Pauses: Send + Sync {
    /// The paused sinks, by name.
    async fn paused(&self) -> Result<Vec<Pause>, Error>;

    /// Pauses a sink: from now on no delivery to it is claimed. Returns the existing pause, if there is one, and leaves
    /// it as it is.
    async fn pause(
        &self,
        sink: String,
        actor: String,
        reason: Option<String>,
    ) -> Result<Option<Pause>, Error>;

    /// Resumes a sink: every waiting delivery to it is due at once, and the time after which a delivery is given up
    /// starts anew. Returns the pause that ended.
    async fn resume(&self, sink: String) -> Result<Option<Pause>, Error>;
}
